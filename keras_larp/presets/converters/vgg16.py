"""VGG16's weights, as torchvision trained them, for `models.LPIPS`.

Files are those of `timm/vgg16.tv_in1k` on the Hugging Face hub
(`features.0.weight`, ...) or of the bare list of features (`0.weight`, ...).
"""

import pathlib

import numpy as np

from keras_larp.models.lpips import LPIPS
from keras_larp.presets.converters.larp_weights import describe_mismatch

# The classifier, as torchvision and timm call it, which LPIPS does without.
_CLASSIFIER = ("classifier.", "pre_logits.", "head.")


def is_vgg16_config(config):
    """Whether a `config.json` is that of timm's VGG16."""
    return config.get("architecture") == "vgg16"


def load_lpips(file, **kwargs):
    """`LPIPS` with the VGG16 weights of a `safetensors` file.

    Args:
        file: Path.
        **kwargs: Arguments of `LPIPS`.

    Raises:
        ValueError: that names each missing, extra and misshapen weight.
    """
    from safetensors import safe_open

    if not pathlib.Path(file).is_file():
        raise ValueError(
            "Expected a `.safetensors` file of VGG16's weights. "
            f"Received: {file}, which is no file"
        )
    model = LPIPS(**kwargs)
    expected = dict(_names(model))
    with safe_open(file, framework="numpy") as content:
        keys = {
            key if key.startswith("features.") else f"features.{key}": key
            for key in content.keys()
            if not key.startswith(_CLASSIFIER)
        }
        stored = {
            name: tuple(content.get_slice(key).get_shape())
            for name, key in keys.items()
        }
        problems = describe_mismatch(
            stored, {name: shape for name, (_, shape) in expected.items()}
        )
        if problems:
            raise ValueError(
                f"The weights of {file} are not those of VGG16.\n{problems}"
            )
        for name, (variable, _) in expected.items():
            weight = np.asarray(content.get_tensor(keys[name]), "float32")
            if weight.ndim == 4:  # (out, in, 3, 3) to (3, 3, in, out)
                weight = weight.transpose(2, 3, 1, 0)
            variable.assign(weight)
    return model


def _names(model):
    """Name, variable and shape in the file, of each weight of VGG16."""
    place = 0
    for convolutions in model.stages:
        for kernel, bias in convolutions:
            height, width, channels, filters = kernel.shape
            shape = (filters, channels, height, width)
            yield f"features.{place}.weight", (kernel, shape)
            yield f"features.{place}.bias", (bias, (filters,))
            place += 2  # A convolution and its ReLU.
        place += 1  # The pooling.

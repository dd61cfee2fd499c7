"""Presets by name."""

import pathlib

# What comes with the package, a folder with a model card a family.
_BUNDLED = pathlib.Path(__file__).with_name("bundled")
_SHAPES = _BUNDLED / "larp_tiny_moving_shapes"
_ATARI = _BUNDLED / "larp_small_atari"

_PRESETS = {
    # On the Hugging Face hub: the authors' checkpoints, torchvision's VGG16.
    "larp_l_long_tokenizer": "hf://hywang66/LARP-L-long-tokenizer",
    "larp_l_long_generator": "hf://hywang66/LARP-L-long-AR",
    "larp_l_long_frame_prediction": "hf://hywang66/LARP-L-long-AR-FP",
    "lpips_vgg16": "hf://timm/vgg16.tv_in1k",
    # Ours.
    "larp_tiny_moving_shapes_tokenizer": _SHAPES / "tokenizer",
    "larp_tiny_moving_shapes_generator": _SHAPES / "generator",
    "larp_tiny_moving_shapes_frame_prediction": _SHAPES / "frame_prediction",
    "larp_small_atari_tokenizer": _ATARI / "tokenizer",
    "larp_small_atari_generator": _ATARI / "generator",
}


def list_presets():
    """The names that `load` knows, a sorted list of strings."""
    return sorted(_PRESETS)


def address(name):
    """Where a named preset lies, or `None` for an unknown name."""
    return None if name not in _PRESETS else str(_PRESETS[name])

"""Presets by name."""

# On the Hugging Face hub: the authors' checkpoints, and torchvision's VGG16.
_PRESETS = {
    "larp_l_long_tokenizer": "hf://hywang66/LARP-L-long-tokenizer",
    "larp_l_long_generator": "hf://hywang66/LARP-L-long-AR",
    "larp_l_long_frame_prediction": "hf://hywang66/LARP-L-long-AR-FP",
    "lpips_vgg16": "hf://timm/vgg16.tv_in1k",
}


def names():
    """The names that `load` knows, a sorted list of strings."""
    return sorted(_PRESETS)


def address(name):
    """Where a named preset lies, or `None` for an unknown name."""
    return _PRESETS.get(name)

"""LARP video tokenization and generation for Keras 3."""

import importlib

from keras_larp.version import __version__

_SUBPACKAGES = (
    "callbacks",
    "cli",
    "data",
    "evaluation",
    "layers",
    "losses",
    "metrics",
    "models",
    "presets",
    "recipes",
    "training",
)

__all__ = [*_SUBPACKAGES, "__version__"]


def __getattr__(name):
    # Subpackages load when they are first used, so that importing is fast.
    if name in _SUBPACKAGES:
        return importlib.import_module(f"keras_larp.{name}")
    raise AttributeError(f"module 'keras_larp' has no attribute {name!r}")

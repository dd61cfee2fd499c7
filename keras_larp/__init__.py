"""LARP video tokenization and generation for Keras 3."""

import importlib

from keras_larp.version import __version__

TYPE_CHECKING = False  # As `typing.TYPE_CHECKING`, without importing `typing`.
if TYPE_CHECKING:
    from keras_larp import (
        callbacks,
        cli,
        data,
        distribution,
        evaluation,
        layers,
        losses,
        metrics,
        models,
        presets,
        recipes,
        training,
    )

__all__ = [
    "__version__",
    "callbacks",
    "cli",
    "data",
    "distribution",
    "evaluation",
    "layers",
    "losses",
    "metrics",
    "models",
    "presets",
    "recipes",
    "training",
]

if not TYPE_CHECKING:  # With `__getattr__`, type checkers accept any name.

    def __getattr__(name):
        # Subpackages are loaded on first use: `import keras_larp` is fast.
        if name in __all__:
            return importlib.import_module(f"keras_larp.{name}")
        raise AttributeError(f"module 'keras_larp' has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *__all__])

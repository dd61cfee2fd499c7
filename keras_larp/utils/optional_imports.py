"""Imports of optional dependencies."""

import importlib
from typing import Any

# Module name: name of its package, if they differ.
_PACKAGES = {"PIL": "pillow", "ale_py": "ale-py"}


def require(module: str, extra: str = "data") -> Any:
    """Imports an optional dependency.

    Args:
        module: String, the name of the module, such as `"av"`.
        extra: String, the extra of `keras-larp` that installs it.

    Returns:
        The module.

    Raises:
        ImportError: If the module is not installed. The message names the pip
            command.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.split(".")[0]
        package = _PACKAGES.get(package, package)
        raise ImportError(
            f"The package `{package}` is required but could not be imported. "
            f'Install it with `pip install "keras-larp[{extra}]"`. '
            f"({error})"
        ) from error

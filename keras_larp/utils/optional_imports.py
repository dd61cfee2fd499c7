import importlib

# The package that pip installs, where it is not called like the module.
_PACKAGES = {"PIL": "pillow", "ale_py": "ale-py"}


def require(module, extra="data"):
    """Imports an optional dependency, or says how to install it.

    Args:
        module: String, name of the module, such as `"av"`.
        extra: String, the extra of `keras-larp` that installs it.

    Returns:
        The module.

    Raises:
        ImportError: If it is not installed; names the extra.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.split(".")[0]
        package = _PACKAGES.get(package, package)
        raise ImportError(
            f"This needs the package `{package}`, which is in the extra "
            f"`{extra}`. Install it with `pip install "
            f'"keras-larp[{extra}]"`. ({error})'
        ) from error

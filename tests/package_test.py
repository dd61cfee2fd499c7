"""Imports of the package: what they load, and where backends are named."""

import ast
import inspect
import pathlib
import re
import subprocess
import sys

import pytest

import keras_larp
from keras_larp import data

pytestmark = pytest.mark.once

PACKAGE = pathlib.Path(keras_larp.__file__).parent
SUBPACKAGES = [name for name in keras_larp.__all__ if name != "__version__"]
EXTRAS = [
    "ale_py",
    "av",
    "grain",
    "huggingface_hub",
    "kagglehub",
    "matplotlib",
    "PIL",
]


def test_import_loads_no_extra_and_no_keras():
    code = (
        "import sys, keras_larp\n"
        f"print([m for m in {EXTRAS + ['keras']} if m in sys.modules])"
    )
    output = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert output.strip() == "[]"


def test_models_import_without_extras():
    code = (
        f"import sys\nfor m in {EXTRAS}: sys.modules[m] = None\n"
        "from keras_larp import callbacks, cli, data, layers, losses\n"
        "from keras_larp import metrics, models, training\n"
        "from keras_larp import presets\n"
        "data.MovingShapes(1).render(0); print('imported')"
    )
    output = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert output.strip().endswith("imported")


def test_backends_are_imported_by_modules_of_one_backend_alone():
    pattern = re.compile(r"^\s*(?:import|from) (jax|tensorflow|torch)\b", re.M)
    found = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if pattern.search(path.read_text())
    }
    others = [
        name
        for name in found
        if not re.fullmatch(r"backend/(jax|tensorflow|torch)_\w+\.py", name)
    ]
    assert others == ["backend/compat.py"]


def test_every_public_name_has_documentation():
    for package in SUBPACKAGES:
        module = getattr(keras_larp, package)
        assert module.__doc__
        for name in getattr(module, "__all__", []):
            assert getattr(module, name).__doc__, f"{package}.{name}"


def names_for_type_checkers(package):
    """Returns `{name: module}` of the imports under `if TYPE_CHECKING`."""
    tree = ast.parse(pathlib.Path(package.__file__).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    return {
        alias.name: node.module for node in block.body for alias in node.names
    }


def test_lazy_names_are_visible_to_type_checkers():
    assert names_for_type_checkers(data) == data._MODULES
    assert sorted(names_for_type_checkers(keras_larp)) == SUBPACKAGES


@pytest.mark.parametrize("package", SUBPACKAGES)
def test_public_functions_have_type_hints(package):
    module = getattr(keras_larp, package)
    for name in getattr(module, "__all__", []):
        function = getattr(module, name)
        if not inspect.isfunction(function):
            continue
        signature = inspect.signature(function)
        assert signature.return_annotation is not inspect.Signature.empty, name
        for parameter in signature.parameters.values():
            assert parameter.annotation is not parameter.empty, (
                f"{package}.{name}({parameter.name}) has no type hint"
            )


@pytest.mark.parametrize("package", [keras_larp, data])
def test_lazy_names_are_listed_and_sorted(package):
    assert package.__all__ == sorted(package.__all__)
    assert set(package.__all__) <= set(dir(package))
    assert package is keras_larp or package.__all__ == sorted(data._MODULES)


def test_subpackages_are_all_public():
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert folders - set(SUBPACKAGES) == {"backend", "utils"}


def test_package_is_marked_as_typed():
    assert (PACKAGE / "py.typed").is_file()

"""Private interfaces of other libraries are used in one module only."""

import ast
import pathlib

import keras
import pytest

import keras_larp
from keras_larp.backend import compat

PACKAGE = pathlib.Path(keras_larp.__file__).parent


def is_private(name):
    return name.startswith("_") and not name.startswith("__")


def private_attributes(source):
    """Private attributes of objects other than `self` that a module uses
    without defining them."""
    used, defined = set(), set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            is_self = isinstance(node.value, ast.Name) and node.value.id in (
                "self",
                "cls",
            )
            (defined if is_self else used).add(node.attr)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            defined.add(node.name)
    return used - defined


def private_imports(source):
    """Private modules and names that a module imports from elsewhere."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            names = [*node.module.split("."), *(n.name for n in node.names)]
            found |= {name for name in names if is_private(name)}
    return found


def test_private_interfaces_are_found():
    source = """
from torch.utils._pytree import tree_flatten
model._tracker.unlock()
self._steps = 0
other._steps = 1
torch._foreach_mul(x, y)
"""
    assert private_attributes(source) == {"_tracker", "_foreach_mul"}
    assert private_imports(source) == {"_pytree"}


@pytest.mark.once
def test_private_interfaces_are_used_in_compat_only():
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        source = path.read_text()
        names = private_attributes(source) | private_imports(source)
        if names:
            found[str(path.relative_to(PACKAGE))] = names
    del found["backend/compat.py"]
    assert found == {}


@pytest.mark.once
def test_compat_names_the_versions_that_the_tests_run_with(request):
    lines = (request.config.rootpath / "constraints.txt").read_text().split()
    pinned = dict(line.split("==") for line in lines if "==" in line)
    for name, version in compat.TESTED_VERSIONS.items():
        assert pinned[name] == version


def test_replaced_attributes_are_no_longer_tracked():
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.Dense(2)(inputs))
    for units in (4, 5):
        layer = keras.layers.Dense(units)
        layer.build((None, 3))
        compat.replace_attributes(model, {"extra": layer})
        assert model.extra is layer
    shapes = [tuple(w.shape) for w in model.weights]
    assert (3, 5) in shapes and (3, 4) not in shapes

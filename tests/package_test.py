"""What importing the package brings, and where backends are named."""

import pathlib
import re
import subprocess
import sys

import pytest

import keras_larp

pytestmark = pytest.mark.once

PACKAGE = pathlib.Path(keras_larp.__file__).parent
EXTRAS = [
    "ale_py",
    "av",
    "grain",
    "huggingface_hub",
    "kagglehub",
    "matplotlib",
    "PIL",
]


def test_import_brings_no_extra_and_no_keras():
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
        "data.MovingShapes(1)[0]; print('imported')"
    )
    output = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert output.strip().endswith("imported")


def test_backends_are_imported_by_their_drivers_alone():
    pattern = re.compile(r"^\s*(?:import|from) (jax|tensorflow|torch)\b", re.M)
    found = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if pattern.search(path.read_text())
    }
    names = {f"backend/{b}_driver.py" for b in ("jax", "tensorflow", "torch")}
    assert found == names | {"backend/compat.py"}


def test_every_public_name_has_documentation():
    for package in keras_larp._SUBPACKAGES:
        module = getattr(keras_larp, package)
        assert module.__doc__
        for name in getattr(module, "__all__", []):
            assert getattr(module, name).__doc__, f"{package}.{name}"

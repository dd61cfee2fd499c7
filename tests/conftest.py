import os
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]


def pytest_collection_modifyitems(items):
    for item in items:
        if {"shared_dir", "golden_dir"} & set(item.fixturenames):
            item.add_marker("shared")


@pytest.fixture(scope="session")
def shared_dir():
    """The folder with golden numbers and real video, next to the project."""
    folder = os.environ.get("KERAS_LARP_SHARED", ROOT.parent / "shared")
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        message = f"needs golden numbers and video in {folder}"
        if os.environ.get("KERAS_LARP_REQUIRE_SHARED"):
            pytest.fail(message)
        pytest.skip(message)
    return folder


@pytest.fixture(scope="session")
def golden_dir(shared_dir):
    """The golden cases; their `golden.py` can be imported."""
    folder = shared_dir / "golden"
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))


@pytest.fixture(autouse=True)
def seeded():
    import keras

    keras.utils.set_random_seed(0)

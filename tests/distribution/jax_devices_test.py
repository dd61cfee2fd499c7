"""Training on virtual CPU devices of one process on JAX equals one device."""

import json
import pathlib

import keras
import numpy as np
import pytest
from distribution.virtual_devices import run_script

FOLDER = pathlib.Path(__file__).parent
pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "jax", reason="tests keras.distribution"
)
SHARDED = ["4 devices", "2 x 4 devices"]


@pytest.fixture(scope="module")
def generators(tmp_path_factory):
    """Results of `jax_generator.py`, one process for all tests."""
    folder = tmp_path_factory.mktemp("generators")
    output = run_script(FOLDER / "jax_generator.py", folder)
    return json.loads(output.splitlines()[-1])


def test_full_recipe_trains_like_one_device():
    # Two updates of accumulated gradients. Longer runs are in the docstring
    # of the script.
    output = run_script(FOLDER / "jax_recipe.py", 4, "2,4,8")
    for result in json.loads(output.splitlines()[-1]).values():
        for difference, name in (result["losses"], result["weights"]):
            assert difference < 1e-5, name


@pytest.mark.parametrize("layout", SHARDED)
def test_incomplete_last_batch_trains_like_one_device(generators, layout):
    np.testing.assert_allclose(
        generators[layout]["loss"], generators["one device"]["loss"], rtol=1e-5
    )


@pytest.mark.parametrize("layout", SHARDED)
def test_checkpoint_of_another_layout_continues(generators, layout):
    received = generators["restored"][layout]
    expected = generators["restored"]["one device"]
    assert (
        received["devices"][0] == {"4 devices": 8, "2 x 4 devices": 4}[layout]
    )
    for name in ("loss", "kernel"):
        np.testing.assert_allclose(
            received[name], expected[name], rtol=1e-5, atol=1e-6
        )


@pytest.mark.parametrize("layout", SHARDED)
def test_evaluation_equals_one_device(generators, layout):
    received = generators["restored"][layout]["metrics"]
    expected = generators["restored"]["one device"]["metrics"]
    assert received == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("layout", SHARDED)
def test_preset_of_another_layout_loads(generators, layout):
    received = generators["restored"][layout]
    expected = generators["restored"]["one device"]
    assert received["devices"][1] == received["devices"][0]
    np.testing.assert_allclose(
        received["preset kernel"],
        expected["preset kernel"],
        rtol=1e-5,
        atol=1e-6,
    )


def test_model_parallel_splits_weights_and_optimizer_state(generators):
    total, per_device = generators["2 x 4 devices"]["memory"]
    # Norms, positions and scalars are replicated.
    assert total / 4 < per_device < 0.3 * total
    total, per_device = generators["4 devices"]["memory"]
    assert per_device == total


def test_fused_attention_gets_equal_layouts(generators):
    assert generators["attention"] == 3 * [["batch", None, "model"]]


def test_variables_created_too_early(generators):
    message = generators["errors"]["early"]
    assert "seed_generator_state was created before" in message
    assert "`keras_larp.distribution.data_parallel`" in message


@pytest.mark.parametrize(
    "name, received", [("unknown", "'tpu:0'"), ("twice", "'cpu:1', 'cpu:1'")]
)
def test_invalid_devices(generators, name, received):
    message = generators["errors"][name]
    assert "different names of cpu:0, cpu:1" in message
    assert received in message


def test_shards_that_do_not_divide_the_devices(generators):
    message = generators["errors"]["shards"]
    assert "num_model_shards=3, with 8 devices" in message

"""Optimizer state that is split over processes, on PyTorch."""

import h5py
import keras
import numpy as np
import pytest
from distribution.jobs import train
from tiny_models import tiny_generator

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="tests torch.distributed"
)


def read_state(folder):
    """All arrays of a checkpoint: weights, and the state of the optimizer."""
    arrays = {}

    def read(name, item):
        if isinstance(item, h5py.Dataset):
            arrays[name] = item[()]

    with h5py.File(folder / "model.weights.h5") as file:
        file.visititems(read)
    return arrays


def test_sharded_and_resumed_state_equals_the_complete_one(tmp_path):
    checkpoints = [tmp_path / name for name in ("complete", "sharded")]
    options = {"adam": "complete", "checkpoints": checkpoints[0]}
    train(tmp_path / "1", "generator", 2, **options)
    options = {"adam": "sharded", "checkpoints": checkpoints[1]}
    train(tmp_path / "2", "generator", 2, epochs=1, **options)
    train(tmp_path / "3", "generator", 2, **options)
    expected, received = (
        read_state(folder / "step_00000004") for folder in checkpoints
    )
    assert expected.keys() == received.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(received[name], value, name)


@pytest.fixture
def sharding(monkeypatch):
    """Makes this process think that it is the second one of four."""
    from keras_larp.backend import torch_replicas, torch_sharded_optimizer

    monkeypatch.setattr("torch.distributed.get_world_size", lambda: 4)
    monkeypatch.setattr("torch.distributed.get_rank", lambda: 1)
    monkeypatch.setattr(torch_replicas, "_is_enabled", True)
    monkeypatch.setattr(torch_sharded_optimizer, "_is_enabled", True)


def memory(optimizer):
    """The bytes of the state of an optimizer."""
    values = [variable.value for variable in optimizer.variables]
    return sum(value.untyped_storage().nbytes() for value in values)


def test_sharded_state_takes_a_part_of_the_memory(sharding):
    optimizer = keras.optimizers.Adam()
    generator = tiny_generator()
    generator.compile(optimizer)
    complete = 2 * sum(v.value.nbytes for v in generator.trainable_variables)
    # Whole variables are assigned, so that parts are not equal.
    assert 0.15 < memory(optimizer) / complete < 0.35


def test_sharded_state_is_not_saved_in_part(tmp_path, sharding):
    generator = tiny_generator()
    generator.compile("adam")
    with pytest.raises(RuntimeError, match=r"callbacks\.Checkpoint"):
        generator.save_weights(tmp_path / "generator.weights.h5")


def test_existing_state_cannot_be_sharded(sharding):
    generator, optimizer = tiny_generator(), keras.optimizers.Adam()
    optimizer.build(generator.trainable_variables)
    with pytest.raises(ValueError, match="new optimizer"):
        generator.compile(optimizer)

"""Data-parallel training on two devices on TensorFlow."""

import keras
import pytest
from distribution.jobs import run_job

from keras_larp.distribution import data_parallel, initialize

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="tests tf.distribute"
)


@pytest.mark.parametrize(
    "checks",
    [
        ("refuse_earlier_model", "collectives", "updates", "skip_non_finite"),
        ("train_tokenizer",),
        ("train_generator",),
    ],
    ids="-".join,
)
def test_two_devices_train_like_one(checks):
    run_job(["-m", "distribution.tensorflow_job", *checks], 1)


@pytest.mark.parametrize(
    ("devices", "message"),
    [
        (["gpu:7"], "does not know: 'gpu:7'.*Known devices: cpu:0"),
        (["cpu:0", "/CPU:0"], "each device once"),
    ],
)
def test_invalid_devices(devices, message):
    with pytest.raises(ValueError, match=message):
        data_parallel(devices)


def test_one_device_needs_no_strategy():
    assert data_parallel() == 1


def test_several_processes_are_not_supported():
    with pytest.raises(NotImplementedError, match="MultiWorkerMirrored"):
        initialize("localhost:1234", 2, 0)

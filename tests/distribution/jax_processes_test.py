"""Training in two processes on JAX, connected by gloo."""

import time

import keras
import numpy as np
import pytest
from distribution.jax_fault import TIMEOUT
from distribution.jobs import start_job, train

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "jax", reason="tests jax.distributed"
)


def test_processes_train_like_one_process(tmp_path):
    # The data set gives each process its part of training batches, and all of
    # the validation batches, the last of which is incomplete.
    ((expected, expected_history),) = train(tmp_path / "one", "generator", 1)
    for weights, history in train(tmp_path / "two", "generator", 2):
        for received, values in (
            (weights, expected),
            (history, expected_history),
        ):
            for name, value in values.items():
                np.testing.assert_allclose(
                    received[name], value, 1e-5, 1e-6, err_msg=name
                )


def test_job_with_a_killed_process_ends(tmp_path):
    job = start_job(["-m", "distribution.jax_fault", tmp_path], 2)
    _, killed = job
    assert killed.communicate(timeout=200)[0].endswith("loaded\n")
    start = time.monotonic()
    output, errors = job[0].communicate(timeout=200)
    # The time in which processes end depends on other jobs of the machine.
    assert time.monotonic() - start < 4 * TIMEOUT
    # Both read what the first one had saved alone.
    assert output.endswith("loaded\n")
    assert job[0].returncode != 0
    assert "Task 1 heartbeat timeout" in errors

"""Data-parallel training in several processes on PyTorch."""

import keras
import numpy as np
import pytest
from distribution.jobs import run_job, start_job, train, train_command

from keras_larp.backend import devices

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="tests torch.distributed"
)
# Means over the clips of a batch of what depends on all of them, or counts of
# a batch. In validation, each process has batches of its own.
OF_BATCHES = (
    "val_batch_codebook_usage",
    "val_entropy_loss",
    "val_lecam_loss",
    "val_loss",
    "val_quantizer_loss",
)


def check_weights(weights, expected):
    for name, value in expected.items():
        np.testing.assert_allclose(
            weights[name], value, 1e-5, 1e-5, err_msg=name
        )


@pytest.mark.parametrize(
    ("model", "count"),
    [("tokenizer", 2), ("elastic_tokenizer", 2), ("generator", 4)],
)
def test_processes_train_like_one_process(tmp_path, model, count):
    ((expected, expected_history),) = train(tmp_path / "1", model, 1)
    for weights, history in train(tmp_path / "2", model, count):
        check_weights(weights, expected)
        for name, value in expected_history.items():
            if name not in OF_BATCHES:
                np.testing.assert_allclose(
                    history[name], value, 1e-4, 1e-5, err_msg=name
                )


def test_run_of_two_processes_resumes_in_one(tmp_path):
    ((expected, _),) = train(tmp_path / "1", "tokenizer", 1)
    options = {"checkpoints": tmp_path / "checkpoints"}
    train(tmp_path / "2", "tokenizer", 2, epochs=1, **options)
    ((weights, _),) = train(tmp_path / "3", "tokenizer", 1, **options)
    check_weights(weights, expected)


def test_non_finite_clips_of_one_process_skip_the_step_in_all(tmp_path):
    for _, history in train(
        tmp_path / "2", "tokenizer", 2, fault="nan", epochs=1
    ):
        assert history["skipped_steps"] == [2]
        assert history["invalid_clips"] == [8]


@pytest.mark.parametrize(("fault", "timeout"), [("kill", 60), ("hang", 5)])
def test_process_that_fails_ends_the_job_by_an_error(tmp_path, fault, timeout):
    options = {"fault": fault, "timeout": timeout, "num_clips": 64}
    job = start_job(train_command(tmp_path, "generator", options), 2)
    _, error = job[0].communicate(timeout=120)
    assert job[0].returncode == 1
    assert "Process 1 of 2 (from 0) ended or did not respond for" in error
    job[1].kill()


def test_signal_to_one_process_saves_a_checkpoint_and_ends_all(tmp_path):
    checkpoints = tmp_path / "checkpoints"
    options = {
        "fault": "terminate",
        "num_clips": 64,
        "checkpoints": checkpoints,
    }
    job = start_job(train_command(tmp_path, "generator", options), 2)
    for process in job:
        process.communicate(timeout=120)
        assert process.returncode == 143
    assert (checkpoints / "step_00000002" / "state.json").exists()


def test_processes_with_different_settings_are_refused(tmp_path):
    options = {"fault": "settings"}
    with pytest.raises(RuntimeError, match="the same software or settings"):
        run_job(train_command(tmp_path, "generator", options), 2)


def test_processes_without_data_parallel_are_refused(monkeypatch):
    monkeypatch.setattr("torch.distributed.is_initialized", lambda: True)
    monkeypatch.setattr("torch.distributed.get_world_size", lambda: 2)
    with pytest.raises(RuntimeError, match="data_parallel"):
        devices.check_is_enabled()

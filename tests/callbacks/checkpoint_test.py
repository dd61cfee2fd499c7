"""Killed runs resume exactly."""

import collections
import importlib.util
import json
import pathlib
import shutil
import signal
import subprocess
import sys

import h5py
import keras
import numpy as np
import pytest
from keras import ops
from tiny_models import tiny_tokenizer

from keras_larp.callbacks import Checkpoint, checkpoint_files
from keras_larp.utils import files

SCRIPT = pathlib.Path(__file__).with_name("resumable_run.py")


def load_script():
    spec = importlib.util.spec_from_file_location("resumable_run", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


run = load_script().run


def assert_same_state(received, expected, **tolerance):
    """Compares the state that steps update, without metrics."""
    for a, b in zip(variables(received), variables(expected), strict=True):
        values = ops.convert_to_numpy(a), ops.convert_to_numpy(b)
        np.testing.assert_allclose(*values, err_msg=a.path, **tolerance)


def variables(model):
    found = [*model.variables, *model.optimizer.variables]
    # The learning rate of `TokenizerOptimizer` itself is unused.
    return [v for v in found if v.path != "tokenizer_optimizer/learning_rate"]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def steps(*values):
    return [f"step_{value:08d}" for value in values]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    return run(tmp_path_factory.mktemp("uninterrupted") / "run")


@pytest.mark.parametrize("kill", ["step", "save"])
def test_killed_run_matches_an_uninterrupted_run(kill, uninterrupted, tmp_path):
    expected_model, expected = uninterrupted
    process = subprocess.run([sys.executable, SCRIPT, tmp_path, kill])
    assert process.returncode == -signal.SIGKILL
    # Killed in step 8, after the save of step 6, or in the save of step 9.
    found = names(tmp_path)
    assert found[-2:] == steps(3, 6)
    partial = [name for name in found if name.endswith("step_00000009")]
    assert len(partial) == (kill == "save")

    model, received = run(tmp_path, seed=1)

    # The resumed run completes the epoch in which it was killed.
    assert received.epoch == [1, 2]
    for name, values in expected.history.items():
        np.testing.assert_allclose(
            received.history[name], values[1:], rtol=1e-6, err_msg=name
        )
    assert_same_state(model, expected_model, rtol=1e-6, atol=1e-7)
    assert names(tmp_path) == steps(6, 9, 12)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_signal_saves_the_current_step(name, uninterrupted, tmp_path):
    process = subprocess.run(
        [sys.executable, SCRIPT, tmp_path, name], capture_output=True, text=True
    )
    assert f"Received {name}: saving" in process.stderr
    assert f"Saved {tmp_path / steps(8)[0]}" in process.stderr
    if name == "SIGTERM":
        assert process.returncode == 128 + signal.SIGTERM
    else:
        assert process.stderr.endswith("KeyboardInterrupt\n")
    assert names(tmp_path)[-1:] == steps(8)
    model, _ = run(tmp_path, seed=1)
    assert_same_state(model, uninterrupted[0], rtol=1e-6, atol=1e-7)


def test_second_signal_stops_at_once(tmp_path):
    process = subprocess.run([sys.executable, SCRIPT, tmp_path, "twice"])
    assert process.returncode == 128 + signal.SIGTERM
    assert names(tmp_path) == steps(3, 6)


def test_signal_handlers_are_restored(tmp_path):
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with Checkpoint(tmp_path).stop_on_signals():
        assert signal.getsignal(signal.SIGTERM) != before[0]
        with pytest.raises(SystemExit):  # At once, outside of training.
            signal.raise_signal(signal.SIGTERM)
    after = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    assert after == before


@pytest.mark.once
def test_diverged_epoch_is_not_the_best(tmp_path):
    checkpoint = Checkpoint(tmp_path, monitor="val_loss")
    checkpoint._best, checkpoint._step = None, 0
    assert not checkpoint._improves({"loss": 1.0, "val_loss": float("inf")})
    assert not checkpoint._improves({"loss": float("nan"), "val_loss": 0.0})
    assert checkpoint._improves({"loss": 1.0, "val_loss": 2.0})


class Batches(keras.callbacks.Callback):
    """Counts the batches of each epoch."""

    def __init__(self, on_epoch_end=None):
        super().__init__()
        self.batches = []
        self.at_end = on_epoch_end

    def on_epoch_begin(self, epoch, logs=None):
        self.batches.append(0)

    def on_train_batch_begin(self, batch, logs=None):
        self.batches[-1] += 1

    def on_epoch_end(self, epoch, logs=None):
        if self.at_end:
            self.at_end(self.model)


def cut(folder, last):
    """Removes the checkpoints after step `last`, as if the run was killed."""
    for path in folder.glob("step_*"):
        if path.name > f"step_{last:08d}":
            shutil.rmtree(path)


def test_resumed_epoch_has_the_remaining_steps(tmp_path):
    run(tmp_path, save_every_steps=1, keep_last=20)
    cut(tmp_path, 7)
    batches = Batches()
    run(tmp_path, extra=[batches])
    assert batches.batches == [1, 4]


def test_other_callbacks_can_stop_a_run_in_its_resumed_epoch(tmp_path):
    run(tmp_path, save_every_steps=1, keep_last=20)
    cut(tmp_path, 6)

    def stop(model):
        model.stop_training = True

    batches = Batches(stop)
    run(tmp_path, extra=[batches])
    assert batches.batches == [2]


def test_finished_run_stays_finished(tmp_path, uninterrupted):
    run(tmp_path)
    model, history = run(tmp_path, seed=1)
    assert history.epoch == []
    assert_same_state(model, uninterrupted[0])


def test_checkpoints_are_saved_every_epoch_and_the_last_are_kept(tmp_path):
    run(tmp_path, save_every_steps=None, keep_last=2)
    assert names(tmp_path) == steps(8, 12)


def test_resuming_removes_checkpoints_that_a_killed_run_did_not(tmp_path):
    run(tmp_path, save_every_steps=3, keep_last=4)
    run(tmp_path, save_every_steps=3, keep_last=2)  # It is already finished.
    assert names(tmp_path) == steps(9, 12)


def test_last_epoch_of_early_stopping_is_saved(tmp_path):
    stopping = keras.callbacks.EarlyStopping("loss", min_delta=1e9)
    run(tmp_path, first=[stopping], save_every_steps=5)
    assert names(tmp_path) == steps(5, 8)


def test_last_checkpoint_has_raw_weights(tmp_path):
    # Even if its step is not a multiple of `save_every_steps`: at the end of
    # training, Keras replaces the weights by their averages.
    kernels = []
    for every in (5, 12):
        folder = tmp_path / str(every)
        model, _ = run(folder, save_every_steps=every)
        with h5py.File(folder / steps(12)[0] / "model.weights.h5") as file:
            kernels.append(file["dense/vars/0"][:])
    np.testing.assert_allclose(*kernels, rtol=1e-6)
    averaged = ops.convert_to_numpy(model.dense.kernel)
    assert not np.allclose(kernels[0], averaged, rtol=1e-3)


def test_best_epoch_is_kept(tmp_path):
    class Score(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["score"] = [1.0, 2.0, 0.0][epoch]

    model = tiny_model()
    callback = Checkpoint(tmp_path, keep_last=1, monitor="score", mode="max")
    x = np.ones((4, 2), "float32")
    model.fit(x, x, 2, epochs=3, callbacks=[Score(), callback], verbose=0)
    assert names(tmp_path) == ["best", *steps(4, 6)]
    assert (tmp_path / "best").resolve().name == "step_00000004"
    state = json.loads((tmp_path / "best" / "state.json").read_text())
    assert state["best"] == {"value": 2.0, "step": 4}

    # A resumed run knows the best value of the previous run.
    model.fit(x, x, 2, epochs=5, callbacks=[Worse(), callback], verbose=0)
    assert names(tmp_path) == ["best", *steps(4, 10)]


class Worse(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        logs["score"] = 1.5


def test_unknown_monitor_is_an_error(tmp_path):
    x = np.ones((4, 2), "float32")
    callback = Checkpoint(tmp_path, monitor="psnr")
    with pytest.raises(ValueError, match="logs, which have: loss.*'psnr'"):
        tiny_model().fit(x, x, callbacks=[callback], verbose=0)


def tiny_model(units=2, optimizer="adam"):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(units)])
    model.compile(optimizer, "mse")
    return model


def test_all_state_of_a_tokenizer_is_restored(tmp_path):
    model = tiny_tokenizer()
    model.compile(keras.optimizers.Adam(1e-3), 2.0)
    state = [*variables(model), *model.metrics_variables]
    folder = tmp_path / "step_00000001"
    values = [
        np.random.default_rng(i).integers(1, 99, v.shape).astype(v.dtype)
        for i, v in enumerate(state)
    ]
    for variable, value in zip(state, values, strict=True):
        variable.assign(value)
    folder.mkdir()
    checkpoint_files.write_variables(model, folder)
    for variable in state:
        variable.assign(np.zeros(variable.shape, variable.dtype))
    metrics = checkpoint_files.read_variables(model, folder)
    for variable, value in zip(model.metrics_variables, metrics, strict=True):
        variable.assign(value)
    for variable, value in zip(state, values, strict=True):
        np.testing.assert_array_equal(
            ops.convert_to_numpy(variable), value, err_msg=variable.path
        )


def fit_once(model, folder, **options):
    width = model.output_shape[-1]
    model.fit(
        np.ones((4, 2), "float32"),
        np.ones((4, width), "float32"),
        callbacks=[Checkpoint(folder, **options)],
        verbose=0,
    )


@pytest.mark.parametrize(
    "other, message",
    [
        (
            {"units": 3},
            r"misshapen: .*dense/0 has shape \(2, 2\), expected",
        ),
        ({"optimizer": "sgd"}, "extra: optimizer/2, optimizer/3"),
    ],
)
def test_mismatched_variables_are_named(other, message, tmp_path):
    fit_once(tiny_model(), tmp_path)
    model = tiny_model(**other)
    before = [ops.convert_to_numpy(w) for w in model.weights]
    with pytest.raises(ValueError, match=message):
        fit_once(model, tmp_path)
    for old, new in zip(before, model.weights, strict=True):
        np.testing.assert_array_equal(old, ops.convert_to_numpy(new))
    assert names(tmp_path) == steps(1)


def test_corrupt_file_is_named(tmp_path):
    fit_once(tiny_model(), tmp_path)
    (tmp_path / steps(1)[0] / "model.weights.h5").write_bytes(b"not weights")
    with pytest.raises(
        ValueError, match="1/model.weights.h5 cannot be read.*Rem"
    ):
        fit_once(tiny_model(), tmp_path)


def test_folder_of_another_run_is_not_overwritten(tmp_path):
    fit_once(tiny_model(), tmp_path)
    with pytest.raises(FileExistsError, match="step_00000001.*another folder"):
        fit_once(tiny_model(), tmp_path, resume=False)


def test_weights_of_a_checkpoint_load_without_the_callback(tmp_path):
    model = tiny_model()
    fit_once(model, tmp_path)
    other = tiny_model()
    other.optimizer.build(other.trainable_variables)
    other.load_weights(tmp_path / steps(1)[0] / "model.weights.h5")
    assert_same_state(other, model)


def test_other_epoch_length_is_an_error_within_an_epoch(tmp_path):
    run(tmp_path, save_every_steps=1, keep_last=20)
    cut(tmp_path, 6)
    state = tmp_path / steps(6)[0] / "state.json"
    state.write_text(state.read_text().replace('_epoch": 4', '_epoch": 5'))
    with pytest.raises(
        ValueError, match="epoch of 5 steps. Received data with 4"
    ):
        run(tmp_path)


def test_position_in_the_data_is_not_ignored(tmp_path):
    run(tmp_path)
    with pytest.raises(ValueError, match="Pass `dataset`"):
        fit_once(tiny_model(), tmp_path)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"save_every_steps": 5}, "Pass `dataset`"),
        ({"save_every_steps": 0}, "save_every_steps=0"),
        ({"keep_last": 0}, "keep_last=0"),
        ({"mode": "auto"}, "mode='auto'"),
        ({"dataset": [1]}, "Received: list"),
    ],
)
def test_invalid_arguments(options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        Checkpoint(tmp_path, **options)


@pytest.mark.once
def test_resuming_on_a_full_disk_is_an_error(tmp_path, monkeypatch):
    run(tmp_path)
    usage = collections.namedtuple("usage", "total used free")
    monkeypatch.setattr(
        files.shutil, "disk_usage", lambda _: usage(2**30, 2**30, 0)
    )
    with pytest.raises(OSError, match="has 0 MiB left"):
        run(tmp_path)

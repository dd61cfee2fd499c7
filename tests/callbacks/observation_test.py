"""Callbacks that monitor a run: grids, throughput, codebook usage."""

import csv
import time
import types
import warnings

import keras
import numpy as np
import pytest
from keras import ops
from tiny_models import clips, tiny_generator, tiny_tokenizer

from keras_larp import callbacks, data

pytestmark = pytest.mark.once


def use(callback, model, logs=None, epochs=1):
    """Calls the epoch methods of a callback, without training."""
    callback.set_model(model)
    for epoch in range(epochs):
        callback.on_epoch_begin(epoch)
        callback.on_epoch_end(epoch, logs)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_reconstructions_are_to_the_right_of_originals(tmp_path):
    model, video = tiny_tokenizer(), clips()
    grid = callbacks.ReconstructionGrid(
        video, tmp_path, every=2, num_clips=3, suffix=".mp4"
    )
    use(grid, model, epochs=5)
    assert names(tmp_path) == ["epoch_0002.mp4", "epoch_0004.mp4"]
    written = data.read_frames(tmp_path / "epoch_0002.mp4", range(4))
    assert written.shape == (4, 38, 74, 3)  # 2 rows of 4 clips of 16 pixels
    decoded = ops.convert_to_numpy(model.decode(model.encode(video[:1])))
    for left, clip in ((2, video[0]), (20, decoded[0])):
        shown = written[:, 2:18, left : left + 16] / 255.0
        assert np.abs(shown - clip).mean() < 0.2
        assert abs(shown.mean() - clip.mean()) < 0.05


def test_reconstruction_grid_uses_the_first_batch_of_a_data_set():
    video = clips()
    dataset = [(video[:2], [0, 1]), (video[2:], [0, 1])]
    grid = callbacks.ReconstructionGrid(dataset, "folder")
    np.testing.assert_array_equal(grid.clips, video[:2])


def test_reconstruction_grid_accepts_tensors():
    tensor = ops.convert_to_tensor(clips())
    if hasattr(tensor, "requires_grad_"):
        tensor.requires_grad_()  # NumPy rejects it, like a tensor on a GPU.
    grid = callbacks.ReconstructionGrid(tensor, "folder", num_clips=2)
    np.testing.assert_array_equal(grid.clips, clips()[:2])


def test_samples_have_a_constant_seed(monkeypatch, tmp_path):
    tokenizer, generator = tiny_tokenizer(), tiny_generator()
    grids = []
    monkeypatch.setattr(
        data, "write_video", lambda path, video, fps: grids.append(video)
    )
    grid = callbacks.SampleGrid(
        [0, 1, 2], tokenizer, tmp_path, num_columns=2, guidance_scale=1.5
    )
    use(grid, generator, epochs=2)
    expected = generator.generate(
        [0, 1, 2], seed=0, guidance_scale=1.5, tokenizer=tokenizer
    )
    expected = data.video_grid(ops.convert_to_numpy(expected), 2)
    assert len(grids) == 2
    for video in grids:
        np.testing.assert_array_equal(video, expected)


@pytest.mark.parametrize("dtype", ["float32", "mixed_float16"])
def test_grids_show_averaged_weights(monkeypatch, tmp_path, dtype):
    model, video = tiny_tokenizer(dtype=dtype), clips()
    model.compile(keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.9))
    shown = []
    monkeypatch.setattr(
        data, "write_video", lambda path, grid, fps: shown.append(grid)
    )
    grid = callbacks.ReconstructionGrid(video, tmp_path)

    def zero_weights(epoch, logs):
        """Zeros the weights, so that only the averages have been trained."""
        for variable in model.trainable_variables:
            variable.assign(ops.zeros(variable.shape))

    def check(epoch, logs):
        for variable in model.trainable_variables:
            assert not ops.convert_to_numpy(variable).any()

    hooks = [
        keras.callbacks.LambdaCallback(on_epoch_end=hook)
        for hook in (zero_weights, check)
    ]
    hooks.insert(1, grid)
    model.fit(video, batch_size=2, callbacks=hooks, verbose=0)
    # At the end of `fit`, the weights of the model are the averages.
    decoded = model.decode(model.encode(video))
    pairs = np.stack((video, ops.convert_to_numpy(decoded)), axis=1)
    expected = data.video_grid(pairs.reshape(-1, *pairs.shape[2:]), 4)
    np.testing.assert_array_equal(shown, [expected])


def test_throughput_excludes_validation():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.25), "mse")
    throughput = callbacks.Throughput(batch_size=4)
    throughput.set_model(model)
    throughput.on_epoch_begin(0)
    for batch in range(5):
        throughput.on_train_batch_end(batch)
    time.sleep(0.02)
    throughput.on_test_begin()
    time.sleep(0.2)
    logs = {}
    throughput.on_epoch_end(0, logs)
    assert 20 / 0.2 < logs["clips_per_second"] <= 20 / 0.02
    assert logs["learning_rate"] == 0.25


def test_learning_rates_of_all_optimizers_are_logged():
    def optimizer(rate):
        return types.SimpleNamespace(learning_rate=rate, iterations=0)

    inner = optimizer(0.5)
    inner.prior_optimizer = optimizer(2.0)
    inner.discriminator_optimizer = optimizer(0.125)
    scaled = optimizer(0.5)
    scaled.inner_optimizer = inner
    expected = {
        "learning_rate": 0.5,
        "prior_learning_rate": 2.0,
        "discriminator_learning_rate": 0.125,
    }
    for outer in (inner, scaled):
        logs = {}
        model = types.SimpleNamespace(optimizer=outer, prior=1, discriminator=1)
        use(callbacks.Throughput(1), model, logs)
        logs.pop("clips_per_second")
        assert logs == expected
    logs = {}
    model = types.SimpleNamespace(optimizer=inner, prior=None)
    use(callbacks.Throughput(1), model, logs)
    assert set(logs) == {"clips_per_second", "learning_rate"}


METRICS = ["loss", "top1", "top5", "clips_per_second", "learning_rate"]


def fit_generator(logger):
    model = tiny_generator()
    model.compile(keras.optimizers.Adam(1e-3))
    tokens = {"token_ids": np.zeros((2, 6), int), "class_ids": np.arange(2)}
    found = [callbacks.Throughput(2), logger]
    model.fit(tokens, batch_size=2, callbacks=found, verbose=0)


def test_csv_logger_logs_all_metrics(tmp_path):
    fit_generator(keras.callbacks.CSVLogger(tmp_path / "log.csv"))
    with (tmp_path / "log.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert np.isfinite([float(row[name]) for name in METRICS]).all()


def test_tensorboard_logs_all_metrics(tmp_path):
    pytest.importorskip("tensorboard")
    fit_generator(keras.callbacks.TensorBoard(tmp_path))
    (events,) = (tmp_path / "train").glob("*tfevents*")
    content = events.read_bytes()
    for name in METRICS:
        assert f"epoch_{name}".encode() in content


def test_collapse_warns_once_and_again_after_recovery():
    warning = callbacks.CodebookCollapseWarning(0.2)

    def warned(usage):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            use(warning, None, {"codebook_usage": usage})
        return [str(w.message) for w in caught]

    assert warned(0.5) == []
    (message,) = warned(0.1)
    assert "epoch 1 used 10.0% of the codes. Try batch" in message
    assert warned(0.1) == []
    assert warned(0.3) == []
    assert len(warned(0.1)) == 1


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: callbacks.Throughput(0), "batch_size=0"),
        (lambda: callbacks.CodebookCollapseWarning(2), "minimum=2"),
        (lambda: callbacks.SampleGrid([0], None, "f"), "tokenizer=None"),
        (
            lambda: callbacks.SampleGrid([0], tiny_tokenizer(), "f", every=0),
            "every=0",
        ),
        (
            lambda: callbacks.ReconstructionGrid(np.ones((2, 3)), "f"),
            r"shape=\(2, 3\)",
        ),
        (
            lambda: use(callbacks.CodebookCollapseWarning(), None, {"loss": 1}),
            "logs, which have: loss.*'codebook_usage'",
        ),
    ],
)
def test_invalid_arguments(make, message):
    with pytest.raises((TypeError, ValueError), match=message):
        make()


@pytest.mark.once
def test_frame_rates_of_grids_may_be_fractional():
    grid = callbacks.ReconstructionGrid(clips(), "folder", fps=29.97)
    samples = callbacks.SampleGrid([0], tiny_tokenizer(), "folder", fps=29.97)
    assert grid.fps == samples.fps == 29.97
    with pytest.raises(ValueError, match="`fps` must be a finite number"):
        callbacks.ReconstructionGrid(clips(), "folder", fps=0)

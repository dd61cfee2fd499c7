"""tensorflow-io decodes the same frames as PyAV.

Only `make test-tfio` runs all of these tests.
"""

import os
import sys

import keras
import numpy as np
import pytest
from tiny_models import tiny_tokenizer

from keras_larp import data

pytestmark = pytest.mark.once


@pytest.fixture
def tfio():
    if not os.environ.get("KERAS_LARP_REQUIRE_TFIO"):
        pytest.skip("needs the environment that `make test-tfio` creates")


@pytest.fixture
def files(shared_dir):
    paths = sorted((shared_dir / "data").glob("UCF-101/*/*.avi"))
    return data.FileSource(
        [data.VideoFile(str(path), i) for i, path in enumerate(paths)]
    )


def test_missing_dependency_names_the_extra(monkeypatch):
    pytest.importorskip("tensorflow")
    monkeypatch.setitem(sys.modules, "tensorflow_io", None)
    with pytest.raises(ImportError, match=r'"keras-larp\[tfio\]"'):
        data.tf_video_dataset(data.MovingShapes(1), reader="tfio")


def test_error_names_the_requirements_of_the_decoder(monkeypatch):
    pytest.importorskip("tensorflow")
    for name in ("", ".python", ".python.ops"):
        package = type(sys)(f"tensorflow_io{name}")
        package.__path__ = []
        monkeypatch.setitem(sys.modules, package.__name__, package)
    monkeypatch.delitem(
        sys.modules, "tensorflow_io.python.ops.ffmpeg_ops", raising=False
    )
    with pytest.raises(ImportError, match="TensorFlow 2.16.*FFmpeg 4"):
        data.TfioReader(data.MovingShapes(1))


def test_unknown_reader():
    pytest.importorskip("tensorflow")
    with pytest.raises(ValueError, match="reader='decord'"):
        data.tf_video_dataset(data.MovingShapes(1), reader="decord")


def test_frames_equal_those_of_pyav(tfio, files):
    reader = data.TfioReader(files)
    assert len(reader) == len(files) == 2
    for i in range(len(files)):
        assert reader.label(i) == files.label(i)
        assert reader.name(i) == files.name(i)
        indices = np.arange(reader.num_frames(i))
        np.testing.assert_array_equal(
            reader.read(i, indices), files.read(i, indices)
        )


def test_only_the_last_columns_of_odd_widths_are_wrong(tfio, shared_dir):
    path = str(shared_dir / "data/kinetics/arm_wrestling.mp4")  # 340 wide
    files = [data.VideoFile(path)]
    source = data.FileSource(files, geometry="stored")
    reader = data.TfioReader(source)
    video = reader.read(0, np.arange(reader.num_frames(0)))
    expected = source.read(0, np.arange(len(video)))
    np.testing.assert_array_equal(video[:, :, :336], expected[:, :, :336])


def test_pipelines_of_both_readers_yield_the_same_clips(tfio, files):
    first, second = (
        list(data.tf_video_dataset(files, 4, 32, 2, seed=1, reader=reader))
        for reader in ("pyav", "tfio")
    )
    assert len(first) == len(second) == 1
    for (video, labels), (other, other_labels) in zip(
        first, second, strict=True
    ):
        np.testing.assert_array_equal(labels, other_labels)
        np.testing.assert_array_equal(video, other)


def test_files_that_are_not_videos(tfio, files, tmp_path):
    (tmp_path / "text.mp4").write_text("not a video")
    text = data.VideoFile(str(tmp_path / "text.mp4"))
    strange = data.FileSource([text, *files.files])
    with pytest.raises(data.VideoDecodeError, match="text.mp4"):
        data.TfioReader(strange).num_frames(0)
    dataset = data.tf_video_dataset(
        strange, 4, 32, on_error="skip", reader="tfio"
    )
    assert [len(labels) for _, labels in dataset] == [2]


def test_all_odd_files_are_read_as_by_pyav(tfio, shared_dir):
    source = odd_files(shared_dir)
    reader = data.TfioReader(source)
    for i in range(len(source)):
        count = source.num_frames(i)
        assert reader.num_frames(i) == count, source.name(i)
        indices = [0, count // 2, count - 1]
        frames, expected = reader.read(i, indices), source.read(i, indices)
        assert frames.shape == expected.shape
        width = frames.shape[2] // 8 * 8
        difference = frames[:, :, :width] - expected[:, :, :width].astype(float)
        assert np.abs(difference).mean() < 3, source.name(i)


def odd_files(shared_dir, *others):
    paths = sorted((shared_dir / "data/odd").glob("*.*"))
    files = [*(p for p in paths if p.suffix != ".md"), *others]
    return data.FileSource(
        [data.VideoFile(str(path), i) for i, path in enumerate(files)]
    )


def test_display_matrix_is_applied(tfio, shared_dir, tmp_path):
    path = shared_dir / "data/odd/video_90.mov"
    source = data.FileSource([data.VideoFile(str(path))])
    assert data.TfioReader(source).read(0, [0]).shape == (1, 568, 320, 3)
    source = data.FileSource(source.files, geometry="stored")
    assert data.TfioReader(source).read(0, [0]).shape == (1, 320, 568, 3)


def test_sources_of_different_geometry(tfio, files):
    stored = data.FileSource(files.files, geometry="stored")
    with pytest.raises(ValueError, match="same geometry.*'display,stored'"):
        data.TfioReader(data.ConcatSource([files, stored]))


def test_training_on_all_odd_files_and_a_broken_one(tfio, shared_dir, tmp_path):
    (tmp_path / "text.mp4").write_text("not a video")
    damaged = shared_dir / "data/broken/corrupted.mp4"  # is concealed
    source = odd_files(shared_dir, damaged, tmp_path / "text.mp4")
    dataset = data.tf_video_dataset(
        source,
        num_frames=4,
        image_size=16,
        batch_size=1,
        on_error="skip",
        reader="tfio",
        with_labels=False,
    )
    model = tiny_tokenizer(prior=None)
    model.compile(keras.optimizers.Adam())
    history = model.fit(dataset, epochs=1, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert int(model.optimizer.iterations) == len(source) - 1

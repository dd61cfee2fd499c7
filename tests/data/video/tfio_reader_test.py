"""tensorflow-io gives PyAV's frames; runs whole in `make test-tfio` alone."""

import os
import sys

import numpy as np
import pytest

from keras_larp import data

pytestmark = pytest.mark.once


@pytest.fixture
def tfio():
    if not os.environ.get("KERAS_LARP_REQUIRE_TFIO"):
        pytest.skip("needs the environment that `make test-tfio` makes")


@pytest.fixture
def files(shared_dir):
    paths = sorted((shared_dir / "data").glob("UCF-101/*/*.avi"))
    return [data.VideoFile(str(path), i) for i, path in enumerate(paths)]


def test_missing_extra_is_named(monkeypatch):
    pytest.importorskip("tensorflow")
    monkeypatch.setitem(sys.modules, "tensorflow_io", None)
    with pytest.raises(ImportError, match=r'"keras-larp\[tfio\]"'):
        data.tf_video_dataset(data.MovingShapes(1), reader="tfio")


def test_decoder_that_does_not_load_says_what_it_needs(monkeypatch):
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


def test_frames_are_those_of_pyav(tfio, files):
    reader = data.TfioReader(files)
    assert len(reader) == len(files) == 2
    for i, file in enumerate(files):
        clip = reader[i]
        assert clip["label"] == file.label
        expected = data.read_frames(file.path, np.arange(len(clip["video"])))
        np.testing.assert_array_equal(clip["video"], expected)


def test_last_columns_of_odd_widths_alone_are_wrong(tfio, shared_dir):
    path = str(shared_dir / "data/kinetics/arm_wrestling.mp4")  # 340 wide
    video = data.TfioReader([data.VideoFile(path)])[0]["video"]
    expected = data.read_frames(path, np.arange(len(video)))
    np.testing.assert_array_equal(video[:, :, :336], expected[:, :, :336])


def test_pipelines_of_both_readers_give_the_same_clips(tfio, files):
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


def test_files_that_are_no_video(tfio, files, tmp_path):
    (tmp_path / "text.mp4").write_text("not a video")
    strange = [data.VideoFile(str(tmp_path / "text.mp4")), *files]
    with pytest.raises(data.VideoDecodeError, match="text.mp4"):
        data.TfioReader(strange)[0]
    dataset = data.tf_video_dataset(
        strange, 4, 32, on_error="skip", reader="tfio"
    )
    assert [len(labels) for _, labels in dataset] == [2]

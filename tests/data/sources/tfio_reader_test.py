"""tensorflow-io decodes the same frames as PyAV.

Only `make test-tfio` runs all of these tests.
"""

import os
import sys

import numpy as np
import pytest

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
    reader = data.TfioReader(data.FileSource([data.VideoFile(path)]))
    video = reader.read(0, np.arange(reader.num_frames(0)))
    expected = data.read_frames(path, np.arange(len(video)))
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

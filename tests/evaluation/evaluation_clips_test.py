"""Selection and reading of evaluation clips."""

import random

import numpy as np
import pytest

from keras_larp import data
from keras_larp.evaluation import EvaluationClips, overlapping_files

pytestmark = pytest.mark.once


@pytest.fixture
def folder(tmp_path):
    for i in range(3):
        video = np.random.default_rng(i).random((9 + i, 16, 16, 3))
        data.write_video(tmp_path / "train" / f"{i}.mp4", video)
    return tmp_path


def test_clips_are_sampled_like_the_reference_implementation(folder):
    source = data.VideoFolder(folder / "train")
    clips = EvaluationClips(source, 4, 16, num_clips=5, seed=42)
    expected = random.Random(42).sample(range(6), 5)
    assert clips.indices == expected
    ((videos, _, indices),) = clips.batches([range(2, 5)])
    assert indices == [2, 3, 4]
    windows = [(video, start) for video in range(3) for start in (0, 4)]
    for clip, index in zip(videos, expected[2:], strict=True):
        video, start = windows[index]
        frames = data.read_clip(source.path(video), start, 4)
        np.testing.assert_allclose(clip, frames / 255, atol=1e-6)
    settings = clips.settings()
    assert settings["num_available_clips"] == 6
    other = EvaluationClips(source, 4, 16, num_clips=5, seed=43)
    assert settings["names_sha256"] != other.settings()["names_sha256"]


def test_sample_does_not_depend_on_the_order_of_the_source(folder):
    source = data.VideoFolder(folder / "train")
    unsorted = data.FileSource([source.files[i] for i in (2, 0, 1)])
    expected, clips = (
        EvaluationClips(x, 4, 16, num_clips=4, seed=42)
        for x in (source, unsorted)
    )
    assert clips.settings() == expected.settings()
    ((first, _, _),) = expected.batches([range(4)])
    ((second, _, _),) = clips.batches([range(4)])
    np.testing.assert_array_equal(first, second)


def test_labels_match_the_clips():
    source = data.MovingShapes(24, num_frames=8, image_size=8)
    clips = EvaluationClips(source, 4, 8, num_clips=10)
    ((_, labels, _),) = clips.batches([range(10)])
    np.testing.assert_array_equal(clips.labels(), labels)


def test_num_clips_out_of_range():
    source = data.MovingShapes(24, num_frames=8, image_size=8)
    with pytest.raises(ValueError, match="48 clips of 4 frames"):
        EvaluationClips(source, 4, 8, num_clips=49)
    assert (
        len(EvaluationClips(source, 4, 8, num_clips=49, allow_fewer=True)) == 48
    )
    assert (
        len(EvaluationClips(source, 4, 8, num_clips=3, allow_fewer=True)) == 3
    )


def test_unreadable_videos_are_skipped_and_counted(folder):
    broken = folder / "broken.mp4"
    broken.write_bytes(b"not a video")
    source = data.FileSource(
        [
            data.VideoFile(str(folder / "train" / "0.mp4"), 1),
            data.VideoFile(str(broken), 2),
            data.VideoFile(str(folder / "train" / "1.mp4"), 3),
        ]
    )
    clips = EvaluationClips(source, 4, 16, "first", on_error="skip")
    ((videos, labels, indices),) = clips.batches([range(3)])
    assert (len(videos), labels.tolist(), indices) == (2, [1, 3], [0, 2])
    assert len(clips.skipped) == 1
    clips = EvaluationClips(source, 4, 16, "first")
    with pytest.raises(data.VideoDecodeError, match="broken.mp4"):
        list(clips.batches([range(3)]))


def test_settings_count_unreadable_videos(folder):
    (folder / "train" / "broken.mp4").write_bytes(b"not a video")
    source = data.VideoFolder(folder / "train")
    clips = EvaluationClips(source, 4, 16, on_error="skip")
    list(clips.batches([range(6)]))
    settings = clips.settings()
    assert (settings["num_videos"], settings["num_clips"]) == (4, 6)
    assert settings["num_unreadable_videos"] == 1
    first = EvaluationClips(source, 4, 16, "first", on_error="skip")
    assert "num_unreadable_videos" not in first.settings()


def test_overlapping_files(folder):
    training = data.VideoFolder(folder / "train")
    copy = folder / "test" / "1.mp4"
    copy.parent.mkdir()
    copy.write_bytes((folder / "train" / "1.mp4").read_bytes())
    (folder / "test" / "0.mp4").write_bytes(b"another video with this name")
    test = data.VideoFolder(folder / "test")
    assert overlapping_files(test, training) == [str(copy)]
    assert len(overlapping_files(training, training)) == 3
    shapes = data.MovingShapes(4)
    assert overlapping_files(shapes, shapes) == []


def test_settings_have_the_geometry_of_files(folder):
    source = data.VideoFolder(folder / "train", geometry="stored")
    assert EvaluationClips(source, 4, 16).settings()["geometry"] == "stored"
    shapes = data.MovingShapes(2, 4, 16)
    assert "geometry" not in EvaluationClips(shapes, 4, 16).settings()

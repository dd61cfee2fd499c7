import numpy as np
import pytest
from number_clips import NumberClips

from keras_larp import data


def read_all(source, index):
    return source.read(index, np.arange(source.num_frames(index)))


def test_each_video_is_read_once():
    source = NumberClips(3)
    cached = data.CachedSource(source, image_size=2)
    videos = [read_all(cached, i) for i in (0, 1, 0, 2, 1)]
    assert source.reads == {0: 1, 1: 1, 2: 1}
    assert cached.num_bytes == sum(videos[i].nbytes for i in (0, 1, 3))


def test_batches_equal_those_of_the_source():
    source = data.MovingShapes(6, num_frames=4, image_size=16)

    def batches(source):
        return list(
            data.video_dataset(source, 2, batch_size=4, repeat=False, seed=1)
        )

    expected, found = batches(source), batches(data.CachedSource(source))
    for (video, label), (cached_video, cached_label) in zip(
        expected, found, strict=True
    ):
        np.testing.assert_array_equal(cached_video, video)
        np.testing.assert_array_equal(cached_label, label)


def test_files_are_cached_completely_at_clip_size(tmp_path):
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (9, 24, 40, 3), np.uint8)
    data.write_video(tmp_path / "a.mp4", frames)
    source = data.VideoFolder(tmp_path)
    options = {"num_frames": 4, "image_size": 16, "batch_size": 1}
    cached = data.CachedSource(source, image_size=16)
    assert read_all(cached, 0).shape == (9, 16, 16, 3)
    for frame_sampling in ("random", "uniform", "center"):
        expected, found = (
            next(
                iter(
                    data.video_dataset(
                        s, frame_sampling=frame_sampling, **options
                    )
                )
            )
            for s in (source, cached)
        )
        np.testing.assert_array_equal(found[0], expected[0])


def test_properties_are_those_of_the_source(tmp_path):
    source = data.MovingShapes(2, num_frames=4, image_size=16)
    cached = data.CachedSource(source)
    assert cached.class_names == source.class_names
    assert cached.default_num_frames == cached.num_frames(0) == 4
    assert cached.default_image_size == 16
    assert cached.name(1) == source.name(1) and cached.label(1) == 1
    (tmp_path / "a.mp4").touch()
    folder = data.VideoFolder(tmp_path)
    assert data.CachedSource(folder).path(0) == folder.path(0)
    with pytest.raises(ValueError, match="direction"):
        data.video_dataset(cached, horizontal_flip=True)


def test_only_sources_are_cached():
    with pytest.raises(TypeError, match="VideoSource.*type list"):
        data.CachedSource([])

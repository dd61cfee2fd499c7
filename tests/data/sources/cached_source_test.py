"""Videos that are kept after they were made once."""

import numpy as np
import pytest
from number_clips import NumberClips

from keras_larp import data


class Counting(NumberClips):
    """Counts how often each video is made."""

    def __init__(self, *args):
        super().__init__(*args)
        self.made = []

    def __getitem__(self, index):
        self.made.append(index)
        return super().__getitem__(index)


def test_each_video_is_made_once():
    source = Counting(3)
    kept = data.CachedSource(source, image_size=2)
    first = [kept[i]["video"] for i in (0, 1, 0, 2, 1)]
    assert source.made == [0, 1, 2]
    assert kept.num_bytes == sum(first[i].nbytes for i in (0, 1, 3))


def test_batches_are_those_of_the_source():
    source = data.MovingShapes(6, num_frames=4, image_size=16)

    def batches(source):
        return list(
            data.video_dataset(source, 2, batch_size=4, repeat=False, seed=1)
        )

    expected, found = batches(source), batches(data.CachedSource(source))
    for (video, label), (kept_video, kept_label) in zip(
        expected, found, strict=True
    ):
        # Bytes, of floats that moving shapes give between them.
        np.testing.assert_allclose(kept_video, video, atol=0.5 / 255 + 1e-6)
        np.testing.assert_array_equal(kept_label, label)


def test_files_are_kept_whole_in_the_size_of_clips(tmp_path):
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (9, 24, 40, 3), np.uint8)
    data.write_video(tmp_path / "a.mp4", frames)
    source = data.VideoFolder(tmp_path)
    options = {"num_frames": 4, "image_size": 16, "batch_size": 1}
    kept = data.CachedSource(source, image_size=16)
    assert kept[0]["video"].shape == (9, 16, 16, 3)
    for frame_sampling in ("random", "uniform", "center"):
        expected, found = (
            next(
                iter(
                    data.video_dataset(
                        s, frame_sampling=frame_sampling, **options
                    )
                )
            )
            for s in (source, kept)
        )
        np.testing.assert_array_equal(found[0], expected[0])


def test_what_a_source_says_of_itself_is_kept():
    source = data.MovingShapes(2, num_frames=4, image_size=16)
    kept = data.CachedSource(source)
    assert kept.class_names == source.class_names and kept.num_frames == 4
    with pytest.raises(ValueError, match="directions"):
        data.video_dataset(kept, horizontal_flip=True)

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_larp import data

pytestmark = pytest.mark.once


@settings(max_examples=20, deadline=None)
@given(
    num_frames=st.integers(1, 9),
    image_size=st.integers(8, 40),
    seed=st.integers(0, 2**31),
)
def test_clips_of_any_size_are_in_the_unit_range(num_frames, image_size, seed):
    clip = data.MovingShapes(3, num_frames, image_size, seed)[2]["video"]
    assert clip.shape == (num_frames, image_size, image_size, 3)
    assert clip.dtype == np.float32
    assert clip.min() >= 0.0 and clip.max() <= 1.0


def test_a_clip_depends_on_seed_and_index_alone():
    first, second = data.MovingShapes(5, 4, 16), data.MovingShapes(9, 4, 16)
    np.testing.assert_array_equal(first[4]["video"], second[4]["video"])
    other = data.MovingShapes(5, 4, 16, seed=1)
    assert (first[4]["video"] != other[4]["video"]).any()
    assert (first[3]["video"] != first[4]["video"]).any()


def test_the_class_names_the_motion():
    source = data.MovingShapes(24, 8, 32)
    assert len(source.class_names) == 12
    for clip in source:
        video = clip["video"]
        # Where the shape is: pixels unlike the ground in the corner.
        mask = np.abs(video - video[:, :1, :1]).sum(-1) > 0.3  # (T, H, W)
        down, right = [
            np.array([np.nonzero(frame)[axis].mean() for frame in mask])
            for axis in (0, 1)
        ]
        motion = source.class_names[clip["label"]].split()[-1]
        signs = {
            "left": (0, -1),
            "right": (0, 1),
            "up": (-1, 0),
            "down": (1, 0),
        }
        travelled = np.array([down[-1] - down[0], right[-1] - right[0]])
        np.testing.assert_array_equal(
            np.sign(np.round(travelled)), signs[motion]
        )


def test_classes_are_balanced_and_iteration_ends():
    labels = [clip["label"] for clip in data.MovingShapes(24, 1, 8)]
    assert sorted(labels) == sorted(list(range(12)) * 2)


@pytest.mark.parametrize(
    "options",
    [{"num_clips": 0}, {"num_frames": 0}, {"image_size": 7}, {"seed": -1}],
)
def test_impossible_sizes(options):
    with pytest.raises(ValueError, match="Received"):
        data.MovingShapes(**{"num_clips": 2, **options})


def test_index_out_of_range():
    with pytest.raises(IndexError, match="2 clips"):
        data.MovingShapes(2)[2]

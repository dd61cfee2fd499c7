import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_larp import data

pytestmark = pytest.mark.once

sizes = st.integers(1, 200)
ways = st.sampled_from(["random", "first", "center", "uniform"])


@given(total=sizes, num_frames=sizes, frame_sampling=ways)
def test_indices_ascend_within_the_video(total, num_frames, frame_sampling):
    generator = np.random.default_rng(0)
    chosen = data.frame_indices(total, num_frames, frame_sampling, generator)
    assert chosen.shape == (num_frames,)
    assert chosen.min() >= 0 and chosen.max() < total
    assert (np.diff(chosen) >= 0).all()
    if frame_sampling != "uniform" and total >= num_frames:
        assert (np.diff(chosen) == 1).all()


@pytest.mark.parametrize(
    "frame_sampling, expected",
    [
        ("first", [0, 1, 2, 3]),
        ("center", [3, 4, 5, 6]),
        ("uniform", [0, 2, 5, 7]),
    ],
)
def test_which_frames_are_taken(frame_sampling, expected):
    chosen = data.frame_indices(10, 4, frame_sampling)
    np.testing.assert_array_equal(chosen, expected)


def test_short_videos_repeat_their_last_frame():
    for frame_sampling in ("first", "center", "uniform"):
        chosen = data.frame_indices(3, 5, frame_sampling)
        np.testing.assert_array_equal(chosen, [0, 1, 2, 2, 2])


def test_random_starts_reach_both_ends():
    generator = np.random.default_rng(0)
    starts = {
        int(data.frame_indices(6, 4, "random", generator)[0]) for _ in range(50)
    }
    assert starts == {0, 1, 2}


@given(total=sizes, num_frames=sizes)
def test_windows_are_whole_and_do_not_overlap(total, num_frames):
    starts = list(data.window_starts(total, num_frames))
    assert len(starts) == total // num_frames
    assert all(start + num_frames <= total for start in starts)
    assert (np.diff(starts) == num_frames).all()


@pytest.mark.parametrize(
    "arguments", [(0, 4), (4, 0), (4.0, 2), (4, 2, "last"), (4, 2, "random")]
)
def test_impossible_samplings(arguments):
    with pytest.raises(ValueError, match="Received"):
        data.frame_indices(*arguments)

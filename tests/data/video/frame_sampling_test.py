import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_larp import data

pytestmark = pytest.mark.once

sizes = st.integers(1, 200)
samplings = st.sampled_from(["random", "first", "center", "uniform"])


@given(total=sizes, num_frames=sizes, frame_sampling=samplings)
def test_indices_are_ascending_and_within_the_video(
    total, num_frames, frame_sampling
):
    generator = np.random.default_rng(0)
    indices = data.frame_indices(total, num_frames, frame_sampling, generator)
    assert indices.shape == (num_frames,)
    assert indices.min() >= 0 and indices.max() < total
    assert (np.diff(indices) >= 0).all()
    if frame_sampling != "uniform" and total >= num_frames:
        assert (np.diff(indices) == 1).all()


@pytest.mark.parametrize(
    "frame_sampling, expected",
    [
        ("first", [0, 1, 2, 3]),
        ("center", [3, 4, 5, 6]),
        ("uniform", [0, 2, 5, 7]),
    ],
)
def test_selected_frames(frame_sampling, expected):
    indices = data.frame_indices(10, 4, frame_sampling)
    np.testing.assert_array_equal(indices, expected)


def test_short_videos_repeat_their_last_frame():
    for frame_sampling in ("first", "center", "uniform"):
        indices = data.frame_indices(3, 5, frame_sampling)
        np.testing.assert_array_equal(indices, [0, 1, 2, 2, 2])


def test_random_starts_include_both_ends():
    generator = np.random.default_rng(0)
    starts = {
        int(data.frame_indices(6, 4, "random", generator)[0]) for _ in range(50)
    }
    assert starts == {0, 1, 2}


@given(total=sizes, num_frames=sizes)
def test_windows_are_complete_and_do_not_overlap(total, num_frames):
    starts = list(data.window_starts(total, num_frames))
    assert len(starts) == total // num_frames
    assert all(start + num_frames <= total for start in starts)
    assert (np.diff(starts) == num_frames).all()


@pytest.mark.parametrize(
    "arguments", [(0, 4), (4, 0), (4.0, 2), (4, 2, "last"), (4, 2, "random")]
)
def test_invalid_arguments(arguments):
    with pytest.raises(ValueError, match="Received"):
        data.frame_indices(*arguments)

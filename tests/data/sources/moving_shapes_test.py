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
def test_clips_of_any_size_are_in_unit_range(num_frames, image_size, seed):
    source = data.MovingShapes(3, num_frames, image_size, seed)
    clip = source.render(2)
    assert clip.shape == (num_frames, image_size, image_size, 3)
    assert clip.dtype == np.float32
    assert clip.min() >= 0.0 and clip.max() <= 1.0


def test_clip_depends_only_on_seed_and_index():
    first, second = data.MovingShapes(5, 4, 16), data.MovingShapes(9, 4, 16)
    np.testing.assert_array_equal(first.render(4), second.render(4))
    other = data.MovingShapes(5, 4, 16, seed=1)
    assert (first.render(4) != other.render(4)).any()
    assert (first.render(3) != first.render(4)).any()


def test_read_returns_the_requested_frames_as_uint8():
    source = data.MovingShapes(3, 5, 16)
    frames = source.read(1, np.array([4, 0, 4]))
    assert frames.dtype == np.uint8
    expected = 255 * source.render(1)[[4, 0, 4]]
    np.testing.assert_allclose(frames, expected, atol=0.5 + 1e-4)


def test_class_names_describe_the_motion():
    source = data.MovingShapes(24, 8, 32)
    assert len(source.class_names) == 12
    for index in range(len(source)):
        video = source.render(index)
        # The shape: pixels that differ from the background in the corner.
        mask = np.abs(video - video[:, :1, :1]).sum(-1) > 0.3  # (T, H, W)
        down, right = [
            np.array([np.nonzero(frame)[axis].mean() for frame in mask])
            for axis in (0, 1)
        ]
        motion = source.class_names[source.label(index)].split()[-1]
        signs = {
            "left": (0, -1),
            "right": (0, 1),
            "up": (-1, 0),
            "down": (1, 0),
        }
        travel = np.array([down[-1] - down[0], right[-1] - right[0]])
        np.testing.assert_array_equal(np.sign(np.round(travel)), signs[motion])


def test_classes_are_balanced():
    source = data.MovingShapes(24, 1, 8)
    labels = [source.label(i) for i in range(len(source))]
    assert sorted(labels) == sorted(list(range(12)) * 2)


def test_names_are_sorted_and_identify_clips_across_sources():
    sources = [
        data.MovingShapes(11, 4, 16),
        data.MovingShapes(11, 4, 16, seed=1),
        data.MovingShapes(11, 8, 16),
        data.MovingShapes(11, 4, 24),
    ]
    names = [[source.name(i) for i in range(11)] for source in sources]
    assert all(part == sorted(part) for part in names)
    assert len(set(sum(names, []))) == 44


@pytest.mark.parametrize(
    "options",
    [{"num_clips": 0}, {"num_frames": 0}, {"image_size": 7}, {"seed": -1}],
)
def test_invalid_sizes_are_refused(options):
    with pytest.raises(ValueError, match="Received"):
        data.MovingShapes(**{"num_clips": 2, **options})


@pytest.mark.parametrize("method", ["render", "label"])
def test_index_out_of_range(method):
    with pytest.raises(IndexError, match="2 clips"):
        getattr(data.MovingShapes(2), method)(2)

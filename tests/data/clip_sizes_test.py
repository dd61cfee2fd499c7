"""Batches of clips of several sizes."""

import itertools

import numpy as np
import pytest

from keras_larp import data

SIZES = [(4, 16), (2, 24), (6, 32)]


def source():
    return data.MovingShapes(10, num_frames=6, image_size=32)


def dataset(**kwargs):
    options = {"batch_size": 2, "clip_sizes": SIZES}
    return data.video_dataset(source(), **{**options, **kwargs})


def shapes(batches):
    return [batch[0].shape for batch in batches]


def test_each_batch_has_one_of_the_sizes():
    received = shapes(itertools.islice(dataset(), 40))
    assert set(received) == {(2, t, s, s, 3) for t, s in SIZES}


def test_sizes_do_not_depend_on_workers():
    expected = shapes(itertools.islice(dataset(), 12))
    assert shapes(itertools.islice(dataset(num_workers=1), 12)) == expected


def test_one_size_equals_a_data_set_of_that_size():
    several = dataset(clip_sizes=[(4, 16)])
    expected = dataset(clip_sizes=None, num_frames=4, image_size=16)
    for first, second in zip(
        itertools.islice(several, 6), itertools.islice(expected, 6), strict=True
    ):
        np.testing.assert_array_equal(first[0], second[0])
        np.testing.assert_array_equal(first[1], second[1])


def test_resumed_batches_have_the_same_sizes():
    whole = dataset()
    batches = list(itertools.islice(whole, 12))
    state = whole.get_state(5)
    resumed = dataset()
    resumed.set_state(state)
    for first, second in zip(
        batches[5:], itertools.islice(resumed, 7), strict=True
    ):
        np.testing.assert_array_equal(first[0], second[0])


def test_another_batch_size_cannot_resume():
    batches = dataset()
    next(iter(batches))
    with pytest.raises(ValueError, match="batch_size"):
        dataset(batch_size=5).set_state(batches.get_state())


@pytest.mark.parametrize(
    "options",
    [
        {"num_frames": 4},
        {"image_size": 16},
        {"on_error": "skip"},
        {"frame_sampling": "windows"},
        {"clip_sizes": []},
        {"clip_sizes": 16},
        {"clip_sizes": [(4, 16, 16)]},
        {"clip_sizes": [(4, 0)]},
        {"clip_sizes": [(4.5, 16)]},
        {"clip_sizes": "4x16"},
    ],
)
def test_invalid_options(options):
    name = next(iter(options))
    with pytest.raises(ValueError, match=f"{name}.*Received"):
        dataset(**options)

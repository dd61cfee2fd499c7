"""One random draw per clip, determined by its seed."""

import itertools
import os
import pickle

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from number_clips import ArraySource

from keras_larp import data


def clip(num_frames=3, size=8):
    frame = np.random.default_rng(0).random((1, size, size, 3), "float32")
    return np.repeat(frame, num_frames, axis=0)


@pytest.mark.parametrize(
    "layer",
    [
        keras.layers.RandomBrightness(0.5, value_range=(0, 1), seed=3),
        keras.layers.RandomColorJitter((0, 1), 0.4, 0.4, (0.2, 0.8), 0.1),
        keras.layers.RandomRotation(0.2),
        pytest.param(  # Slow on JAX, which compiles all branches.
            keras.layers.RandAugment(value_range=(0, 1), factor=0.3),
            marks=pytest.mark.once,
        ),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_layer_augments_all_frames_alike_and_by_seed(layer):
    augment = data.LayerAugmentation(layer)
    video = clip()
    changed = [augment(video, seed) for seed in range(4)]
    for one in changed:
        assert one.shape == video.shape and one.dtype == np.float32
        assert 0.0 <= one.min() and one.max() <= 1.0
        np.testing.assert_array_equal(one, np.repeat(one[:1], 3, axis=0))
    assert any((one != changed[0]).any() for one in changed[1:])
    np.testing.assert_array_equal(augment(video, 1), changed[1])


def test_keras_cv_layer_augments_all_frames_alike_and_by_seed():
    if not os.environ.get("KERAS_LARP_REQUIRE_CV"):
        pytest.importorskip("keras_cv")
    import keras_cv

    layer = keras_cv.layers.RandAugment(value_range=(0, 1), magnitude=0.5)
    augment = data.LayerAugmentation(layer)
    one, other = augment(clip(), 1), augment(clip(), 2)
    np.testing.assert_array_equal(one, np.repeat(one[:1], 3, axis=0))
    np.testing.assert_array_equal(augment(clip(), 1), one)
    assert (one != other).any()


def test_layer_is_picklable_for_worker_processes():
    augment = data.LayerAugmentation(
        keras.layers.RandomBrightness(0.5, value_range=(0, 1))
    )
    copy = pickle.loads(pickle.dumps(augment))
    np.testing.assert_array_equal(copy(clip(), 5), augment(clip(), 5))


def test_invalid_layers_are_refused():
    with pytest.raises(TypeError, match="must be a Keras or KerasCV layer"):
        data.LayerAugmentation(len)
    with pytest.raises(ValueError, match="RandomCrop must keep the shape"):
        data.LayerAugmentation(keras.layers.RandomCrop(4, 4))(clip(), 0)


def seeds_seen(**options):
    """The augmentation seed of each clip of two epochs."""
    dataset = data.video_dataset(
        data.MovingShapes(4, 1, 8),
        batch_size=4,
        shuffle=False,
        augment=lambda video, seed: np.full_like(video, seed / 2**31),
        **options,
    )
    batches = itertools.islice(iter(dataset), 2)
    return np.concatenate([video[:, 0, 0, 0, 0] for video, _ in batches])


def test_each_clip_and_epoch_has_a_different_seed():
    seeds = seeds_seen()
    assert len(set(seeds)) == 8
    np.testing.assert_array_equal(seeds, seeds_seen())
    assert not set(seeds) & set(seeds_seen(seed=1))


sides = st.integers(1, 400)


@settings(deadline=None)
@given(
    height=sides,
    width=sides,
    low=st.floats(0.01, 1.0),
    ratio=st.floats(1.0, 3.0),
    seed=st.integers(0, 99),
)
def test_crop_boxes_are_inside_the_frame_and_of_allowed_size(
    height, width, low, ratio, seed
):
    generator = np.random.default_rng(seed)
    top, left, rows, columns = data.random_crop_box(
        height, width, (low, 1.0), (1 / ratio, ratio), generator
    )
    assert 0 <= top <= height - rows and 0 <= left <= width - columns
    assert rows >= 1 and columns >= 1
    if min(height, width) > 100 and low < 0.3:
        assert low * 0.95 < rows * columns / (height * width) <= 1.0
        assert 1 / ratio * 0.95 < columns / rows < ratio * 1.05


def test_crop_boxes_spread_over_the_range():
    generator = np.random.default_rng(0)
    boxes = np.array(
        [
            data.random_crop_box(100, 100, (0.25, 0.81), (1, 1), generator)
            for _ in range(300)
        ]
    )
    assert boxes[:, 2].min() in (50, 51) and boxes[:, 2].max() in (89, 90)
    np.testing.assert_allclose((boxes[:, 2] ** 2).mean(), 5300, rtol=0.05)
    assert boxes[:, 0].min() == 0 and boxes[:, 0].max() > 40


def test_random_crop_is_the_same_for_all_frames_of_a_clip():
    frame = np.arange(48 * 64 * 3).reshape(1, 48, 64, 3) % 251
    source = ArraySource([np.repeat(frame, 3, 0).astype("uint8")])
    options = {"num_frames": 3, "image_size": 16, "batch_size": 1}
    dataset = data.video_dataset(source, crop_scale=(0.2, 0.6), **options)
    (first, _), (second, _) = itertools.islice(iter(dataset), 2)
    for video in (first[0], second[0]):
        np.testing.assert_array_equal(video, np.repeat(video[:1], 3, axis=0))
    assert np.abs(first - second).mean() > 0.05


@pytest.mark.parametrize(
    "options",
    [
        {"crop_scale": (0.5, 1.1)},
        {"crop_scale": 0.5},
        {"crop_scale": (0.5, 0.9), "crop_ratio": (2.0, 0.5)},
        {"crop_ratio": (0, 1)},
        {"augment": "RandAugment"},
    ],
)
def test_invalid_options_are_refused(options):
    with pytest.raises(ValueError, match="Received"):
        data.video_dataset(data.MovingShapes(2), **options)

import ml_dtypes
import numpy as np
import pytest
from accelerator_tensor import AcceleratorTensor
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_larp import data

pytestmark = pytest.mark.once


def noise(*shape, dtype="uint8"):
    values = np.random.default_rng(0).random(shape)
    return (values * 255).astype(dtype) if dtype == "uint8" else values


@settings(max_examples=30, deadline=None)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    image_size=st.integers(1, 24),
    dtype=st.sampled_from(["uint8", "float64"]),
)
def test_preprocessed_clips_are_square_and_in_the_unit_range(
    height, width, image_size, dtype
):
    video = noise(2, height, width, 3, dtype=dtype)
    clip = data.preprocess_clip(video, image_size)
    assert clip.shape == (2, image_size, image_size, 3)
    assert clip.dtype == np.float32
    assert clip.min() >= 0.0 and clip.max() <= 1.0


def test_resize_keeps_the_aspect_ratio():
    shape = data.resize_shorter_side(noise(1, 24, 32, 3), 12).shape
    assert shape == (1, 12, 16, 3)
    shape = data.resize_shorter_side(noise(1, 32, 24, 3), 12).shape
    assert shape == (1, 16, 12, 3)


def test_resize_is_antialiased():
    # Stripes narrower than an output pixel are averaged.
    stripes = np.zeros((1, 64, 64, 3), "uint8")
    stripes[:, :, ::2] = 200
    small = data.resize_shorter_side(stripes, 8)
    assert np.abs(small.astype(int) - 100).max() <= 5


def test_crop_selects_the_center():
    video = np.arange(6, dtype="uint8")[None, None, :, None] * np.ones(
        (1, 2, 1, 3), "uint8"
    )
    crop = data.center_crop(video, 2)
    np.testing.assert_array_equal(crop[0, 0, :, 0], [2, 3])


@settings(max_examples=30, deadline=None)
@given(
    height=st.integers(1, 60),
    width=st.integers(1, 60),
    image_size=st.integers(1, 24),
    dtype=st.sampled_from(["uint8", "float64"]),
)
def test_preprocessing_equals_resizing_and_cropping(
    height, width, image_size, dtype
):
    video = noise(1, height, width, 3, dtype=dtype)
    resized = data.resize_shorter_side(video, image_size)
    expected = data.center_crop(resized, image_size)
    clip = data.preprocess_clip(video, image_size)
    scale = 255 if dtype == "uint8" else 1
    assert np.abs(clip - expected / scale).max() < 1.01 / 255


def test_flip_mirrors_all_frames():
    video = noise(3, 4, 4, 3)
    flipped = data.preprocess_clip(video, 4, horizontal_flip=True)
    expected = data.preprocess_clip(video, 4)[:, :, ::-1]
    np.testing.assert_array_equal(flipped, expected)


@pytest.mark.parametrize(
    "video",
    [
        np.zeros((4, 4, 3), "uint8"),
        np.zeros((1, 4, 4, 1), "uint8"),
        np.zeros((0, 4, 4, 3), "uint8"),
        np.zeros((1, 4, 4, 3), "int64"),
    ],
)
def test_invalid_videos(video):
    with pytest.raises(ValueError, match="Received: dtype"):
        data.preprocess_clip(video, 4)


def test_crop_larger_than_the_frames():
    with pytest.raises(ValueError, match="at least 8 pixels"):
        data.center_crop(noise(1, 4, 9, 3), 8)


def test_tensors_are_accepted():
    video = noise(2, 12, 16, 3, dtype="float").round(1) // 0.5 / 2
    expected = data.preprocess_clip(video, 8)
    bfloat16 = video.astype(ml_dtypes.bfloat16)
    for tensor in (bfloat16, AcceleratorTensor(video)):
        clip = data.preprocess_clip(tensor, 8)
        np.testing.assert_array_equal(clip, expected)

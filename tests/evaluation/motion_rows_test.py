"""Motion of reconstructions, generated clips and predictions, by hand."""

import math

import numpy as np
import pytest

from keras_larp.evaluation import motion_rows


def blinking():
    """A gray clip whose left quarter is 0.9 in the last of four frames, and a
    clip without motion."""
    videos = np.full((2, 4, 4, 4, 3), 0.5, "float32")
    videos[0, 3, :, 0] = 0.9
    return videos


def decibels(mse):
    return -10 * math.log10(mse)


def test_reconstruction_and_median_frame():
    videos = blinking()
    reconstructions = videos.copy()
    reconstructions[0, 3, :, 0] = 0.8
    reconstructions[:, 1, :, 2] = 0.54  # Flickers, in two of three pairs.
    rows = motion_rows.reconstruction_rows(videos, reconstructions)
    expected = {
        "PSNR_of_moving_pixels": [20.0, np.nan],
        "median_frame_PSNR": [decibels(0.4**2 / 16), 120.0],
        "median_frame_PSNR_of_moving_pixels": [decibels(0.4**2), np.nan],
        "moving_pixel_fraction": [1 / 16, 0.0],
        "moving_pixel_fraction_of_real_clips": [1 / 16, 0.0],
        # 44 still pairs of pixels in the first clip, 48 in the second.
        "still_flicker": [8 * 0.04 / 44, 8 * 0.04 / 48],
        "still_flicker_of_real_clips": [0.0, 0.0],
    }
    assert rows.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(
            rows[name], values, rtol=1e-4, atol=1e-7, err_msg=name
        )
        if np.isnan(rows[name]).any():
            assert name in motion_rows.PARTIAL_ROWS


def test_reconstruction_without_motion():
    videos = blinking()
    still = np.full_like(videos, 0.5)
    rows = motion_rows.reconstruction_rows(videos, still)
    assert rows["moving_pixel_fraction"][0] == 0.0
    assert (
        rows["PSNR_of_moving_pixels"][0]
        == rows["median_frame_PSNR_of_moving_pixels"][0]
    )


def test_generated_clips_are_measured_by_their_own_motion():
    rows = motion_rows.generation_rows(blinking(), "_of_real_clips")
    assert list(rows) == [
        "moving_pixel_fraction_of_real_clips",
        "still_flicker_of_real_clips",
    ]
    np.testing.assert_allclose(
        rows["moving_pixel_fraction_of_real_clips"], [1 / 16, 0]
    )


def test_predictions_without_a_model():
    videos = np.zeros((1, 5, 1, 1, 3), "float32")
    videos[0, :, 0, 0] = np.array([0.1, 0.3, 0.6, 0.2, 0.2])[:, None]
    predictions = motion_rows.simple_predictions(videos, 2)
    np.testing.assert_allclose(
        predictions["last_frame_"][0, :, 0, 0, 0], [0.3, 0.3, 0.3]
    )
    np.testing.assert_allclose(
        predictions["linear_extrapolation_"][0, :, 0, 0, 0],
        [0.5, 0.7, 0.9],
        rtol=1e-6,
    )
    steep = motion_rows.simple_predictions(1 - 3 * videos.clip(0, 0.3), 2)
    assert steep["linear_extrapolation_"].min() == 0.0
    assert list(motion_rows.simple_predictions(videos, 1)) == ["last_frame_"]


def test_moving_pixels_of_predicted_frames():
    videos = blinking()
    predicted = videos.copy()
    predicted[:, :2] = 0.0  # Known frames do not count.
    predicted[0, 3, :, 0] = 0.7
    rows = motion_rows.prediction_rows(videos, predicted, 2)
    expected = {
        "PSNR_of_predicted_frames": decibels(0.2**2 / 8),
        "PSNR_of_predicted_moving_pixels": decibels(0.2**2),
        "last_frame_PSNR_of_predicted_frames": decibels(0.4**2 / 8),
        "last_frame_PSNR_of_predicted_moving_pixels": decibels(0.4**2),
        "linear_extrapolation_PSNR_of_predicted_frames": decibels(0.4**2 / 8),
        "linear_extrapolation_PSNR_of_predicted_moving_pixels": decibels(
            0.4**2
        ),
    }
    assert rows.keys() == expected.keys()
    for name, value in expected.items():
        assert rows[name][0] == pytest.approx(value, rel=1e-4), name
        if "moving" in name:
            assert np.isnan(rows[name][1]) and name in motion_rows.PARTIAL_ROWS

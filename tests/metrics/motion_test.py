"""Moving pixels, their PSNR and the flicker of still ones, by hand."""

import math

import keras
import numpy as np
import pytest
from keras import ops

from keras_larp import metrics
from keras_larp.utils.input_checks import without_value_checks


def numpy(x):
    return ops.convert_to_numpy(x)


def moving_dot(batch_size=1):
    """A dot of value 0.9 in its third channel, at another position in each of
    four frames, on a background of 0.2. Each position is covered once."""
    video = np.full((batch_size, 4, 2, 2, 3), 0.2, "float32")
    for t in range(4):
        video[:, t, t // 2, t % 2, 2] = 0.9
    return video


@pytest.mark.parametrize("num_frames", [1, 2, 3, 5, 8, 11, 16])
def test_median_frame_matches_numpy(num_frames):
    generator = np.random.default_rng(num_frames)
    videos = generator.random((2, num_frames, 3, 5, 3), "float32")
    expected = np.median(videos, axis=1)
    received = numpy(metrics.median_frame(videos))
    np.testing.assert_allclose(received, expected, rtol=1e-6)


def test_moving_pixels_differ_from_the_median_in_any_channel():
    moving = numpy(metrics.moving_pixels(moving_dot()))
    assert moving.shape == (1, 4, 2, 2, 1)
    expected = np.eye(4, dtype=bool).reshape(1, 4, 2, 2, 1)
    np.testing.assert_array_equal(moving, expected)


def test_difference_of_the_threshold_is_no_motion():
    video = np.full((1, 3, 1, 1, 3), 0.5, "float32")
    video[0, 2, 0, 0, 0] = 0.75
    assert not numpy(metrics.moving_pixels(video, threshold=0.25)).any()
    assert numpy(metrics.moving_pixels(video, threshold=0.24)).sum() == 1


def test_moving_psnr_covers_all_channels_of_moving_pixels_only():
    video = moving_dot(2)
    reconstruction = np.full_like(video, 0.5)  # Wrong for still pixels.
    moving = np.eye(4, dtype=bool).reshape(4, 2, 2)
    reconstruction[:, moving] = video[:, moving]
    reconstruction[0, moving, 1] += 0.3  # One of three channels.
    reconstruction[1, moving] += 0.1
    expected = [-10 * math.log10(0.3**2 / 3), 20.0]
    received = numpy(metrics.moving_psnr(video, reconstruction))
    np.testing.assert_allclose(received, expected, rtol=1e-4)


def test_median_frame_as_reconstruction():
    video = moving_dot()
    median = ops.repeat(metrics.median_frame(video)[:, None], 4, axis=1)
    received = numpy(metrics.moving_psnr(video, median))
    expected = -10 * math.log10(0.7**2 / 3)
    np.testing.assert_allclose(received, [expected], rtol=1e-5)


def test_still_clips_have_no_moving_psnr():
    video = np.full((2, 4, 2, 2, 3), 0.2, "float32")
    video[1] = moving_dot()
    received = numpy(metrics.moving_psnr(video, np.clip(video + 0.1, 0, 1)))
    np.testing.assert_allclose(received, [np.nan, 20.0], rtol=1e-4)


def test_metric_ignores_still_clips():
    metric = metrics.MovingPSNR()
    still = np.full((3, 4, 2, 2, 3), 0.2, "float32")
    metric.update_state(still, still)
    assert math.isnan(float(metric.result()))
    video = moving_dot()
    metric.update_state(video, video + 0.1)
    metric.update_state(
        np.concatenate([video, still]), np.concatenate([video + 0.01, still])
    )
    assert float(metric.result()) == pytest.approx(30.0, rel=1e-4)


def test_metric_with_sample_weights():
    metric = metrics.MovingPSNR()
    video = moving_dot(2)
    error = np.array([0.1, 0.01], "float32")[:, None, None, None, None]
    metric.update_state(video, video + error, np.array([1.0, 3.0]))
    assert float(metric.result()) == pytest.approx(35.0, rel=1e-4)


def test_nan_of_a_reconstruction_is_not_ignored():
    metric = metrics.MovingPSNR()
    video = moving_dot(2)
    with without_value_checks():  # As in a train step.
        metric.update_state(video, video * [[[[[1.0]]]], [[[[np.nan]]]]])
    assert math.isnan(float(metric.result()))


def test_flicker_covers_pixels_that_are_still_in_both_frames():
    video = moving_dot()
    reconstruction = video.copy()
    # The dot of frame 0 moves away, so this pixel is not still in frames 0, 1.
    reconstruction[0, 0, 0, 0] += 0.1
    # Still in frames 0 to 2, of the pairs 0-1 and 1-2. Of 2 * 3 still pixels
    # of pairs (two of four in each), two change by 0.1 in one channel.
    reconstruction[0, 1, 1, 1, 0] += 0.1
    expected = 2 * (0.1 / 3) / 6
    received = numpy(metrics.still_flicker(video, reconstruction))
    np.testing.assert_allclose(received, [expected], rtol=1e-4)


def test_flicker_of_the_original_itself():
    video = np.full((1, 2, 1, 2, 3), 0.5, "float32")
    video[0, 1, 0, 0] += 0.04
    received = numpy(metrics.still_flicker(video, video))
    np.testing.assert_allclose(received, [0.02], rtol=1e-4)


def test_flicker_metric_ignores_clips_without_still_pixels():
    metric = metrics.StillFlicker()
    blinking = np.zeros((1, 2, 1, 1, 3), "float32")
    blinking[:, 1] = 1.0  # Both frames differ from the median, 0.5.
    assert np.isnan(numpy(metrics.still_flicker(blinking, blinking)))
    still = np.zeros_like(blinking)
    metric.update_state(
        np.concatenate([blinking, still]),
        np.concatenate([blinking, 0.5 * blinking]),
    )
    assert float(metric.result()) == pytest.approx(0.5)


@pytest.mark.parametrize("metric", [metrics.MovingPSNR, metrics.StillFlicker])
def test_configuration_survives_serialization(metric):
    config = keras.saving.serialize_keras_object(metric(0.2, name="mine"))
    twin = keras.saving.deserialize_keras_object(config)
    assert (twin.name, twin.threshold) == ("mine", 0.2)


@pytest.mark.parametrize("function", ["moving_psnr", "still_flicker"])
def test_invalid_arguments_raise(function):
    function, video = getattr(metrics, function), moving_dot()
    with pytest.raises(ValueError, match=r"Received: shape=\(4, 2, 2, 3\)"):
        function(video[0], video[0])
    with pytest.raises(ValueError, match="equal shape"):
        function(video, video[:, :2])
    with pytest.raises(ValueError, match=r"`threshold` must be .* in \(0, 1"):
        function(video, video, threshold=0.0)


def test_flicker_of_single_frames_raises():
    video = moving_dot()[:, :1]
    with pytest.raises(ValueError, match="at least 2 frames"):
        metrics.still_flicker(video, video)

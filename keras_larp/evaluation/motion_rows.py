"""Measurements of motion, with one value per clip.

Baselines stand next to each measurement: what a reconstruction or prediction
without motion reaches.
"""

import numpy as np
from keras import ops

from keras_larp.metrics import median_frame, moving_pixels, psnr
from keras_larp.metrics.moving_psnr import masked_psnr
from keras_larp.metrics.still_flicker import masked_flicker, still_pairs
from keras_larp.utils.arrays import to_numpy

# Rows that are NaN for clips without moving pixels, or without still ones.
PARTIAL_ROWS = frozenset(
    f"{prefix}{name}"
    for name in (
        "PSNR_of_moving_pixels",
        "PSNR_of_predicted_moving_pixels",
        "still_flicker",
        "still_flicker_of_real_clips",
    )
    for prefix in ("", "median_frame_", "last_frame_", "linear_extrapolation_")
)


def reconstruction_rows(
    videos: np.ndarray, reconstructions: np.ndarray
) -> dict[str, np.ndarray]:
    """Compares the motion of clips and their reconstructions.

    Args:
        videos: float32 array `(B, T, H, W, 3)` with at least two frames.
        reconstructions: float32 array of the same shape.

    Returns:
        Dictionary of float32 arrays `(B,)`.
    """
    moving, still = moving_pixels(videos), still_pairs(videos)
    median = to_numpy(median_frame(videos))[:, None]
    median = np.repeat(median, videos.shape[1], axis=1)
    rows = {
        "PSNR_of_moving_pixels": masked_psnr(videos, reconstructions, moving),
        "median_frame_PSNR": psnr(videos, median),
        "median_frame_PSNR_of_moving_pixels": masked_psnr(
            videos, median, moving
        ),
        "moving_pixel_fraction": _fraction(moving_pixels(reconstructions)),
        "moving_pixel_fraction_of_real_clips": _fraction(moving),
        "still_flicker": masked_flicker(reconstructions, still),
        "still_flicker_of_real_clips": masked_flicker(videos, still),
    }
    return {name: to_numpy(row) for name, row in rows.items()}


def generation_rows(
    videos: np.ndarray, suffix: str = ""
) -> dict[str, np.ndarray]:
    """Measures the motion of clips without comparing them with others.

    Args:
        videos: float32 array `(B, T, H, W, 3)` with at least two frames.
        suffix: String to append to the names of the rows.

    Returns:
        Dictionary of float32 arrays `(B,)`.
    """
    rows = {
        "moving_pixel_fraction": _fraction(moving_pixels(videos)),
        "still_flicker": masked_flicker(videos, still_pairs(videos)),
    }
    return {f"{name}{suffix}": to_numpy(row) for name, row in rows.items()}


def prediction_rows(
    videos: np.ndarray, predicted: np.ndarray, num_condition_frames: int
) -> dict[str, np.ndarray]:
    """Compares predicted frames with the originals and simple predictions.

    Args:
        videos: float32 array `(B, T, H, W, 3)`.
        predicted: float32 array of the same shape.
        num_condition_frames: Integer. Number of known frames, which do not
            count.

    Returns:
        Dictionary of float32 arrays `(B,)`.
    """
    # A pixel moves if it differs from the median of the complete clip.
    moving = moving_pixels(videos)[:, num_condition_frames:]
    expected = videos[:, num_condition_frames:]
    predictions = {
        "": predicted[:, num_condition_frames:],
        **simple_predictions(videos, num_condition_frames),
    }
    rows = {}
    for prefix, frames in predictions.items():
        rows[f"{prefix}PSNR_of_predicted_frames"] = psnr(expected, frames)
        rows[f"{prefix}PSNR_of_predicted_moving_pixels"] = masked_psnr(
            expected, frames, moving
        )
    return {name: to_numpy(row) for name, row in rows.items()}


def simple_predictions(
    videos: np.ndarray, num_condition_frames: int
) -> dict[str, np.ndarray]:
    """Predicts frames without a model.

    Args:
        videos: float32 array `(B, T, H, W, 3)`.
        num_condition_frames: Integer. Number of known frames.

    Returns:
        Dictionary of float32 arrays `(B, T - num_condition_frames, H, W, 3)`:
        `last_frame_`, the last known frame, repeated; and, if two frames are
        known, `linear_extrapolation_`, which continues the change of each
        pixel between the last two frames, limited to [0, 1].
    """
    expected = videos[:, num_condition_frames:]
    last = videos[:, num_condition_frames - 1, None]
    repeated = np.repeat(last, expected.shape[1], axis=1)
    predictions = {"last_frame_": repeated}
    if num_condition_frames > 1:
        change = last - videos[:, num_condition_frames - 2, None]
        steps = np.arange(1, expected.shape[1] + 1, dtype=videos.dtype)
        extrapolated = last + steps[:, None, None, None] * change
        predictions["linear_extrapolation_"] = np.clip(extrapolated, 0.0, 1.0)
    return predictions


def _fraction(moving):
    return ops.mean(ops.cast(moving, "float32"), axis=(1, 2, 3, 4))

"""Metrics of reconstructions, motion, generated video and codebook usage."""

from keras_larp.metrics.code_statistics import CodeStatistics
from keras_larp.metrics.feature_statistics import FeatureStatistics
from keras_larp.metrics.frechet_video_distance import (
    FrechetVideoDistance,
    frechet_distance,
)
from keras_larp.metrics.moving_pixels import median_frame, moving_pixels
from keras_larp.metrics.moving_psnr import MovingPSNR, moving_psnr
from keras_larp.metrics.psnr import PSNR, psnr
from keras_larp.metrics.ssim import SSIM, ssim
from keras_larp.metrics.still_flicker import StillFlicker, still_flicker

__all__ = [
    "CodeStatistics",
    "FeatureStatistics",
    "FrechetVideoDistance",
    "MovingPSNR",
    "PSNR",
    "SSIM",
    "StillFlicker",
    "frechet_distance",
    "median_frame",
    "moving_pixels",
    "moving_psnr",
    "psnr",
    "ssim",
    "still_flicker",
]

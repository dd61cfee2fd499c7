"""Metrics of reconstructions, generated video and codebook usage."""

from keras_larp.metrics.code_statistics import CodeStatistics
from keras_larp.metrics.feature_statistics import FeatureStatistics
from keras_larp.metrics.frechet_video_distance import (
    FrechetVideoDistance,
    frechet_distance,
)
from keras_larp.metrics.psnr import PSNR, psnr
from keras_larp.metrics.ssim import SSIM, ssim

__all__ = [
    "CodeStatistics",
    "FeatureStatistics",
    "FrechetVideoDistance",
    "PSNR",
    "SSIM",
    "frechet_distance",
    "psnr",
    "ssim",
]

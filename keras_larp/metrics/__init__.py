"""Metrics of reconstructions and of token statistics."""

from keras_larp.metrics.code_statistics import CodeStatistics
from keras_larp.metrics.psnr import PSNR, psnr
from keras_larp.metrics.ssim import SSIM, ssim

__all__ = ["CodeStatistics", "PSNR", "SSIM", "psnr", "ssim"]

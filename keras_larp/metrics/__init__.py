"""Metrics of reconstructions and of token statistics."""

from keras_larp.metrics.code_statistics import CodeStatistics
from keras_larp.metrics.psnr import PSNR, psnr

__all__ = ["CodeStatistics", "PSNR", "psnr"]

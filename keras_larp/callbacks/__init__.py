"""Callbacks: checkpoints, sample and reconstruction grids, monitoring.

The `CSVLogger` and `TensorBoard` callbacks of Keras log all metrics of these
models. `TensorBoard` requires `tensorflow` and `tensorboard` on every backend.
"""

from keras_larp.callbacks.checkpoint import Checkpoint
from keras_larp.callbacks.codebook_collapse_warning import (
    CodebookCollapseWarning,
)
from keras_larp.callbacks.reconstruction_grid import ReconstructionGrid
from keras_larp.callbacks.sample_grid import SampleGrid
from keras_larp.callbacks.throughput import Throughput

__all__ = [
    "Checkpoint",
    "CodebookCollapseWarning",
    "ReconstructionGrid",
    "SampleGrid",
    "Throughput",
]

"""Checkpoints of runs, and what lets a person see how a run goes.

Keras' own `CSVLogger` and `TensorBoard` write all metrics of these models;
the latter needs `tensorflow` and `tensorboard` installed, on every backend.
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

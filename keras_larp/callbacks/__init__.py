"""Checkpoints of runs, and what lets a person see how a run goes."""

from keras_larp.callbacks.checkpoint import Checkpoint

__all__ = ["Checkpoint"]

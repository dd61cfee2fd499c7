"""Loading and saving models: names, folders, hubs, the authors' files."""

from keras_larp.presets.loading import load, save
from keras_larp.presets.registry import names

__all__ = ["load", "names", "save"]

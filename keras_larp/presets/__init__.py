"""Loading and saving models: names, folders, hubs, the authors' files."""

from keras_larp.presets.converters.i3d import load_i3d
from keras_larp.presets.converters.torchscript_i3d import TorchScriptI3D
from keras_larp.presets.loading import load, save
from keras_larp.presets.registry import list_presets

__all__ = ["TorchScriptI3D", "load", "load_i3d", "list_presets", "save"]

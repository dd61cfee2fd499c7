"""Model presets: loading, saving, and conversion of published checkpoints."""

from keras_larp.presets.converters.i3d import load_i3d
from keras_larp.presets.converters.torchscript_i3d import TorchScriptI3D
from keras_larp.presets.loading import load
from keras_larp.presets.registry import list_presets
from keras_larp.presets.saving import save

__all__ = ["TorchScriptI3D", "list_presets", "load", "load_i3d", "save"]

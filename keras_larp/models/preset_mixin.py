class PresetMixin:
    """Adds loading from and saving to presets."""

    @classmethod
    def from_preset(cls, preset, **kwargs):
        """Loads a model from a preset; see `keras_larp.presets.load`."""
        from keras_larp import presets

        return presets.load(preset, expected=cls, **kwargs)

    def save_to_preset(self, folder, weights_dtype="float32", overwrite=False):
        """Saves the model as a preset; see `keras_larp.presets.save`."""
        from keras_larp import presets

        presets.save(self, folder, weights_dtype, overwrite)

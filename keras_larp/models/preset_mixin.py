class PresetMixin:
    """Models that are loaded from presets and saved as such."""

    @classmethod
    def from_preset(cls, preset, **kwargs):
        """Loads a model from a preset; see `keras_larp.presets.load`."""
        from keras_larp import presets

        return presets.load(preset, expected=cls, **kwargs)

    def save_to_preset(self, folder, weights_dtype="float32"):
        """Saves to a preset folder; see `keras_larp.presets.save`."""
        from keras_larp import presets

        presets.save(self, folder, weights_dtype)

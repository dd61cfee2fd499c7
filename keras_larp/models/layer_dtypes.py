import keras


class LayerDtypesMixin:
    """Keeps dtype policies of single layers in the configuration of a model.

    `quantize` and `layer.dtype_policy = ...` change layers that the model
    creates itself. The key `layer_dtypes` of the configuration maps the path
    of such a layer, such as `"blocks/0/qkv"`, to the name of its policy.
    """

    def record_layer_dtypes(self):
        """Records the policies of a new model; call it at the end of
        `build`."""
        layers = _layers_by_path(self)
        self._initial_dtypes = {
            path: layer.dtype_policy.name for path, layer in layers.items()
        }

    def layer_dtypes_config(self):
        """Returns `{"layer_dtypes": ...}`, or `{}` if no policy changed."""
        layers = _layers_by_path(self)
        changed = {
            path: layers[path].dtype_policy.name
            for path, name in self._initial_dtypes.items()
            if path in layers and layers[path].dtype_policy.name != name
        }
        return {"layer_dtypes": changed} if changed else {}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        changed = config.pop("layer_dtypes", {})
        model = super().from_config(config, custom_objects)
        layers = _layers_by_path(model)
        for path, name in changed.items():
            # Quantizes the layer if the policy does.
            layers[path].dtype_policy = name
        return model


def _layers_by_path(layer, prefix=""):
    """All sublayers by the path of attributes that leads to them."""
    attributes = dict(vars(layer))
    if isinstance(layer, keras.Layer) and hasattr(layer, "named_children"):
        attributes.update(layer.named_children())  # PyTorch
    found = {}
    for name, value in sorted(attributes.items(), key=lambda item: item[0]):
        if name.startswith("_"):
            continue
        items = {name: value}
        if isinstance(value, list | tuple):
            items = {f"{name}/{i}": item for i, item in enumerate(value)}
        for key, item in items.items():
            if isinstance(item, keras.Layer):
                found[f"{prefix}{key}"] = item
                found.update(_layers_by_path(item, f"{prefix}{key}/"))
    return found

import contextlib
import gc
import warnings
from collections.abc import Iterator

import keras


class LayerDtypesMixin:
    """Keeps dtype policies of single layers in the configuration of a model.

    `quantize` and `layer.dtype_policy = ...` change layers that the model
    creates itself. The key `layer_dtypes` of the configuration maps the path
    of such a layer, such as `"blocks/0/qkv"`, to its policy and, if it is
    quantized, the configuration of the quantization.
    """

    def record_layer_dtypes(self):
        """Records the policies of a new model; call it at the end of
        `build`."""
        self._initial_dtypes = {
            path: layer.dtype_policy.name for path, layer in _sublayers(self)
        }

    def layer_dtypes_config(self):
        """Returns `{"layer_dtypes": ...}`, or `{}` if no policy changed."""
        changed = {}
        for path, layer in _sublayers(self):
            name = layer.dtype_policy.name
            if name != self._initial_dtypes.get(path, name):
                quantization = getattr(layer, "quantization_config", None)
                changed[path] = {
                    "dtype": name,
                    "quantization_config": (
                        keras.saving.serialize_keras_object(quantization)
                    ),
                }
        return {"layer_dtypes": changed} if changed else {}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        changed = config.pop("layer_dtypes", {})
        model = super().from_config(config, custom_objects)
        sublayers = dict(_sublayers(model))
        with _quick_garbage_collection():
            for path, options in changed.items():
                if path not in sublayers:
                    raise ValueError(
                        "`layer_dtypes` names a layer that the model does not "
                        f"have. Received: {path!r} for {cls.__name__}"
                    )
                _set_dtype(sublayers[path], **options)
        return model

    def quantize(self, *args, **kwargs):
        """Quantizes the weights for inference; see `keras.Model.quantize`."""
        with warnings.catch_warnings(), _quick_garbage_collection():
            # Layers such as norms are not quantized.
            warnings.filterwarnings("ignore", ".*not have a `quantize` method")
            super().quantize(*args, **kwargs)


def _set_dtype(layer, dtype, quantization_config):
    policy = keras.dtype_policies.get(dtype)
    if policy.quantization_mode is not None:
        _check_only_quantizers(quantization_config)
        layer.quantize(
            policy.quantization_mode,
            config=keras.saving.deserialize_keras_object(quantization_config),
        )
    layer.dtype_policy = policy


def _check_only_quantizers(config):
    """Checks that a configuration from a file creates no other objects."""
    if not isinstance(config, dict):
        return
    if "class_name" in config and (
        config.get("module") != "keras.quantizers"
        or config.get("registered_name") is not None
    ):
        raise ValueError(
            "A quantization config may have classes of `keras.quantizers` "
            f"only. Received: {config.get('module')}.{config['class_name']}"
        )
    for value in config.values():
        _check_only_quantizers(value)


@contextlib.contextmanager
def _quick_garbage_collection():
    """Context in which a collection ignores all earlier objects: Keras
    collects garbage for each quantized layer, which takes 0.3 s."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _sublayers(layer, prefix="") -> Iterator[tuple[str, keras.Layer]]:
    """Yields all sublayers with the path of attributes that leads to them."""
    attributes = dict(vars(layer))
    if hasattr(layer, "named_children"):
        attributes.update(layer.named_children())  # PyTorch
    for name, value in attributes.items():
        if name.startswith("_"):
            continue
        items = {name: value}
        if isinstance(value, list | tuple):
            items = {f"{name}/{i}": item for i, item in enumerate(value)}
        for key, item in items.items():
            if isinstance(item, keras.Layer):
                yield f"{prefix}{key}", item
                yield from _sublayers(item, f"{prefix}{key}/")

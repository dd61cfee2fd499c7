import threading

import numpy as np

from keras_larp.utils.optional_imports import require


class LayerAugmentation:
    """Applies a random layer of Keras or KerasCV to clips, with one draw each.

    The layer is called on frame after frame, its random generators being set
    to the clip's seed before each: all frames of a clip are changed alike,
    and a clip is changed in the same way whenever its seed is the same.
    (`keras.layers.AugMix` draws from Python's `random` too, and is not.)
    Layers that do much, such as `RandAugment`, take longer than decoding.

    Args:
        layer: A layer that takes an image `(H, W, 3)` with values in [0, 1]
            (pass `value_range=(0, 1)` to it) and gives one of the same shape.

    Call arguments:
        video: float32 `(T, H, W, 3)` in [0, 1].
        seed: Integer.

    Returns:
        float32 `(T, H, W, 3)`, cut to [0, 1].

    Raises:
        TypeError: If `layer` is not a layer.
        ValueError: If the layer changes the shape of images.

    Example:

    ```python
    layer = keras.layers.RandAugment(value_range=(0, 1), factor=0.3)
    dataset = keras_larp.data.video_dataset(
        source, augment=keras_larp.data.LayerAugmentation(layer)
    )
    ```
    """

    def __init__(self, layer):
        import keras

        if not isinstance(layer, keras.layers.Layer):
            raise TypeError(
                "`layer` must be a layer of Keras or KerasCV; pass functions "
                "of a video and a seed to `augment` themselves. "
                f"Received: {layer!r}"
            )
        self.layer = layer
        # Threads share the layer, whose generators are its state.
        self._lock = threading.Lock()

    def __call__(self, video, seed):
        import keras

        frames = []
        with self._lock:
            for frame in video:
                _set_generators(self.layer, seed)
                frame = self.layer(frame, training=True)
                frames.append(keras.ops.convert_to_numpy(frame))
        augmented = np.clip(np.stack(frames), 0.0, 1.0).astype(np.float32)
        if augmented.shape != video.shape:
            raise ValueError(
                f"{type(self.layer).__name__} must keep the shape of images. "
                f"Received: {augmented.shape[1:]} from {video.shape[1:]}"
            )
        return augmented

    # Worker processes get the layer as Keras saves it.

    def __getstate__(self):
        import keras

        return keras.saving.serialize_keras_object(self.layer)

    def __setstate__(self, state):
        import keras

        self.__init__(keras.saving.deserialize_keras_object(state))


def _set_generators(layer, seed):
    for part in [layer, *layer._flatten_layers(include_self=False)]:
        for variable in part.variables:
            if variable.name == "seed_generator_state":
                variable.assign(np.array([seed, 0]))
        # KerasCV draws from generators of TensorFlow: its layers' own, and
        # the global one.
        generator = getattr(part, "_random_generator", None)
        if hasattr(generator, "reset_from_seed"):
            generator.reset_from_seed(seed)
            require("tensorflow", "tensorflow").random.set_seed(seed)

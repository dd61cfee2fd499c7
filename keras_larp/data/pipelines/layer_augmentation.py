import threading

import keras
import numpy as np

from keras_larp.backend import compat
from keras_larp.utils.optional_imports import require


class LayerAugmentation:
    """Applies a random image layer of Keras or KerasCV to clips.

    The layer is called on each frame with the same seed, so that all frames
    of a clip are augmented alike. Results depend only on the clip and the
    seed. (An exception is `keras.layers.AugMix`, which also draws from
    Python's `random`.) Elaborate layers such as `RandAugment` take longer than
    decoding.

    Args:
        layer: `keras.layers.Layer`. Maps an image `(H, W, 3)` in [0, 1] to one
            of the same shape. Pass `value_range=(0, 1)` to layers that have
            it.

    Call arguments:
        video: float32 `(T, H, W, 3)` in [0, 1].
        seed: Integer.

    Returns:
        float32 `(T, H, W, 3)`, clipped to [0, 1].

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

    def __init__(self, layer: keras.layers.Layer):
        if not isinstance(layer, keras.layers.Layer):
            raise TypeError(
                "`layer` must be a Keras or KerasCV layer. Pass functions of a "
                "video and a seed to `augment` directly. "
                f"Received: {layer!r}"
            )
        self.layer = layer
        # Threads share the layer and the state of its generators.
        self._lock = threading.Lock()

    def __call__(self, video: np.ndarray, seed: int) -> np.ndarray:
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

    # Worker processes receive the layer in serialized form.

    def __getstate__(self):
        return keras.saving.serialize_keras_object(self.layer)

    def __setstate__(self, state):
        self.__init__(keras.saving.deserialize_keras_object(state))


def _set_generators(layer, seed):
    for part in compat.flatten_layers(layer):
        for variable in part.variables:
            if variable.name == "seed_generator_state":
                variable.assign(np.array([seed, 0]))
        # KerasCV draws from TensorFlow generators of its layers and from the
        # global one.
        generator = getattr(part, "_random_generator", None)
        if hasattr(generator, "reset_from_seed"):
            generator.reset_from_seed(seed)
            require("tensorflow", "tensorflow").random.set_seed(seed)

import keras
import numpy as np
from keras import layers, ops

IMAGE_SIZE = 32
_WIDTHS = (16, 32, 64)
# Frames of longer clips are left out, evenly.
_MAX_FRAMES = 8


@keras.saving.register_keras_serializable(package="keras_larp")
class SmallVideoNetwork(keras.Model):
    """Three convolutions of frames and their changes, and a mean over all.

    Small enough to compute on one core, and able to tell shapes and
    directions of motion. At most 8 frames count, resized to 32 x 32. The
    initial weights are drawn from the seed, the same on every backend.

    Args:
        seed: Integer.

    Call arguments:
        videos: float `(B, T, H, W, 3)` in [0, 1].

    Returns:
        float32 `(B, 64)`.
    """

    def __init__(self, seed=0, name="small_video_network"):
        super().__init__(name=name, dtype="float32")
        self.seed = seed
        generator = np.random.default_rng(seed)
        self.convolutions = []
        channels = 6
        for width in _WIDTHS:
            layer = layers.Conv2D(
                width,
                3,
                strides=2,
                padding="same",
                data_format="channels_last",
                dtype="float32",
            )
            layer.build((None, None, None, channels))
            kernel = generator.normal(size=layer.kernel.shape)
            scale = (2.0 / (9 * channels)) ** 0.5
            layer.kernel.assign((scale * kernel).astype("float32"))
            self.convolutions.append(layer)
            channels = width
        self.built = True

    def call(self, videos):
        frames = videos.shape[1]
        chosen = np.linspace(0, frames - 1, min(frames, _MAX_FRAMES))
        chosen = chosen.round().astype("int32")
        x = ops.cast(ops.take(videos, chosen, axis=1), "float32")
        x = 2.0 * resize_frames(x, IMAGE_SIZE) - 1.0  # (B, T, 32, 32, 3)
        following = ops.concatenate([x[:, 1:], x[:, -1:]], axis=1)
        x = ops.concatenate([x, following - x], axis=-1)
        frames = x.shape[1]
        x = ops.reshape(x, (-1, IMAGE_SIZE, IMAGE_SIZE, 6))  # (B * T, ...)
        for convolution in self.convolutions:
            x = ops.relu(convolution(x))
        x = ops.mean(x, axis=(1, 2))
        return ops.mean(ops.reshape(x, (-1, frames, _WIDTHS[-1])), axis=1)

    def compute_output_shape(self, videos_shape):
        return videos_shape[0], _WIDTHS[-1]

    def get_config(self):
        return {"seed": self.seed, "name": self.name}


def resize_frames(videos, size):
    """Clips `(B, T, H, W, C)` with frames of `size` x `size`: bilinear and
    antialiased, as the authors compare predicted frames."""
    batch, frames, height, width, channels = ops.shape(videos)
    if (height, width) == (size, size):
        return videos
    images = ops.reshape(videos, (batch * frames, height, width, channels))
    images = ops.image.resize(
        images,
        (size, size),
        interpolation="bilinear",
        antialias=True,
        data_format="channels_last",
    )
    return ops.reshape(images, (batch, frames, size, size, channels))

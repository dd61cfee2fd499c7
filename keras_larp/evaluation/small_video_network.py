import keras
import numpy as np
from keras import layers, ops

IMAGE_SIZE = 32
_WIDTHS = (16, 32, 64)
# Longer clips are subsampled to this number of frames.
_MAX_FRAMES = 8


@keras.saving.register_keras_serializable(package="keras_larp")
class SmallVideoNetwork(keras.Model):
    """Small convolutional feature extractor for clips.

    Three convolutions of frames and frame differences, followed by the mean
    over space and time. It is fast on one core and distinguishes shapes and
    directions of motion. At most 8 frames are used, resized to 32 x 32. The
    initial weights depend on the seed alone and are equal on every backend.

    Args:
        seed: Integer. Seed of the initial weights. Defaults to 0.

    Call arguments:
        videos: Float tensor of shape `(B, T, H, W, 3)` with values in [0, 1].

    Returns:
        float32 tensor of shape `(B, 64)`.
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
        indices = np.linspace(0, frames - 1, min(frames, _MAX_FRAMES))
        indices = indices.round().astype("int32")
        x = ops.cast(ops.take(videos, indices, axis=1), "float32")
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
    """Resizes the frames of clips `(B, T, H, W, C)` to `size` x `size`.

    Interpolation is bilinear with antialiasing, as in the reference
    implementation's evaluation of frame prediction.
    """
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

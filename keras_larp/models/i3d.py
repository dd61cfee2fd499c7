import keras
import numpy as np
from keras import ops

from keras_larp.utils.arguments import check_arguments
from keras_larp.utils.input_checks import (
    check_floating_point,
    check_unit_range,
)

IMAGE_SIZE = 224
# The network downsamples time by 8, and the last pooling needs two frames.
MIN_FRAMES = 9

# Width, kernel size and stride of the convolutions before the Inception blocks.
_STEM = {
    "Conv3d_1a_7x7": (64, 7, 2),
    "Conv3d_2b_1x1": (64, 1, 1),
    "Conv3d_2c_3x3": (192, 3, 1),
}
# An Inception block concatenates four branches: 1x1 convolution (b0); 1x1 then
# 3x3 convolution (b1 and b2); pooling then 1x1 convolution (b3b). These are the
# widths of the convolutions of each block.
_BRANCHES = ("b0", "b1a", "b1b", "b2a", "b2b", "b3b")
_BLOCKS = {
    "Mixed_3b": (64, 96, 128, 16, 32, 32),
    "Mixed_3c": (128, 128, 192, 32, 96, 64),
    "Mixed_4b": (192, 96, 208, 16, 48, 64),
    "Mixed_4c": (160, 112, 224, 24, 64, 64),
    "Mixed_4d": (128, 128, 256, 24, 64, 64),
    "Mixed_4e": (112, 144, 288, 32, 64, 64),
    "Mixed_4f": (256, 160, 320, 32, 128, 128),
    "Mixed_5b": (256, 160, 320, 32, 128, 128),
    "Mixed_5c": (384, 192, 384, 48, 128, 128),
}


@keras.saving.register_keras_serializable(package="keras_larp")
class I3D(keras.Model):
    """Inflated 3D ConvNet (I3D) with the 400 classes of Kinetics-400.

    The Fréchet Video Distance uses its logits as features. The network is
    Inception-v1 with 3D kernels. It is frozen, and batch normalization always
    uses the stored statistics. The constructor creates random weights, equal
    on each call; `keras_larp.presets.load_i3d` loads pretrained weights.

    Args:
        epsilon: Float. Epsilon of the batch normalizations: 1e-5 for
            `i3d_pretrained_400.pt`, 1e-3 for `rgb_imagenet.pt`, as in the
            code published with these weights. Defaults to 1e-5.
        name: String. Defaults to `"i3d"`.
        dtype: Data type or dtype policy. The default is float32 even under a
            mixed-precision global policy, since Fréchet distances are
            sensitive to rounding.

    Call arguments:
        videos: Float tensor `(B, T, H, W, 3)` in [0, 1] with `T >= 9`. Frames
            of another size are resized to 224 x 224 (bilinear, without
            antialiasing).

    Returns:
        float32 tensor `(B, 400)`. Class logits.

    Raises:
        ValueError: If the rank or the number of channels is wrong, clips have
            too few frames, the dtype is not floating-point, or values are
            those of 8-bit video or in [-1, 1].

    Example:

    ```python
    i3d = keras_larp.models.I3D()  # Random weights.
    logits = i3d(keras.random.uniform((1, 9, 64, 64, 3)))  # (1, 400)
    ```

    Reference:
        - [Quo Vadis, Action Recognition?](https://arxiv.org/abs/1705.07750)
    """

    def __init__(self, epsilon=1e-5, name="i3d", dtype="float32"):
        super().__init__(name=name, dtype=dtype)
        check_arguments(epsilon=epsilon)
        self.epsilon = epsilon
        # Keyed by the names of the convolutions in weight files.
        self.units = {}
        dtype = self.dtype_policy
        channels = 3
        for name, (width, kernel, strides) in _STEM.items():
            unit = _Unit(width, kernel, strides, epsilon, dtype=dtype)
            unit.build((None, None, None, None, channels))
            self.units[name] = unit
            channels = width
        for block, widths in _BLOCKS.items():
            inputs = dict(zip(_BRANCHES, [channels] * 6, strict=True))
            inputs |= {"b1b": widths[1], "b2b": widths[3]}
            for branch, width in zip(_BRANCHES, widths, strict=True):
                kernel = 3 if branch in ("b1b", "b2b") else 1
                unit = _Unit(width, kernel, 1, epsilon, dtype=dtype)
                unit.build((None, None, None, None, inputs[branch]))
                self.units[f"{block}.{branch}"] = unit
            channels = widths[0] + widths[2] + widths[4] + widths[5]
        self.head = keras.layers.Dense(
            400, kernel_initializer=_initial_kernel, dtype=dtype
        )
        self.head.build((None, channels))
        self.trainable = False
        self.built = True

    def call(self, videos):
        check_clips(videos)
        x = ops.cast(videos, self.compute_dtype)
        if tuple(x.shape[2:4]) != (IMAGE_SIZE, IMAGE_SIZE):
            x = _resize(x)
        x = 2.0 * x - 1.0  # (B, T, 224, 224, 3)
        x = self.units["Conv3d_1a_7x7"](x)  # (B, T / 2, 112, 112, 64)
        x = _max_pool(x, (1, 3, 3), (1, 2, 2))  # (B, T / 2, 56, 56, 64)
        x = self.units["Conv3d_2b_1x1"](x)
        x = self.units["Conv3d_2c_3x3"](x)  # (B, T / 2, 56, 56, 192)
        x = _max_pool(x, (1, 3, 3), (1, 2, 2))  # (B, T / 2, 28, 28, 192)
        for block in _BLOCKS:
            if block == "Mixed_4b":
                x = _max_pool(x, 3, 2)  # (B, T / 4, 14, 14, 480)
            if block == "Mixed_5b":
                x = _max_pool(x, 2, 2)  # (B, T / 8, 7, 7, 832)
            x = self._inception_block(x, block)
        # (B, T / 8 - 1, 1, 1, 1024)
        x = ops.average_pool(x, (2, 7, 7), 1, data_format="channels_last")
        logits = self.head(ops.mean(x, axis=(1, 2, 3)))
        return ops.cast(logits, "float32")

    def predict_on_batch(self, x):
        check_clips(x)  # Before it is traced, which hides the values.
        return super().predict_on_batch(x)

    def _inception_block(self, x, block):
        b0, b1a, b1b, b2a, b2b, b3b = (
            self.units[f"{block}.{branch}"] for branch in _BRANCHES
        )
        pooled = _max_pool(x, 3, 1)
        branches = [b0(x), b1b(b1a(x)), b2b(b2a(x)), b3b(pooled)]
        return ops.concatenate(branches, axis=-1)

    def compute_output_shape(self, videos_shape):
        return videos_shape[0], 400

    def get_config(self):
        return {
            "epsilon": self.epsilon,
            "name": self.name,
            "dtype": keras.saving.serialize_keras_object(self.dtype_policy),
        }


class _Unit(keras.layers.Layer):
    """Convolution, batch normalization and ReLU.

    Uses TensorFlow's "same" padding: odd padding is larger at the end.
    """

    def __init__(self, width, kernel, strides, epsilon, **kwargs):
        super().__init__(**kwargs)
        self.width = width
        self.convolution = keras.layers.Conv3D(
            width,
            kernel,
            strides,
            padding="same",
            use_bias=False,
            kernel_initializer=_initial_kernel,
            data_format="channels_last",
            dtype=self.dtype_policy,
        )
        self.normalization = keras.layers.BatchNormalization(
            epsilon=epsilon, dtype=self.dtype_policy
        )

    def build(self, shape):
        self.convolution.build(shape)
        self.normalization.build((*shape[:-1], self.width))

    def call(self, x):
        x = self.normalization(self.convolution(x), training=False)
        return ops.relu(x)


def check_clips(videos):
    """Raises `ValueError` if clips are not valid inputs of I3D."""
    check_floating_point(videos)
    shape = tuple(videos.shape)
    if len(shape) != 5 or shape[-1] != 3:
        raise ValueError(
            "Expected clips of shape (batch, frames, height, width, 3). "
            f"Received: shape={shape}"
        )
    if shape[1] is not None and shape[1] < MIN_FRAMES:
        raise ValueError(
            f"I3D needs clips of at least {MIN_FRAMES} frames (FVD commonly "
            f"has 16). Received: {shape[1]} frames, shape={shape}"
        )
    check_unit_range(videos, "I3D")


def _initial_kernel(shape, dtype=None):
    # NumPy, since JAX would compile one program per shape (about a minute).
    fan_in = np.prod(shape[:-1])
    kernel = np.random.default_rng(0).normal(size=shape) * (2 / fan_in) ** 0.5
    return ops.convert_to_tensor(kernel.astype("float32"), dtype)


def _resize(videos):
    batch, frames, height, width, channels = ops.shape(videos)
    images = ops.reshape(videos, (-1, height, width, channels))
    images = ops.image.resize(
        images,
        (IMAGE_SIZE, IMAGE_SIZE),
        interpolation="bilinear",
        antialias=False,
        data_format="channels_last",
    )
    size = (batch, frames, IMAGE_SIZE, IMAGE_SIZE, channels)
    return ops.reshape(images, size)


def _max_pool(x, size, strides):
    return ops.max_pool(
        x, size, strides, padding="same", data_format="channels_last"
    )

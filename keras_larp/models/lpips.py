import pathlib

import keras
import numpy as np
from keras import ops

from keras_larp.models.preset_mixin import PresetMixin
from keras_larp.utils.arguments import check_arguments
from keras_larp.utils.input_checks import (
    check_pair,
    check_unit_range,
)

# Number and width of the convolutions in each stage of VGG16.
STAGES = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
# Mean and standard deviation per color channel, for inputs in [-1, 1].
SHIFT = (-0.030, -0.088, -0.188)
SCALE = (0.458, 0.448, 0.450)


@keras.saving.register_keras_serializable(package="keras_larp")
class LPIPS(PresetMixin, keras.Model):
    """Learned perceptual distance (LPIPS 0.1) with VGG16 features.

    The features of both images after each of the five stages are normalized
    to unit length at each position. Their squared differences are weighted by
    linear heads, which are part of the package, and averaged over positions.

    `LPIPS.from_preset("lpips_vgg16")` loads pretrained VGG16 weights: this is
    the published metric. The constructor creates random weights. Distances
    with random weights can be used as a loss, but not compared with published
    results.

    All weights are frozen. The gradient flows to `reconstructions` only.
    Convolutions use the compute dtype, distances are computed in float32.

    Args:
        chunk_size: Integer. Maximum number of frames that VGG16 processes at
            once. Features are rematerialized in the backward pass, so that
            memory is bounded by one chunk. `None` processes all frames at
            once and keeps their features, which is up to 2.7 times as fast
            but needs memory for all frames. Defaults to 16.
        seed: Integer. Seed of the random weights, which are equal on every
            backend. `None` for a random seed. Defaults to `None`.

    Call arguments:
        videos: Float tensor `(B, T, H, W, 3)` of clips, or `(B, H, W, 3)` of
            frames, in [0, 1]; `H` and `W` are at least 16.
        reconstructions: Float tensor of the same shape. Values may exceed
            [0, 1].

    Returns:
        float32 tensor `(B,)`, non-negative: the mean distance over the frames
        of a clip; 0 for equal clips.

    Raises:
        ValueError: If shapes differ, the rank, size or dtype is wrong, values
            are those of 8-bit video or in [-1, 1], or `chunk_size` is not
            positive.

    Example:

    ```python
    lpips = keras_larp.models.LPIPS(seed=0)  # Random weights.
    video = keras.random.uniform((2, 4, 32, 32, 3))
    distances = lpips(video, 0.9 * video)  # (2,)
    ```

    Reference:
        - [LPIPS](https://arxiv.org/abs/1801.03924)
        - [Reference code](https://github.com/richzhang/PerceptualSimilarity)
    """

    def __init__(self, chunk_size=16, seed=None, **kwargs):
        # No autocast: colors are normalized in float32.
        super().__init__(trainable=False, autocast=False, **kwargs)
        check_arguments(chunk_size=chunk_size, seed=seed)
        self.chunk_size = chunk_size
        self.seed = seed
        self.build()

    def build(self, *input_shapes):
        if self.built:
            return
        generator = np.random.default_rng(self.seed)
        channels = 3
        self.stages = []  # Per stage, a list of (kernel, bias).
        for count, width in STAGES:
            convolutions = []
            for _ in range(count):
                kernel = generator.standard_normal(
                    (3, 3, channels, width), "float32"
                )
                # He initialization, for ReLU.
                kernel *= (2.0 / (9 * channels)) ** 0.5
                bias = np.zeros(width, "float32")
                convolutions.append(
                    (
                        self._frozen(kernel, "kernel"),
                        self._frozen(bias, "bias"),
                    )
                )
                channels = width
            self.stages.append(convolutions)
        file = pathlib.Path(__file__).with_name("lpips_heads.npz")
        with np.load(file, allow_pickle=False) as heads:
            self.heads = [
                self._frozen(heads[f"linear_{i}"], f"head_{i}")
                for i in range(len(STAGES))
            ]
        self.built = True

    def _frozen(self, array, name):
        return self.add_weight(
            shape=array.shape,
            initializer=lambda shape, dtype: ops.convert_to_tensor(
                array, dtype=dtype
            ),
            trainable=False,
            name=name,
        )

    def call(self, videos, reconstructions):
        check_pair(videos, reconstructions, min_size=16, channels=3)
        check_unit_range(videos, "LPIPS of videos")
        check_unit_range(
            reconstructions, "LPIPS of reconstructions", unclipped=True
        )
        shape = ops.shape(videos)
        distances = self._frame_distances(
            ops.reshape(videos, (-1, *shape[-3:])),
            ops.reshape(reconstructions, (-1, *shape[-3:])),
        )  # (B * T,)
        if len(shape) == 5:
            distances = ops.reshape(distances, (-1, shape[1]))
            distances = ops.mean(distances, axis=1)
        return distances

    def compute_output_shape(self, videos_shape, reconstructions_shape=None):
        return (videos_shape[0],)

    def _frame_distances(self, videos, reconstructions):
        """Distances `(n,)` of frames `(n, H, W, 3)`, computed in chunks."""
        # Read the variables here. TensorFlow cannot read them inside a
        # rematerialized loop.
        weights = self._weight_tensors()

        def distances(*frames):
            return _distances(*frames, *weights)

        count = ops.shape(videos)[0]
        is_static = isinstance(count, int)
        if self.chunk_size is None or (is_static and count <= self.chunk_size):
            return distances(videos, reconstructions)
        num_chunks = -(-count // self.chunk_size)
        size = -(-count // num_chunks)  # Equal chunks minimize the padding.
        padding = ((0, num_chunks * size - count), (0, 0), (0, 0), (0, 0))

        def split(frames):
            frames = ops.pad(frames, padding)
            shape = (num_chunks, size, *ops.shape(frames)[1:])
            return ops.reshape(frames, shape)

        remat_distances = keras.remat(lambda pair: distances(pair[0], pair[1]))
        # `scan` processes one chunk at a time on all backends. It gets one
        # stacked tensor: with two, Keras requires a static batch size.
        _, chunk_distances = ops.scan(
            lambda carry, pair: (carry, remat_distances(pair)),
            ops.zeros((size,), "float32"),
            ops.stack([split(videos), split(reconstructions)], axis=1),
        )  # (num_chunks, size)
        return ops.reshape(chunk_distances, (-1,))[:count]

    def _weight_tensors(self):
        """VGG16's weights in the compute dtype, and the heads in float32."""
        stages = [
            [[ops.cast(w, self.compute_dtype) for w in pair] for pair in stage]
            for stage in self.stages
        ]
        return stages, [ops.cast(head, "float32") for head in self.heads]

    def get_config(self):
        return {
            "name": self.name,
            "dtype": keras.saving.serialize_keras_object(self.dtype_policy),
            "chunk_size": self.chunk_size,
            "seed": self.seed,
        }


def _distances(videos, reconstructions, stages, heads):
    """Distances, float32 `(n,)`, of frames, float `(n, H, W, 3)`."""
    total = 0.0
    features = _features(videos, stages), _features(reconstructions, stages)
    for real, reconstructed, head in zip(*features, heads, strict=True):
        real = ops.stop_gradient(real)  # (n, h, w, width)
        error = _unit_length(real) - _unit_length(reconstructed)
        weighted = ops.square(error) * head
        total = total + ops.mean(ops.sum(weighted, axis=-1), axis=(1, 2))
    return total


def _features(frames, stages):
    """Yields the features after each stage, `(n, h, w, width)`."""
    x = ops.cast(frames, "float32")
    x = (2.0 * x - 1.0 - ops.array(SHIFT)) / ops.array(SCALE)
    for i, convolutions in enumerate(stages):
        if i > 0:
            x = ops.max_pool(x, 2, strides=2, data_format="channels_last")
        for kernel, bias in convolutions:
            x = ops.conv(
                ops.cast(x, kernel.dtype),
                kernel,
                padding="same",
                data_format="channels_last",
            )
            x = ops.relu(x + bias)
        yield x


def _unit_length(x):
    """L2-normalizes features in float32; zero vectors stay zero.

    Vectors shorter than 1e-3 get no gradient, see `unit_length`.
    """
    x = ops.cast(x, "float32")
    squares = ops.sum(ops.square(x), axis=-1, keepdims=True)
    # The gradient of the square root is infinite at 0.
    y = x / ops.sqrt(ops.maximum(squares, 1e-20))
    return ops.where(squares > 1e-6, y, ops.stop_gradient(y))

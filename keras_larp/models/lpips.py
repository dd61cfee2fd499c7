import pathlib

import keras
import numpy as np
from keras import ops

from keras_larp.models.preset_mixin import PresetMixin
from keras_larp.utils.input_checks import check_pair

# Convolutions and their width in each of VGG16's five stages.
STAGES = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
# Mean and deviation of the colors that the heads were fitted with.
SHIFT = (-0.030, -0.088, -0.188)
SCALE = (0.458, 0.448, 0.450)


@keras.saving.register_keras_serializable(package="keras_larp")
class LPIPS(PresetMixin, keras.Model):
    """Perceptual distance of clips, by VGG16's features (LPIPS 0.1).

    The features of both pictures after each of five stages are brought to
    unit length at each place; their squared differences are weighted by the
    linear heads, which come with the package, and averaged over places.

    The metric of the literature is `LPIPS.from_preset("lpips_vgg16")`, which
    fetches VGG16's weights. The constructor alone draws the weights at
    random: such distances work as a loss, but compare with no other's.

    All weights are frozen, and the gradient goes to `reconstructions` alone.
    Convolutions are in the compute dtype, distances in float32.

    Args:
        chunk_size: Integer, the most frames that pass VGG16 at a time. The
            features of a chunk are computed again for the gradient, so that
            memory is that of one chunk, however many frames there are.
            `None` passes all frames at once and keeps their features: at
            most 2.7 times as fast, with memory for every frame.
        seed: Integer or `None`, seed of the random weights, which are the
            same on every backend.

    Call arguments:
        videos: float `(B, T, H, W, 3)` or frames `(B, H, W, 3)`, in [0, 1];
            `H` and `W` are 16 or more.
        reconstructions: float of the same shape; may leave [0, 1].

    Returns:
        float32 `(B,)`, a clip's mean over its frames, 0 for equal clips.

    Raises:
        ValueError: for another rank, size or dtype, and for unequal shapes.

    Example:

    ```python
    lpips = keras_larp.models.LPIPS(seed=0)  # not the real metric
    video = keras.random.uniform((2, 4, 32, 32, 3))
    distances = lpips(video, 0.9 * video)  # (2,)
    ```

    Reference:
        - [LPIPS](https://arxiv.org/abs/1801.03924)
        - [Its code and heads](https://github.com/richzhang/PerceptualSimilarity)
    """

    def __init__(self, chunk_size=16, seed=None, **kwargs):
        # Colors are scaled in float32, before any cast to the compute dtype.
        super().__init__(trainable=False, autocast=False, **kwargs)
        if chunk_size is not None and chunk_size < 1:
            raise ValueError(
                "`chunk_size` is a positive number of frames or None. "
                f"Received: chunk_size={chunk_size}"
            )
        self.chunk_size = chunk_size
        self.seed = seed
        self.build()

    def build(self, *input_shapes):
        if self.built:
            return
        generator = np.random.default_rng(self.seed)
        channels = 3
        self.stages = []  # Of each stage, (kernel, bias) by convolution.
        for count, width in STAGES:
            convolutions = []
            for _ in range(count):
                kernel = generator.standard_normal(
                    (3, 3, channels, width), "float32"
                )
                # He's deviation, for ReLU.
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
        for x in (videos, reconstructions):
            if "float" not in str(x.dtype):
                raise ValueError(
                    "Expected floating-point clips with values in [0, 1]. "
                    f"Received: dtype={x.dtype}. Divide 8-bit video by 255."
                )
        shape = ops.shape(videos)
        distances = self._by_chunk(
            ops.reshape(videos, (-1, *shape[-3:])),
            ops.reshape(reconstructions, (-1, *shape[-3:])),
        )
        if len(shape) == 5:
            distances = ops.reshape(distances, (-1, shape[1]))
            distances = ops.mean(distances, axis=1)
        return distances

    def compute_output_shape(self, videos_shape, reconstructions_shape=None):
        return (videos_shape[0],)

    def _by_chunk(self, videos, reconstructions):
        """Distances of frames `(n, H, W, 3)`, a chunk at a time: `(n,)`."""
        # Variables are read here: TensorFlow cannot read them where a loop
        # is computed again.
        weights = self._tensors()

        def distances(*frames):
            return _distances(*frames, *weights)

        count = ops.shape(videos)[0]
        known = isinstance(count, int)
        if self.chunk_size is None or (known and count <= self.chunk_size):
            return distances(videos, reconstructions)
        chunks = -(-count // self.chunk_size)
        size = -(-count // chunks)  # Equal chunks need the least padding.
        padding = ((0, chunks * size - count), (0, 0), (0, 0), (0, 0))

        def split(frames):
            frames = ops.pad(frames, padding)
            return ops.reshape(frames, (chunks, size, *ops.shape(frames)[1:]))

        again = keras.remat(lambda pair: distances(pair[0], pair[1]))
        # A scan, for it alone is a loop without overlap on all backends; of
        # one tensor, for of two Keras' scan wants a known batch.
        _, found = ops.scan(
            lambda carry, pair: (carry, again(pair)),
            ops.zeros((size,), "float32"),
            ops.stack([split(videos), split(reconstructions)], axis=1),
        )  # (chunks, size)
        return ops.reshape(found, (-1,))[:count]

    def _tensors(self):
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
    """Distances of frames: float `(n, H, W, 3)` to float32 `(n,)`."""
    total = 0.0
    features = _features(videos, stages), _features(reconstructions, stages)
    for true, received, head in zip(*features, heads, strict=True):
        true = ops.stop_gradient(true)  # (n, h, w, width)
        error = _unit_length(true) - _unit_length(received)
        weighted = ops.square(error) * head
        total = total + ops.mean(ops.sum(weighted, axis=-1), axis=(1, 2))
    return total


def _features(frames, stages):
    """Features after each stage; all but the first halve the size."""
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
    """Features of unit length, float32; those of length 0 stay 0."""
    x = ops.cast(x, "float32")
    squares = ops.sum(ops.square(x), axis=-1, keepdims=True)
    # A root of 0 has no gradient.
    return x / ops.sqrt(ops.maximum(squares, 1e-20))

import keras
from keras import layers, ops

from keras_larp.backend.clamp import clamp_min
from keras_larp.backend.execution import apply_function
from keras_larp.backend.replicas import (
    draw_uniforms,
    global_size,
    mean_over_replicas,
    sum_over_replicas,
    take_over_replicas,
)
from keras_larp.backend.seed_generator import SeedGenerator
from keras_larp.backend.weighted_mean import token_weights, weighted_mean
from keras_larp.layers.sampling import draw_from_logits
from keras_larp.utils.arguments import check_arguments
from keras_larp.utils.input_checks import (
    check_finite,
    check_id_range,
    check_sample_weight,
    check_scalar,
    check_tensor,
    checks_values,
)


@keras.saving.register_keras_serializable(package="keras_larp")
class VectorQuantizer(layers.Layer):
    """Quantizes latents with a learned codebook, stochastically in training.

    The stochastic vector quantizer (SVQ) of the paper normalizes latents and
    codes to unit length. In training it samples a code from the softmax of
    the cosine similarities divided by a temperature; at inference, or with
    `stochastic=False`, it selects the nearest code. Gradients are passed to
    the latents by the straight-through estimator. All computations are in
    float32, independent of the compute dtype.

    Args:
        codebook_size: Integer. Number of codes.
        code_dim: Integer. Width of a code.
        normalize: Boolean. Whether to normalize latents and codes to unit
            length. Defaults to `True`.
        stochastic: Boolean. Whether to sample codes in training; requires
            `normalize=True`. Defaults to `True`.
        temperature: Float. Temperature of the softmax from which codes are
            sampled. Defaults to 0.03.
        commitment_weight: Float. Weight of the commitment loss
            `mean((stop_gradient(quantized) - latents)^2)`. Defaults to 0.25.
        codebook_weight: Float. Weight of the codebook loss
            `mean((quantized - stop_gradient(latents))^2)`. Defaults to 1.
        entropy_weight: Float. Weight of the entropy loss: the mean entropy of
            `softmax(-distances / entropy_temperature)` minus the entropy of
            the mean softmax. Defaults to 0.
        entropy_temperature: Float. See `entropy_weight`. Defaults to 0.01.
        ema_decay: Float in (0, 1). Decay of the exponential moving averages
            that update the codes in place of the codebook loss; see `update`.
            `None` trains the codes with the codebook loss. Defaults to
            `None`.
        reset_unused_after: Integer. Number of training steps after which an
            unused code is reset to a latent of the batch; see `update`.
            `None` disables it. Defaults to `None`.
        seed: Integer. Seed of the sampling. `None` for a random seed.
            Defaults to `None`.

    Call arguments:
        latents: Float tensor `(B, N, code_dim)`.
        training: Boolean. Whether a stochastic quantizer samples codes.
        temperature: Scalar. Overrides the constructor's `temperature`.
        sample_weight: float32 tensor `(B,)`. Weights of the clips in the
            losses; `None` for equal weights.
        token_mask: float32 tensor `(B, N)` of 0 and 1. Tokens that count in
            the losses; `None` for all of them.

    Returns:
        Dictionary of tensors:

        - `quantized`: float32 `(B, N, code_dim)`, with the straight-through
          gradient.
        - `latents`: float32 `(B, N, code_dim)`, normalized if
          `normalize=True`.
        - `token_ids`: int32 `(B, N)`, in [0, codebook_size).
        - `commitment_loss`, `codebook_loss`, `entropy_loss`: float32 scalars.
        - `loss`: float32 scalar, their weighted sum. Excludes the codebook
          loss if `ema_decay` is set.

    Raises:
        ValueError: If an argument is out of range, or `stochastic=True` with
            `normalize=False`.

    Example:

    ```python
    quantizer = keras_larp.layers.VectorQuantizer(128, code_dim=16)
    out = quantizer(keras.random.normal((2, 24, 16)), training=True)
    out["quantized"], out["token_ids"]  # (2, 24, 16), (2, 24)
    ```

    Reference:
        - [LARP](https://arxiv.org/abs/2410.21264), section 3.2
    """

    def __init__(
        self,
        codebook_size,
        code_dim,
        normalize=True,
        stochastic=True,
        temperature=0.03,
        commitment_weight=0.25,
        codebook_weight=1.0,
        entropy_weight=0.0,
        entropy_temperature=0.01,
        ema_decay=None,
        reset_unused_after=None,
        seed=None,
        **kwargs,
    ):
        # Weights must not be rounded to the compute dtype.
        super().__init__(**{"autocast": False, **kwargs})
        check_arguments(
            codebook_size=codebook_size,
            code_dim=code_dim,
            normalize=normalize,
            stochastic=stochastic,
            temperature=temperature,
            commitment_weight=commitment_weight,
            codebook_weight=codebook_weight,
            entropy_weight=entropy_weight,
            entropy_temperature=entropy_temperature,
            ema_decay=ema_decay,
            reset_unused_after=reset_unused_after,
            seed=seed,
        )
        if stochastic and not normalize:
            raise ValueError(
                "`stochastic=True` samples from cosine similarities and "
                "requires `normalize=True`. Received: stochastic=True, "
                "normalize=False"
            )
        self.codebook_size = codebook_size
        self.code_dim = code_dim
        self.normalize = normalize
        self.stochastic = stochastic
        self.temperature = temperature
        self.commitment_weight = commitment_weight
        self.codebook_weight = codebook_weight
        self.entropy_weight = entropy_weight
        self.entropy_temperature = entropy_temperature
        self.ema_decay = ema_decay
        self.reset_unused_after = reset_unused_after
        self.seed = seed
        self.seed_generator = SeedGenerator(seed)

    def build(self, input_shape=None):
        bound = (6.0 / self.code_dim) ** 0.5  # He uniform, fan-in code_dim
        shape = (self.codebook_size, self.code_dim)
        self.embeddings = self._weight(
            "codebook",
            shape,
            keras.initializers.RandomUniform(-bound, bound),
            trainable=self.ema_decay is None,
        )
        if self.ema_decay is not None:
            # Moving averages of the sum and the count of the latents that
            # are assigned to a code.
            self.ema_sums = self._weight("ema_sums", shape)
            self.ema_counts = self._weight("ema_counts", shape[:1])
            self._initialize_averages()
        if self.reset_unused_after is not None:
            self.idle_steps = self._weight("idle_steps", shape[:1])

    def _weight(self, name, shape, initializer="zeros", trainable=False):
        return self.add_weight(
            shape=shape,
            initializer=initializer,
            dtype="float32",
            trainable=trainable,
            autocast=False,
            name=name,
        )

    def codebook(self):
        """Returns the codes, float32 `(codebook_size, code_dim)`.

        They have unit length if `normalize=True`.
        """
        codes = ops.convert_to_tensor(self.embeddings)
        return unit_length(codes) if self.normalize else codes

    def lookup(self, token_ids):
        """Maps token ids, int `(...)`, to codes, float32 `(..., code_dim)`.

        Raises:
            ValueError: If `token_ids` are not integers in [0, codebook_size).
        """
        check_tensor("token_ids", token_ids, (...,), "int")
        check_id_range(
            token_ids, "token ids", self.codebook_size, "VectorQuantizer.lookup"
        )
        return ops.take(self.codebook(), token_ids, axis=0)

    def call(
        self,
        latents,
        training=False,
        temperature=None,
        sample_weight=None,
        token_mask=None,
    ):
        check_tensor("latents", latents, (None, None, self.code_dim))
        check_sample_weight(sample_weight, latents.shape[0])
        if token_mask is not None:
            check_tensor("token_mask", token_mask, tuple(latents.shape[:2]))
        weights = token_weights(token_mask, sample_weight)
        if temperature is not None:
            check_scalar("temperature", temperature, "(0, inf)")
        latents = ops.cast(latents, "float32")
        if self.normalize:
            latents = unit_length(latents)
        codes = self.codebook()
        products = ops.matmul(latents, ops.transpose(codes))  # (B, N, K)

        def negative_distances():
            """Negative squared distances `(B, N, K)`."""
            if self.normalize:
                return 2.0 * products - 2.0
            squares = ops.sum(latents**2, -1, keepdims=True)
            return 2.0 * products - squares - ops.sum(codes**2, -1)

        if self.stochastic and training:
            temperature = (
                self.temperature if temperature is None else temperature
            )
            logits = ops.stop_gradient(products) / temperature
            uniforms = draw_uniforms(
                ops.shape(products)[:-1], self.seed_generator
            )
            token_ids = apply_function(draw_from_logits, logits, uniforms)
        else:
            token_ids = ops.argmax(negative_distances(), axis=-1)
            token_ids = ops.cast(token_ids, "int32")

        quantized = ops.take(codes, token_ids, axis=0)  # (B, N, d)
        commitment_loss = weighted_mean(
            (ops.stop_gradient(quantized) - latents) ** 2, weights
        )
        codebook_loss = weighted_mean(
            (quantized - ops.stop_gradient(latents)) ** 2, weights
        )
        entropy_loss = ops.zeros(())
        if self.entropy_weight:
            entropy_loss = _entropy_loss(
                negative_distances() / self.entropy_temperature, weights
            )
        codebook_weight = (
            self.codebook_weight if self.ema_decay is None else 0.0
        )
        return {
            "quantized": latents + ops.stop_gradient(quantized - latents),
            "latents": latents,
            "token_ids": token_ids,
            "commitment_loss": commitment_loss,
            "codebook_loss": codebook_loss,
            "entropy_loss": entropy_loss,
            "loss": self.commitment_weight * commitment_loss
            + codebook_weight * codebook_loss
            + self.entropy_weight * entropy_loss,
        }

    def update(
        self,
        latents,
        token_ids,
        condition=True,
        sample_weight=None,
        token_mask=None,
    ):
        """Updates moving averages and resets unused codes.

        `LARPTokenizer.fit` calls this after each optimizer update; a custom
        training loop must do the same. The update is deterministic: codes
        that are reset in the same step are assigned latents that are evenly
        spaced over the batch. Without `ema_decay` and `reset_unused_after`
        this method does nothing.

        Args:
            latents: Float tensor `(B, N, code_dim)`. `latents` of the
                layer's outputs.
            token_ids: Integer tensor `(B, N)`. `token_ids` of the layer's
                outputs.
            condition: Boolean scalar. `False` leaves all variables unchanged,
                such as after a skipped step. Defaults to `True`.
            sample_weight: float32 tensor `(B,)`. Weights of the clips in the
                moving averages; codes that only clips of weight 0 use count
                as unused. Defaults to `None`, equal weights.
            token_mask: float32 tensor `(B, N)` of 0 and 1. Tokens that count,
                the first one of each clip among them. Defaults to `None`, all
                of them.
        """
        if self.ema_decay is None and self.reset_unused_after is None:
            return
        check_tensor("latents", latents, (None, None, self.code_dim))
        shape = latents.shape[:2]
        check_tensor("token_ids", token_ids, shape, "int")
        check_id_range(
            token_ids, "token ids", self.codebook_size, "VectorQuantizer.update"
        )
        check_sample_weight(sample_weight, shape[0])
        latents = ops.stop_gradient(ops.convert_to_tensor(latents))
        weights = ops.ones_like(latents[..., 0])  # (B, N)
        if token_mask is not None:
            check_tensor("token_mask", token_mask, tuple(shape))
            weights = weights * token_mask
            # Codes are reset to latents of tokens that count.
            latents = ops.where(
                token_mask[..., None] > 0, latents, latents[:, :1]
            )
        if sample_weight is not None:
            weights = weights * sample_weight[:, None]
        weights = ops.reshape(weights, (-1,))  # (M,)
        latents = ops.reshape(latents, (-1, self.code_dim))  # (M, d)
        token_ids = ops.reshape(ops.convert_to_tensor(token_ids), (-1,))

        def sum_by_code(values):
            sums = ops.segment_sum(values, token_ids, self.codebook_size)
            return sum_over_replicas(sums)

        counts = sum_by_code(weights)  # (K,)
        used = counts > 0
        names = ["embeddings"]
        if self.ema_decay is not None:
            names += ["ema_sums", "ema_counts"]
        if self.reset_unused_after is not None:
            names += ["idle_steps"]
        old = {n: ops.convert_to_tensor(getattr(self, n)) for n in names}
        new = dict(old)
        if self.ema_decay is not None:
            # Unused codes keep their averages. Otherwise sum and count would
            # decay until their ratio is numerically meaningless.
            rate = (1.0 - self.ema_decay) * ops.cast(used, "float32")  # (K,)
            for name, batch_value in (
                ("ema_sums", sum_by_code(weights[:, None] * latents)),  # (K, d)
                ("ema_counts", counts),  # (K,)
            ):
                step = rate if batch_value.ndim == 1 else rate[:, None]
                new[name] = old[name] + step * (batch_value - old[name])
            new["embeddings"] = new["ema_sums"] / new["ema_counts"][:, None]
        if self.reset_unused_after is not None:
            idle_steps = ops.where(used, 0.0, old["idle_steps"] + 1.0)
            unused = idle_steps >= self.reset_unused_after  # (K,)
            count = global_size(ops.shape(latents)[0])
            indices = _evenly_spaced(unused, count)
            replacements = take_over_replicas(latents, indices)  # (K, d)
            reset = {"embeddings": replacements, "idle_steps": 0.0 * idle_steps}
            if self.ema_decay is not None:
                ones = ops.ones_like(counts)
                reset |= {"ema_sums": replacements, "ema_counts": ones}
            new["idle_steps"] = idle_steps
            for name, value in reset.items():
                mask = unused if value.ndim == 1 else unused[:, None]
                new[name] = ops.where(mask, value, new[name])
        for name in names:
            value = ops.where(condition, new[name], old[name])
            getattr(self, name).assign(value)

    def set_codes(self, codes):
        """Sets the codebook, and resets the moving averages if it has any.

        Args:
            codes: Float array `(codebook_size, code_dim)`.

        Raises:
            ValueError: If the shape or dtype differs, or a value is NaN or
                infinite.
        """
        check_tensor("codes", codes, (self.codebook_size, self.code_dim))
        if checks_values(codes, "VectorQuantizer.set_codes"):
            check_finite("codes", codes)
        self.embeddings.assign(codes)
        if self.ema_decay is not None:
            self._initialize_averages()

    def _initialize_averages(self):
        """Sets the averages as if one latent, equal to it, used each code."""
        # Copy, since train steps on JAX donate the buffers of variables.
        codes = ops.copy(ops.convert_to_tensor(self.embeddings))
        self.ema_sums.assign(codes)
        self.ema_counts.assign(ops.ones(self.codebook_size))

    def compute_output_spec(
        self, latents, training=False, temperature=None, sample_weight=None
    ):
        def spec(shape=(), dtype="float32"):
            return keras.KerasTensor(shape, dtype)

        scalars = ("commitment_loss", "codebook_loss", "entropy_loss", "loss")
        return {
            "quantized": spec(latents.shape),
            "latents": spec(latents.shape),
            "token_ids": spec(latents.shape[:-1], "int32"),
            **{name: spec() for name in scalars},
        }

    def get_config(self):
        return {
            **super().get_config(),
            "codebook_size": self.codebook_size,
            "code_dim": self.code_dim,
            "normalize": self.normalize,
            "stochastic": self.stochastic,
            "temperature": self.temperature,
            "commitment_weight": self.commitment_weight,
            "codebook_weight": self.codebook_weight,
            "entropy_weight": self.entropy_weight,
            "entropy_temperature": self.entropy_temperature,
            "ema_decay": self.ema_decay,
            "reset_unused_after": self.reset_unused_after,
            "seed": self.seed,
        }


def unit_length(x):
    """L2-normalizes the last axis in float32; norms below 1e-12 count as
    1e-12.

    The gradient of the direction grows with the inverse of the norm. Vectors
    shorter than 1e-3, such as latents that a batch normalization of equal
    clips maps to zero, get no gradient: their direction is rounding noise.
    """
    x = ops.cast(x, "float32")
    squares = ops.sum(x * x, axis=-1, keepdims=True)
    y = x * ops.rsqrt(clamp_min(squares, 1e-24))
    return ops.where(squares > 1e-6, y, ops.stop_gradient(y))


def _evenly_spaced(mask, count):
    """Evenly spaced indices in [0, count) for the `True` entries of a mask.

    Args:
        mask: Boolean tensor `(K,)`.
        count: Integer.

    Returns:
        int32 tensor `(K,)`. Entries where `mask` is `False` are arbitrary.
    """
    mask = ops.cast(mask, "int32")
    stride = ops.maximum(count // ops.maximum(ops.sum(mask), 1), 1)
    return (ops.cumsum(mask) - mask) * stride % count


def _entropy_loss(logits, weights):
    """Mean entropy of the distributions minus the entropy of their mean.

    Args:
        logits: float32 `(B, N, K)`.
        weights: float32 `(B,)` or `(B, N)`, or `None`.
    """
    probabilities = ops.softmax(logits)
    log_probabilities = ops.log_softmax(logits)
    entropies = -ops.sum(probabilities * log_probabilities, -1)  # (B, N)
    if weights is None:
        mean, scale = ops.mean(probabilities, axis=(0, 1)), 1.0  # (K,)
        mean = mean_over_replicas(mean)
    else:
        scale = mean_over_replicas(ops.mean(weights))
        shape = (*weights.shape, 1, 1)[:3]  # (B, 1, 1) or (B, N, 1)
        factors = ops.reshape(weights, (-1, *shape[1:]))
        mean = mean_over_replicas(
            ops.mean(factors * probabilities, axis=(0, 1))
        ) / clamp_min(scale, 1e-12)
    return weighted_mean(entropies, weights) + scale * ops.sum(
        mean * ops.log(mean + 1e-5)
    )

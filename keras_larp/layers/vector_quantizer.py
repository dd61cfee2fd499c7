import keras
from keras import layers, ops

from keras_larp.backend.clamp import clamp_min
from keras_larp.backend.execution import apply_function
from keras_larp.backend.seed_generator import SeedGenerator
from keras_larp.layers.sampling import draw_from_logits


@keras.saving.register_keras_serializable(package="keras_larp")
class VectorQuantizer(layers.Layer):
    """Replaces latents by vectors of a learned codebook.

    The stochastic quantizer of the paper normalizes latents and codebook and
    *samples* the code in training, from the softmax of the cosines over a
    temperature; otherwise, and where `stochastic=False`, the nearest code is
    taken. Gradients pass straight through. All is computed in float32,
    whatever the compute dtype.

    Args:
        codebook_size: Integer, number of codes.
        code_dim: Integer, width of a code.
        normalize: Boolean, whether latents and codes have unit length.
        stochastic: Boolean, whether codes are sampled in training; needs
            `normalize=True`.
        temperature: Float, of the softmax that codes are sampled from.
        commitment_weight: Float, weight of `(sg(q) - z)^2`.
        codebook_weight: Float, weight of `(q - sg(z))^2`.
        entropy_weight: Float, weight of the entropy regularizer: the mean
            entropy of a latent's softmax(-distance / entropy_temperature)
            minus the entropy of the mean softmax.
        entropy_temperature: Float, see `entropy_weight`.
        ema_decay: Float in (0, 1) or `None`. Where given, a code is the
            moving average, with this decay, of the latents that take it, in
            place of being trained by the codebook loss; see `update`.
        reset_unused_after: Integer or `None`. Where given, a code that no latent
            took for so many training steps becomes a latent of the batch;
            see `update`.
        seed: Integer or `None`, seed of the sampling.

    Call arguments:
        latents: float `(B, N, code_dim)`.
        training: Boolean, whether a stochastic quantizer samples.
        temperature: Optional scalar that takes the place of `temperature`.

    Returns:
        A dictionary of float32 tensors: `quantized` `(B, N, code_dim)` with
        the straight-through gradient, `latents` (normalized, where the
        quantizer normalizes), `token_ids` int32 `(B, N)`, and the scalars
        `commitment_loss`, `codebook_loss`, `entropy_loss` and their weighted
        sum `loss`, without the codebook loss where codes are averages.

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
        super().__init__(**kwargs)
        if codebook_size < 2 or code_dim < 1:
            raise ValueError(
                "A codebook needs at least two codes of at least one value. "
                f"Received: codebook_size={codebook_size}, code_dim={code_dim}"
            )
        if stochastic and not normalize:
            raise ValueError(
                "A stochastic quantizer samples from cosines and needs "
                "`normalize=True`. Received: stochastic=True, normalize=False"
            )
        if temperature <= 0 or entropy_temperature <= 0:
            raise ValueError(
                "Temperatures must be positive. Received: "
                f"temperature={temperature}, "
                f"entropy_temperature={entropy_temperature}"
            )
        if ema_decay is not None and not 0 < ema_decay < 1:
            raise ValueError(
                "`ema_decay` must be between 0 and 1, or `None`. "
                f"Received: ema_decay={ema_decay}"
            )
        if reset_unused_after is not None and reset_unused_after < 1:
            raise ValueError(
                "Codes restart after at least one step without use. "
                f"Received: reset_unused_after={reset_unused_after}"
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
            # The averaged sum and number of the latents that take a code.
            self.ema_sums = self._weight("ema_sums", shape)
            self.ema_counts = self._weight("ema_counts", shape[:1])
            self._start_averages()
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
        """The codes, float32 `(codebook_size, code_dim)`, of unit length
        where the quantizer normalizes."""
        codes = ops.convert_to_tensor(self.embeddings)
        return unit_length(codes) if self.normalize else codes

    def lookup(self, token_ids):
        """Codes of token ids: int `(...)` to float32 `(..., code_dim)`."""
        return ops.take(self.codebook(), token_ids, axis=0)

    def call(self, latents, training=False, temperature=None):
        latents = ops.cast(latents, "float32")
        if self.normalize:
            latents = unit_length(latents)
        codes = self.codebook()
        products = ops.matmul(latents, ops.transpose(codes))  # (B, N, K)

        def affinity():
            """Minus the squared distances."""
            if self.normalize:
                return 2.0 * products - 2.0
            squares = ops.sum(latents**2, -1, keepdims=True)
            return 2.0 * products - squares - ops.sum(codes**2, -1)

        if self.stochastic and training:
            temperature = (
                self.temperature if temperature is None else temperature
            )
            logits = ops.stop_gradient(products) / temperature
            uniforms = keras.random.uniform(
                ops.shape(products)[:-1], seed=self.seed_generator
            )
            token_ids = apply_function(draw_from_logits, logits, uniforms)
        else:
            token_ids = ops.cast(ops.argmax(affinity(), axis=-1), "int32")

        quantized = ops.take(codes, token_ids, axis=0)  # (B, N, d)
        commitment_loss = ops.mean(
            (ops.stop_gradient(quantized) - latents) ** 2
        )
        codebook_loss = ops.mean((quantized - ops.stop_gradient(latents)) ** 2)
        entropy_loss = ops.zeros(())
        if self.entropy_weight:
            entropy_loss = _entropy_loss(affinity() / self.entropy_temperature)
        return {
            "quantized": latents + ops.stop_gradient(quantized - latents),
            "latents": latents,
            "token_ids": token_ids,
            "commitment_loss": commitment_loss,
            "codebook_loss": codebook_loss,
            "entropy_loss": entropy_loss,
            "loss": self.commitment_weight * commitment_loss
            + (self.codebook_weight if self.ema_decay is None else 0.0)
            * codebook_loss
            + self.entropy_weight * entropy_loss,
        }

    def update(self, latents, token_ids, condition=True):
        """Moves averaged codes and restarts dead ones, after a training step.

        `LARPTokenizer.fit` does this; a step of your own calls it after the
        optimizer. All of it is a function of its arguments: codes that
        restart together take latents that lie evenly over the batch.

        Args:
            latents: float `(B, N, code_dim)`, `latents` of the outputs.
            token_ids: int `(B, N)`, `token_ids` of the outputs.
            condition: Boolean scalar, whether the step counts.
        """
        if self.ema_decay is None and self.reset_unused_after is None:
            return
        latents = ops.stop_gradient(ops.convert_to_tensor(latents))
        latents = ops.reshape(latents, (-1, self.code_dim))  # (M, d)
        token_ids = ops.reshape(ops.convert_to_tensor(token_ids), (-1,))

        def sum_by_code(values):
            return ops.segment_sum(values, token_ids, self.codebook_size)

        counts = sum_by_code(ops.ones_like(latents[:, 0]))  # (K,)
        used = counts > 0
        names = ["embeddings"]
        if self.ema_decay is not None:
            names += ["ema_sums", "ema_counts"]
        if self.reset_unused_after is not None:
            names += ["idle_steps"]
        before = {n: ops.convert_to_tensor(getattr(self, n)) for n in names}
        after = dict(before)
        if self.ema_decay is not None:
            # Codes that no latent took keep their averages: these would decay
            # to a sum and a number too small to divide.
            rate = (1.0 - self.ema_decay) * ops.cast(used, "float32")
            for name, now in (
                ("ema_sums", sum_by_code(latents)),
                ("ema_counts", counts),
            ):
                part = rate if now.ndim == 1 else rate[:, None]
                after[name] = before[name] + part * (now - before[name])
            sums, numbers = after["ema_sums"], after["ema_counts"]
            after["embeddings"] = sums / numbers[:, None]
        if self.reset_unused_after is not None:
            idle = ops.where(used, 0.0, before["idle_steps"] + 1.0)
            dead = idle >= self.reset_unused_after
            picked = _evenly(dead, ops.shape(latents)[0])
            picked = ops.take(latents, picked, axis=0)  # (K, d)
            restarted = {"embeddings": picked, "idle_steps": 0.0 * idle}
            if self.ema_decay is not None:
                ones = ops.ones_like(counts)
                restarted |= {"ema_sums": picked, "ema_counts": ones}
            after["idle_steps"] = idle
            for name, fresh in restarted.items():
                where = dead if fresh.ndim == 1 else dead[:, None]
                after[name] = ops.where(where, fresh, after[name])
        for name in names:
            value = ops.where(condition, after[name], before[name])
            getattr(self, name).assign(value)

    def set_codes(self, codes):
        """Makes `codes`, float `(codebook_size, code_dim)`, the codebook."""
        self.embeddings.assign(codes)
        if self.ema_decay is not None:
            self._start_averages()

    def _start_averages(self):
        """Averages as if each code had been taken by one latent, itself."""
        # A copy: JAX's steps write into the buffers of variables.
        codes = ops.copy(ops.convert_to_tensor(self.embeddings))
        self.ema_sums.assign(codes)
        self.ema_counts.assign(ops.ones(self.codebook_size))

    def compute_output_spec(self, latents, training=False, temperature=None):
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
    """`x` over its length on the last axis, where that is above 1e-12."""
    squares = ops.sum(x * x, axis=-1, keepdims=True)
    return x * ops.rsqrt(clamp_min(squares, 1e-24))


def _evenly(chosen, count):
    """For each `chosen` of a boolean vector an index below `count`, which lie
    evenly; for the others any."""
    chosen = ops.cast(chosen, "int32")
    stride = ops.maximum(count // ops.maximum(ops.sum(chosen), 1), 1)
    return (ops.cumsum(chosen) - chosen) * stride % count


def _entropy_loss(logits):
    """Mean entropy of the distributions minus the entropy of their mean."""
    logits = ops.reshape(logits, (-1, logits.shape[-1]))
    probabilities = ops.softmax(logits)
    each = -ops.mean(ops.sum(probabilities * ops.log_softmax(logits), -1))
    mean = ops.mean(probabilities, axis=0)
    return each + ops.sum(mean * ops.log(mean + 1e-5))

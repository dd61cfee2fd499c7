import keras
from keras import layers, ops

from keras_larp.backend.replicas import draw_uniforms
from keras_larp.backend.seed_generator import SeedGenerator
from keras_larp.utils.checks import (
    check_choice,
    check_integer,
    check_number,
)
from keras_larp.utils.input_checks import (
    check_id_range,
    check_tensor,
    has_values,
)


@keras.saving.register_keras_serializable(package="keras_larp")
class TokenDropout(layers.Layer):
    """Replaces the last codes of a clip by a learned mask code.

    In training, a tokenizer with this layer keeps all tokens of some clips,
    and a random number of leading tokens of the others (nested dropout). It
    learns to put what matters most into the first tokens, so that any number
    of leading tokens can be decoded.

    Args:
        num_tokens: Integer. Number of tokens per clip.
        code_dim: Integer. Width of a code.
        rate: Float in [0, 1]. Probability that tokens of a clip are dropped.
            Defaults to 0.5.
        min_tokens: Integer. Smallest number of tokens to keep. Defaults to a
            16th of `num_tokens`, but at least 1.
        max_tokens: Integer. Largest number of tokens to keep, of clips of
            which tokens are dropped. Defaults to three quarters of
            `num_tokens`.
        distribution: String. Distribution of the number of tokens to keep,
            from `min_tokens` to `max_tokens`: `"uniform"`, or `"log_uniform"`
            for more small numbers. Defaults to `"uniform"`.
        seed: Integer. Seed of the numbers of tokens. `None` for a random
            seed. Defaults to `None`.

    Call arguments:
        codes: Float tensor `(B, num_tokens, code_dim)`.
        num_kept: int32 tensor `(B,)`, the number of leading codes to keep.

    Returns:
        Float tensor `(B, num_tokens, code_dim)`.

    Raises:
        ValueError: If an argument is out of range or not a number of its kind.

    Example:

    ```python
    token_dropout = keras_larp.layers.TokenDropout(24, code_dim=16)
    num_kept = token_dropout.draw(2)  # int32 (2,)
    codes = token_dropout(keras.random.normal((2, 24, 16)), num_kept)
    ```

    Reference:
        - [Rippel et al., Learning Ordered Representations with Nested
          Dropout](https://arxiv.org/abs/1402.0915)
        - [LARP](https://arxiv.org/abs/2410.21264), section 3.1, for the
          tokens
    """

    def __init__(
        self,
        num_tokens,
        code_dim,
        rate=0.5,
        min_tokens=None,
        max_tokens=None,
        distribution="uniform",
        seed=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_tokens = check_integer("num_tokens", num_tokens, 1)
        self.code_dim = check_integer("code_dim", code_dim, 1)
        self.rate = check_number("rate", rate, "[0, 1]")
        if min_tokens is None:
            min_tokens = max(1, num_tokens // 16)
        self.min_tokens = check_integer("min_tokens", min_tokens, 1, num_tokens)
        if max_tokens is None:
            max_tokens = max(min_tokens, 3 * num_tokens // 4)
        self.max_tokens = check_integer(
            "max_tokens", max_tokens, min_tokens, num_tokens
        )
        self.distribution = check_choice(
            "distribution", distribution, ("uniform", "log_uniform")
        )
        if seed is not None:
            check_integer("seed", seed, 0)
        self.seed = seed
        self.seed_generator = SeedGenerator(seed)

    def build(self, input_shape=None):
        self.mask_code = self.add_weight(
            shape=(self.code_dim,),
            initializer="zeros",
            dtype="float32",
            autocast=False,
            name="mask_code",
        )

    def draw(self, batch_size):
        """Draws the numbers of tokens to keep in training.

        Args:
            batch_size: Integer or integer scalar.

        Returns:
            int32 tensor `(batch_size,)`, from `min_tokens` to `max_tokens`, or
            `num_tokens`.
        """
        if has_values(batch_size):
            check_integer("batch_size", batch_size, 1)
        uniforms = draw_uniforms((batch_size, 2), self.seed_generator)
        low, high = float(self.min_tokens), float(self.max_tokens + 1)
        position = uniforms[:, 0]
        if self.distribution == "uniform":
            kept = low + position * (high - low)
        else:
            kept = low * ops.exp(position * ops.log(high / low))
        # A number just below `high` may be rounded up to it.
        kept = ops.clip(ops.cast(kept, "int32"), 1, self.max_tokens)
        return ops.where(uniforms[:, 1] < self.rate, kept, self.num_tokens)

    def mask(self, num_kept):
        """Which tokens are kept: float32 `(B, num_tokens)` of 0 and 1.

        Args:
            num_kept: int32 tensor `(B,)`.
        """
        check_tensor("num_kept", num_kept, (None,), "int")
        size = self.num_tokens + 1
        check_id_range(num_kept, "`num_kept`", size, "TokenDropout.mask")
        positions = ops.arange(self.num_tokens, dtype="int32")
        is_kept = positions < ops.cast(num_kept, "int32")[:, None]
        return ops.cast(is_kept, "float32")

    def call(self, codes, num_kept):
        check_tensor("codes", codes, (None, self.num_tokens, self.code_dim))
        check_tensor("num_kept", num_kept, (codes.shape[0],), "int")
        mask = ops.cast(self.mask(num_kept), codes.dtype)[..., None]
        mask_code = ops.cast(self.mask_code, codes.dtype)
        return mask * codes + (1.0 - mask) * mask_code

    def compute_output_shape(self, codes_shape, num_kept_shape=None):
        return tuple(codes_shape)

    def get_config(self):
        return {
            **super().get_config(),
            "num_tokens": self.num_tokens,
            "code_dim": self.code_dim,
            "rate": self.rate,
            "min_tokens": self.min_tokens,
            "max_tokens": self.max_tokens,
            "distribution": self.distribution,
            "seed": self.seed,
        }

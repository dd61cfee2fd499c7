import keras
from keras import layers, ops

from keras_larp.backend.execution import apply_block
from keras_larp.layers.position_table import SequencePositions
from keras_larp.layers.transformer_block import TransformerBlock
from keras_larp.layers.vector_quantizer import unit_length

SIZES = {  # layers, heads, width
    "gptc-tiny": (1, 4, 64),
    "gptc-XXS": (6, 4, 256),
    "gptc-XS": (6, 6, 384),
    "gptc-S": (12, 6, 384),
    "gptc-M": (12, 8, 512),
    "gptc-B": (12, 12, 768),
    "gptc-L": (24, 16, 1024),
}


@keras.saving.register_keras_serializable(package="keras_larp")
class ARPrior(keras.Model):
    """The light autoregressive prior that is trained with the tokenizer.

    A causal transformer over *continuous* codes: from the quantized latents
    up to a position it predicts the latent of the next.

    Args:
        code_dim: Integer, width of a code.
        num_layers: Integer, transformer blocks.
        num_heads: Integer, attention heads; divides `hidden_dim`.
        hidden_dim: Integer, width.
        max_length: Integer, rows of the learned position table.
        dropout: Float, rate on inputs, attention weights and residuals.
        normalize: Boolean, whether predictions have unit length.
        gradient_checkpointing: Boolean, whether training computes the inside
            of each block a second time in place of keeping it.

    Call arguments:
        latents: float `(B, n, code_dim)`, with `n <= max_length`.
        training: Boolean, whether dropout acts.

    Returns:
        float32 `(B, n, code_dim)`; entry `i` predicts latent `i + 1`.

    Example:

    ```python
    prior = keras_larp.models.ARPrior.from_size("gptc-XXS", code_dim=16)
    prediction = prior(keras.random.normal((2, 23, 16)))  # (2, 23, 16)
    ```

    Reference:
        - [LARP](https://arxiv.org/abs/2410.21264), section 3.3
    """

    def __init__(
        self,
        code_dim=16,
        num_layers=12,
        num_heads=6,
        hidden_dim=384,
        max_length=1024,
        dropout=0.1,
        normalize=True,
        gradient_checkpointing=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.code_dim = code_dim
        self.num_layers = num_layers
        self.num_heads = num_heads
        self.hidden_dim = hidden_dim
        self.max_length = max_length
        self.dropout = dropout
        self.normalize = normalize
        self.gradient_checkpointing = gradient_checkpointing

        policy = self.dtype_policy
        self.input_projection = layers.Dense(
            hidden_dim, dtype=policy, name="input_projection"
        )
        self.positions = SequencePositions(
            max_length, hidden_dim, learned=True, dtype=policy, name="positions"
        )
        self.input_dropout = layers.Dropout(dropout, dtype=policy)
        self.blocks = [
            TransformerBlock(
                hidden_dim,
                num_heads,
                causal=True,
                use_qkv_bias=True,
                dropout=dropout,
                dtype=policy,
                name=f"block_{i}",
            )
            for i in range(num_layers)
        ]
        self.norm = layers.LayerNormalization(
            epsilon=1e-5, dtype=policy, name="norm"
        )
        self.head = layers.Dense(code_dim, dtype=policy, name="head")
        self.build((None, None, code_dim))

    @classmethod
    def from_size(cls, size, **kwargs):
        """A prior of a size by name: `gptc-XXS`, `-XS`, `-S` (the paper's),
        `-M`, `-B` or `-L`; or `-tiny`, ours for small data."""
        if size not in SIZES:
            raise ValueError(
                f"Unknown size of a prior: {size!r}. "
                f"Expected one of: {', '.join(SIZES)}"
            )
        num_layers, num_heads, hidden_dim = SIZES[size]
        return cls(
            num_layers=num_layers,
            num_heads=num_heads,
            hidden_dim=hidden_dim,
            **kwargs,
        )

    def build(self, input_shape):
        if self.built:
            return
        self.input_projection.build((None, None, self.code_dim))
        shape = (None, None, self.hidden_dim)
        for block in self.blocks:
            block.build(shape)
        self.norm.build(shape)
        self.head.build(shape)
        self.built = True

    def call(self, latents, training=False):
        length = latents.shape[1]
        if length > self.max_length:
            raise ValueError(
                f"The prior has {self.max_length} positions. "
                f"Received: {length} latents"
            )
        x = self.input_projection(latents) + self.positions.values()[:, :length]
        x = self.input_dropout(x, training=training)
        checkpoint = training and self.gradient_checkpointing
        for block in self.blocks:
            x = apply_block(block, x, checkpoint, training=training)
        x = ops.cast(self.head(self.norm(x)), "float32")
        return unit_length(x) if self.normalize else x

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return {
            "name": self.name,
            "dtype": keras.saving.serialize_keras_object(self.dtype_policy),
            "code_dim": self.code_dim,
            "num_layers": self.num_layers,
            "num_heads": self.num_heads,
            "hidden_dim": self.hidden_dim,
            "max_length": self.max_length,
            "dropout": self.dropout,
            "normalize": self.normalize,
            "gradient_checkpointing": self.gradient_checkpointing,
        }

import keras
from keras import layers, ops

from keras_larp.backend.execution import apply_block
from keras_larp.layers.position_table import SequencePositions
from keras_larp.layers.transformer_block import TransformerBlock
from keras_larp.layers.vector_quantizer import unit_length
from keras_larp.models.sizes import Size, SizesMixin
from keras_larp.utils.arguments import check_arguments
from keras_larp.utils.input_checks import check_tensor

SIZES = {
    "gptc-tiny": Size(num_layers=1, num_heads=4, hidden_dim=64),
    "gptc-XXS": Size(num_layers=6, num_heads=4, hidden_dim=256),
    "gptc-XS": Size(num_layers=6, num_heads=6, hidden_dim=384),
    "gptc-S": Size(num_layers=12, num_heads=6, hidden_dim=384),
    "gptc-M": Size(num_layers=12, num_heads=8, hidden_dim=512),
    "gptc-B": Size(num_layers=12, num_heads=12, hidden_dim=768),
    "gptc-L": Size(num_layers=24, num_heads=16, hidden_dim=1024),
}


@keras.saving.register_keras_serializable(package="keras_larp")
class ARPrior(SizesMixin, keras.Model):
    """Autoregressive prior that is trained together with the tokenizer.

    A causal GPT over *continuous* codes: given the quantized latents up to
    position `i`, it predicts the latent at position `i + 1`. The inner
    products of this prediction with the codebook are the next-token logits of
    the prior loss. `ARPrior.sizes` lists the named sizes for `from_size`;
    the paper uses `"gptc-S"`.

    Args:
        code_dim: Integer. Width of a code. Defaults to 16.
        num_layers: Integer. Number of transformer blocks. Defaults to 12.
        num_heads: Integer. Number of attention heads; must divide
            `hidden_dim`. Defaults to 6.
        hidden_dim: Integer. Width of the transformer. Defaults to 384.
        max_length: Integer. Number of learned positions. Defaults to 1024.
        dropout: Float. Dropout rate of inputs, attention weights, attention
            outputs and MLP outputs. Defaults to 0.1.
        normalize: Boolean. Whether to normalize predictions to unit length.
            Defaults to `True`.
        gradient_checkpointing: Boolean. Whether to rematerialize the
            activations of each block in the backward pass. Defaults to
            `False`.

    Call arguments:
        latents: Float tensor `(B, n, code_dim)` with `n <= max_length`.
        training: Boolean. Whether dropout is active.

    Returns:
        float32 tensor `(B, n, code_dim)`; position `i` predicts latent
        `i + 1`.

    Raises:
        ValueError: If there are more than `max_length` latents.

    Example:

    ```python
    prior = keras_larp.models.ARPrior.from_size("gptc-XXS", code_dim=16)
    prediction = prior(keras.random.normal((2, 23, 16)))  # (2, 23, 16)
    ```

    Reference:
        - [LARP](https://arxiv.org/abs/2410.21264), section 3.3
    """

    sizes = SIZES

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
        check_arguments(
            code_dim=code_dim,
            num_layers=num_layers,
            num_heads=num_heads,
            hidden_dim=hidden_dim,
            max_length=max_length,
            dropout=dropout,
            normalize=normalize,
            gradient_checkpointing=gradient_checkpointing,
        )
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
        check_tensor("latents", latents, (None, None, self.code_dim))
        length = latents.shape[1]
        if length > self.max_length:
            raise ValueError(
                f"Expected at most max_length={self.max_length} latents. "
                f"Received: {length} latents"
            )
        x = self.input_projection(latents)  # (B, n, D)
        x = x + self.positions.values()[:, :length]
        x = self.input_dropout(x, training=training)
        checkpoint = training and self.gradient_checkpointing
        for block in self.blocks:
            x = apply_block(block, x, checkpoint, training=training)
        x = ops.cast(self.head(self.norm(x)), "float32")  # (B, n, code_dim)
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

import keras
from keras import layers

from keras_larp.layers.attention import (
    attend,
    causal_mask,
    check_heads,
    split_heads,
)
from keras_larp.utils.arguments import check_arguments
from keras_larp.utils.checks import check_integer
from keras_larp.utils.input_checks import check_tensor


@keras.saving.register_keras_serializable(package="keras_larp")
class TransformerBlock(layers.Layer):
    """Pre-norm vision transformer block with exact (erf) GELU.

    Computes `x = x + attention(norm(x))`, then `x = x + mlp(norm(x))`. Query,
    key and value are projected by one linear layer.

    Args:
        hidden_dim: Integer. Width of the tokens.
        num_heads: Integer. Number of attention heads; must divide
            `hidden_dim`.
        mlp_dim: Integer. Width of the hidden layer of the MLP. Defaults to
            `4 * hidden_dim`.
        causal: Boolean. Whether to apply a causal attention mask. Defaults to
            `False`.
        use_qkv_bias: Boolean. Whether the query-key-value projection has a
            bias. Defaults to `False`.
        dropout: Float. Dropout rate of the attention weights and of the
            attention and MLP outputs. Defaults to 0.
        epsilon: Float. Epsilon of the layer normalizations. Defaults to 1e-5.

    Call arguments:
        tokens: Float tensor `(B, N, hidden_dim)`.
        num_outputs: Integer. Computes the outputs of the last `num_outputs`
            tokens only; these still attend to all tokens. `None` computes all
            outputs.
        training: Boolean. Whether dropout is active.

    Returns:
        Float tensor `(B, N, hidden_dim)`, or
        `(B, num_outputs, hidden_dim)` if `num_outputs < N`.

    Raises:
        ValueError: If `num_heads` does not divide `hidden_dim`.

    Example:

    ```python
    block = keras_larp.layers.TransformerBlock(hidden_dim=64, num_heads=4)
    tokens = block(keras.random.normal((2, 10, 64)))  # (2, 10, 64)
    ```

    Reference:
        - [LARP](https://arxiv.org/abs/2410.21264), section 3.1
    """

    def __init__(
        self,
        hidden_dim,
        num_heads,
        mlp_dim=None,
        causal=False,
        use_qkv_bias=False,
        dropout=0.0,
        epsilon=1e-5,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_arguments(
            hidden_dim=hidden_dim,
            num_heads=num_heads,
            mlp_dim=mlp_dim,
            causal=causal,
            use_qkv_bias=use_qkv_bias,
            dropout=dropout,
            epsilon=epsilon,
        )
        check_heads(hidden_dim, num_heads)
        self.hidden_dim = hidden_dim
        self.num_heads = num_heads
        self.mlp_dim = mlp_dim or 4 * hidden_dim
        self.causal = causal
        self.use_qkv_bias = use_qkv_bias
        self.dropout = dropout
        self.epsilon = epsilon

        def dense(units, name, **options):
            return layers.Dense(
                units, dtype=self.dtype_policy, name=name, **options
            )

        def norm(name):
            return layers.LayerNormalization(
                epsilon=epsilon, dtype=self.dtype_policy, name=name
            )

        self.attention_norm = norm("attention_norm")
        self.qkv = dense(3 * hidden_dim, "qkv", use_bias=use_qkv_bias)
        self.attention_dropout = layers.Dropout(
            dropout, dtype=self.dtype_policy
        )
        self.projection = dense(hidden_dim, "projection")
        self.mlp_norm = norm("mlp_norm")
        self.mlp_in = dense(self.mlp_dim, "mlp_in")
        self.mlp_out = dense(hidden_dim, "mlp_out")
        self.residual_dropout = layers.Dropout(dropout, dtype=self.dtype_policy)

    def build(self, input_shape):
        shape = (None, None, self.hidden_dim)
        self.attention_norm.build(shape)
        self.qkv.build(shape)
        self.projection.build(shape)
        self.mlp_norm.build(shape)
        self.mlp_in.build(shape)
        self.mlp_out.build((None, None, self.mlp_dim))

    def call(self, tokens, num_outputs=None, training=False):
        check_tensor("tokens", tokens, (None, None, self.hidden_dim))
        length = tokens.shape[1]
        if num_outputs is not None:
            check_integer("num_outputs", num_outputs, 1, length)
        mask, causal = None, self.causal
        query, key, value = split_heads(
            self.qkv(self.attention_norm(tokens)), self.num_heads
        )  # (B, num_heads, N, d)
        if num_outputs is not None and num_outputs < length:
            tokens = tokens[:, length - num_outputs :]
            query = query[:, :, length - num_outputs :]
            if causal:
                mask = causal_mask(length)[length - num_outputs :]
                causal = False
        dropout = self.attention_dropout
        x = attend(query, key, value, mask, causal, dropout, training)
        x = self.residual_dropout(self.projection(x), training=training)
        tokens = tokens + x

        x = self.mlp_in(self.mlp_norm(tokens))
        x = self.mlp_out(keras.ops.gelu(x, approximate=False))
        return tokens + self.residual_dropout(x, training=training)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return {
            **super().get_config(),
            "hidden_dim": self.hidden_dim,
            "num_heads": self.num_heads,
            "mlp_dim": self.mlp_dim,
            "causal": self.causal,
            "use_qkv_bias": self.use_qkv_bias,
            "dropout": self.dropout,
            "epsilon": self.epsilon,
        }

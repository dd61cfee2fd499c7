import keras
from keras import layers, ops

from keras_larp.layers.attention import (
    attend,
    check_heads,
    split_heads,
    write_cache,
)


@keras.saving.register_keras_serializable(package="keras_larp")
class CausalTransformerBlock(layers.Layer):
    """A LLaMA-like block: RMSNorm, causal attention, RMSNorm, SwiGLU.

    No biases and no rotary embedding. Heads of keys and values can be fewer
    than those of queries. Outputs of attention and MLP go through dropout
    and, optionally, stochastic depth.

    Args:
        hidden_dim: Integer, width of the tokens.
        num_heads: Integer, attention heads; divides `hidden_dim`.
        num_kv_heads: Integer, heads of keys and values; divides
            `num_heads`. Defaults to `num_heads`.
        mlp_dim: Integer, width of the SwiGLU layer. Defaults to 8/3 of
            `hidden_dim`, rounded up to a multiple of 256.
        dropout: Float, rate after attention and after the MLP.
        attention_dropout: Float, rate on the attention weights.
        drop_path: Float, share of training samples that skip a residual
            branch.
        epsilon: Float, of the norms.

    Call arguments:
        tokens: float `(B, n, hidden_dim)`.
        cache: Optional pair of keys and values, each
            `(B * num_kv_heads, L, hidden_dim / num_heads)`, see
            `empty_cache`. The `n` tokens are written into it at `index`.
        index: Integer scalar, position of the first token, with `cache`.
        product: Optional function of `(B, 1, inputs)` and a kernel, that
            takes the place of linear layers whose kernels are given.
        kernels: Optional dictionary of kernels for it, by the layers' names;
            see `map_kernels`.
        training: Boolean, whether dropout acts.

    Returns:
        float `(B, n, hidden_dim)`; with a cache, also the new cache.

    Example:

    ```python
    block = keras_larp.layers.CausalTransformerBlock(64, num_heads=4)
    tokens = block(keras.random.normal((2, 10, 64)))  # (2, 10, 64)
    ```
    """

    def __init__(
        self,
        hidden_dim,
        num_heads,
        num_kv_heads=None,
        mlp_dim=None,
        dropout=0.0,
        attention_dropout=0.0,
        drop_path=0.0,
        epsilon=1e-5,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_heads(hidden_dim, num_heads, num_kv_heads)
        self.hidden_dim = hidden_dim
        self.num_heads = num_heads
        self.num_kv_heads = num_kv_heads or num_heads
        self.mlp_dim = mlp_dim or -(-(8 * hidden_dim // 3) // 256) * 256
        self.dropout = dropout
        self.attention_dropout = attention_dropout
        self.drop_path = drop_path
        self.epsilon = epsilon
        self.head_dim = hidden_dim // num_heads

        def dense(units, name):
            return layers.Dense(
                units,
                use_bias=False,
                kernel_initializer=keras.initializers.RandomNormal(stddev=0.02),
                dtype=self.dtype_policy,
                name=name,
            )

        def norm(name):
            return layers.RMSNormalization(
                epsilon=epsilon, dtype=self.dtype_policy, name=name
            )

        heads = num_heads + 2 * self.num_kv_heads
        self.attention_norm = norm("attention_norm")
        self.qkv = dense(heads * self.head_dim, "qkv")
        self.projection = dense(hidden_dim, "projection")
        self.mlp_norm = norm("mlp_norm")
        # The gate and the value of the SwiGLU, side by side.
        self.mlp_in = dense(2 * self.mlp_dim, "mlp_in")
        self.mlp_out = dense(hidden_dim, "mlp_out")

        def dropped(rate):
            return layers.Dropout(rate, dtype=self.dtype_policy)

        self.weights_dropout = dropped(attention_dropout)
        self.residual_dropout = dropped(dropout)
        self.path_dropout = dropped(drop_path)

    def build(self, input_shape):
        self.attention_norm.build(input_shape)
        self.qkv.build(input_shape)
        self.projection.build(input_shape)
        self.mlp_norm.build(input_shape)
        self.mlp_in.build(input_shape)
        self.mlp_out.build((*input_shape[:-1], self.mlp_dim))

    def empty_cache(self, batch_size, length):
        """Zero keys and values for `length` positions."""
        shape = (batch_size * self.num_kv_heads, length, self.head_dim)
        zeros = ops.zeros(shape, dtype=self.compute_dtype)
        return zeros, ops.zeros(shape, dtype=self.compute_dtype)

    def map_kernels(self, function):
        """`function` of the kernel of each linear layer that is not
        quantized, by name."""
        names = ("qkv", "projection", "mlp_in", "mlp_out")
        return {
            name: function(ops.cast(layer.kernel, self.compute_dtype))
            for name in names
            if (layer := getattr(self, name)).quantization_mode is None
        }

    def call(
        self,
        tokens,
        cache=None,
        index=None,
        product=None,
        kernels=None,
        training=False,
    ):
        def dense(name, x):
            if kernels and name in kernels:
                return product(x, kernels[name])
            return getattr(self, name)(x)

        length = tokens.shape[1]
        query, key, value = split_heads(
            dense("qkv", self.attention_norm(tokens)),
            self.num_heads,
            self.num_kv_heads,
        )
        mask = None
        if cache is not None:
            cache, (key, value) = write_cache(cache, key, value, index)
            own = index + ops.arange(length)
            mask = own[:, None] >= ops.arange(key.shape[2])[None, :]
        causal, dropout = cache is None, self.weights_dropout
        x = attend(query, key, value, mask, causal, dropout, training)
        tokens = tokens + self._drop(dense("projection", x), training)

        x = dense("mlp_in", self.mlp_norm(tokens))
        gate, x = ops.split(x, 2, axis=-1)
        x = dense("mlp_out", ops.silu(gate) * x)
        tokens = tokens + self._drop(x, training)
        return tokens if cache is None else (tokens, cache)

    def _drop(self, branch, training):
        """Dropout, and stochastic depth: leaves the branch out for some
        samples."""
        branch = self.residual_dropout(branch, training=training)
        if not (training and self.drop_path):
            return branch
        ones = ops.ones((ops.shape(branch)[0], 1, 1), branch.dtype)
        return branch * self.path_dropout(ones, training=True)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return {
            **super().get_config(),
            "hidden_dim": self.hidden_dim,
            "num_heads": self.num_heads,
            "num_kv_heads": self.num_kv_heads,
            "mlp_dim": self.mlp_dim,
            "dropout": self.dropout,
            "attention_dropout": self.attention_dropout,
            "drop_path": self.drop_path,
            "epsilon": self.epsilon,
        }

import keras
from keras import layers, ops

from keras_larp.layers.attention import (
    attend,
    check_heads,
    split_heads,
    write_cache,
)
from keras_larp.utils.arguments import check_arguments
from keras_larp.utils.input_checks import check_tensor


@keras.saving.register_keras_serializable(package="keras_larp")
class CausalTransformerBlock(layers.Layer):
    """LLaMA-style decoder block: RMSNorm, causal attention, RMSNorm, SwiGLU.

    There are no biases and no rotary embeddings. Attention can use grouped
    queries (`num_kv_heads < num_heads`). The attention and MLP outputs pass
    through dropout and optional stochastic depth.

    Args:
        hidden_dim: Integer. Width of the tokens.
        num_heads: Integer. Number of query heads; must divide `hidden_dim`.
        num_kv_heads: Integer. Number of key and value heads; must divide
            `num_heads`. Defaults to `num_heads`.
        mlp_dim: Integer. Width of the hidden layer of the SwiGLU. Defaults to
            `8 / 3 * hidden_dim`, rounded up to a multiple of 256.
        dropout: Float. Dropout rate of the attention and MLP outputs.
            Defaults to 0.
        attention_dropout: Float. Dropout rate of the attention weights.
            Defaults to 0.
        drop_path: Float. Probability of skipping a residual branch for a
            training sample (stochastic depth). Defaults to 0.
        epsilon: Float. Epsilon of the normalizations. Defaults to 1e-5.

    Call arguments:
        tokens: Float tensor `(B, n, hidden_dim)`.
        cache: Pair of key and value tensors, each
            `(B * num_kv_heads, L, hidden_dim / num_heads)`, as returned by
            `empty_cache`. The keys and values of `tokens` are written at
            `index`. `None` disables caching.
        index: Integer scalar. Position of the first token; required with
            `cache`.
        matmul: Function of an input `(B, 1, inputs)` and an entry of
            `kernels` that replaces the linear layers. `None` calls the
            layers.
        kernels: Dictionary of layer names to kernels for `matmul`, as
            returned by `map_kernels`.
        training: Boolean. Whether dropout is active.

    Returns:
        Float tensor `(B, n, hidden_dim)`. With `cache`, a tuple of this tensor
        and the updated cache.

    Raises:
        ValueError: If `num_heads` does not divide `hidden_dim`, or
            `num_kv_heads` does not divide `num_heads`.

    Example:

    ```python
    block = keras_larp.layers.CausalTransformerBlock(64, num_heads=4)
    tokens = block(keras.random.normal((2, 10, 64)))  # (2, 10, 64)
    ```

    Reference:
        - [LARP](https://arxiv.org/abs/2410.21264), section 3.4
        - [LLaMA](https://arxiv.org/abs/2302.13971)
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
        check_arguments(
            hidden_dim=hidden_dim,
            num_heads=num_heads,
            num_kv_heads=num_kv_heads,
            mlp_dim=mlp_dim,
            dropout=dropout,
            attention_dropout=attention_dropout,
            drop_path=drop_path,
            epsilon=epsilon,
        )
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
        # Gate and value of the SwiGLU, concatenated.
        self.mlp_in = dense(2 * self.mlp_dim, "mlp_in")
        self.mlp_out = dense(hidden_dim, "mlp_out")

        def make_dropout(rate):
            return layers.Dropout(rate, dtype=self.dtype_policy)

        self.weights_dropout = make_dropout(attention_dropout)
        self.residual_dropout = make_dropout(dropout)
        self.path_dropout = make_dropout(drop_path)

    def build(self, input_shape):
        shape = (None, None, self.hidden_dim)
        self.attention_norm.build(shape)
        self.qkv.build(shape)
        self.projection.build(shape)
        self.mlp_norm.build(shape)
        self.mlp_in.build(shape)
        self.mlp_out.build((None, None, self.mlp_dim))

    def empty_cache(self, batch_size, length):
        """Returns zero keys and values for `length` positions."""
        shape = (batch_size * self.num_kv_heads, length, self.head_dim)
        # Two tensors, since PyTorch updates each in place.
        return tuple(
            ops.zeros(shape, dtype=self.compute_dtype) for _ in ("key", "value")
        )

    def map_kernels(self, function):
        """Applies `function` to the kernels of the linear layers.

        Returns:
            Dictionary of layer names to results. Quantized layers are left
            out.
        """
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
        matmul=None,
        kernels=None,
        training=False,
    ):
        def dense(name, x):
            if kernels and name in kernels:
                return matmul(x, kernels[name])
            return getattr(self, name)(x)

        check_tensor("tokens", tokens, (None, None, self.hidden_dim))
        length = tokens.shape[1]
        heads = dense("qkv", self.attention_norm(tokens))
        # `qkv` may have its own dtype policy; the cache has the block's.
        query, key, value = split_heads(
            ops.cast(heads, self.compute_dtype),
            self.num_heads,
            self.num_kv_heads,
        )  # (B, num_heads, n, d), (B, num_kv_heads, n, d)
        mask = None
        if cache is not None:
            cache, (key, value) = write_cache(cache, key, value, index)
            positions = index + ops.arange(length)
            mask = positions[:, None] >= ops.arange(key.shape[2])[None, :]
        causal, dropout = cache is None, self.weights_dropout
        x = attend(query, key, value, mask, causal, dropout, training)
        tokens = tokens + self._drop(dense("projection", x), training)

        x = dense("mlp_in", self.mlp_norm(tokens))
        gate, x = ops.split(x, 2, axis=-1)
        x = dense("mlp_out", ops.silu(gate) * x)
        tokens = tokens + self._drop(x, training)
        return tokens if cache is None else (tokens, cache)

    def _drop(self, branch, training):
        """Applies dropout and stochastic depth to a residual branch."""
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

import keras
from keras import layers, ops

from keras_larp.backend.execution import apply_block
from keras_larp.layers.position_table import SequencePositions
from keras_larp.layers.transformer_block import TransformerBlock
from keras_larp.utils.arguments import check_arguments
from keras_larp.utils.input_checks import check_tensor


@keras.saving.register_keras_serializable(package="keras_larp")
class HolisticQueryEncoder(layers.Layer):
    """Encodes patch embeddings into any number of holistic tokens.

    Queries are appended to the patches, a transformer with full attention
    processes both, and the outputs at the query positions are the tokens.

    Args:
        num_tokens: Integer. Number of queries, that is tokens per clip.
        hidden_dim: Integer. Width of the transformer.
        num_layers: Integer. Number of transformer blocks.
        num_heads: Integer. Number of attention heads; must divide
            `hidden_dim`.
        learned_queries: Boolean. `True` for learned queries, `False` for
            fixed sine-cosine queries. Defaults to `True`.
        query_initializer: String. Initial value of learned queries:
            `"normal"` (standard deviation `query_init_std`) or `"sincos"`.
            Defaults to `"normal"`.
        query_init_std: Float. Standard deviation of
            `query_initializer="normal"`. Defaults to 0.02.
        query_max_wavelength: Float. Maximum wavelength of fixed queries; see
            `sincos_1d`. Defaults to 10000.
        use_type_embedding: Boolean. Whether to add one learned vector to all
            queries. Defaults to `False`.
        gradient_checkpointing: Boolean. Whether to rematerialize the
            activations of each block in the backward pass. Defaults to
            `False`.

    Call arguments:
        patches: Float tensor `(B, P, hidden_dim)`.
        training: Boolean. Whether gradient checkpointing is active.

    Returns:
        Float tensor `(B, num_tokens, hidden_dim)`.

    Example:

    ```python
    encoder = keras_larp.layers.HolisticQueryEncoder(
        num_tokens=24, hidden_dim=64, num_layers=2, num_heads=4
    )
    tokens = encoder(keras.random.normal((2, 32, 64)))  # (2, 24, 64)
    ```

    Reference:
        - [LARP](https://arxiv.org/abs/2410.21264), section 3.1
    """

    def __init__(
        self,
        num_tokens,
        hidden_dim,
        num_layers,
        num_heads,
        learned_queries=True,
        query_initializer="normal",
        query_init_std=0.02,
        query_max_wavelength=10000.0,
        use_type_embedding=False,
        gradient_checkpointing=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_arguments(
            num_tokens=num_tokens,
            hidden_dim=hidden_dim,
            num_layers=num_layers,
            num_heads=num_heads,
            learned_queries=learned_queries,
            query_initializer=query_initializer,
            query_init_std=query_init_std,
            query_max_wavelength=query_max_wavelength,
            use_type_embedding=use_type_embedding,
            gradient_checkpointing=gradient_checkpointing,
        )
        self.num_tokens = num_tokens
        self.hidden_dim = hidden_dim
        self.num_layers = num_layers
        self.num_heads = num_heads
        self.learned_queries = learned_queries
        self.query_initializer = query_initializer
        self.query_init_std = query_init_std
        self.query_max_wavelength = query_max_wavelength
        self.use_type_embedding = use_type_embedding
        self.gradient_checkpointing = gradient_checkpointing
        self.queries = SequencePositions(
            num_tokens,
            hidden_dim,
            learned=learned_queries,
            use_type_embedding=use_type_embedding,
            max_wavelength=query_max_wavelength,
            initializer=query_initializer,
            init_std=query_init_std,
            dtype=self.dtype_policy,
            name="queries",
        )
        self.blocks = [
            TransformerBlock(
                hidden_dim,
                num_heads,
                dtype=self.dtype_policy,
                name=f"block_{i}",
            )
            for i in range(num_layers)
        ]

    def build(self, input_shape):
        for block in self.blocks:
            block.build((None, None, self.hidden_dim))

    def call(self, patches, training=False):
        check_tensor("patches", patches, (None, None, self.hidden_dim))
        checkpoint = training and self.gradient_checkpointing
        shape = (ops.shape(patches)[0], self.num_tokens, self.hidden_dim)
        queries = ops.broadcast_to(self.queries.values(), shape)
        x = ops.concatenate([patches, queries], axis=1)  # (B, P + N, D)
        for block in self.blocks[:-1]:
            x = apply_block(block, x, checkpoint)
        # The last block computes the outputs of the queries only.
        return apply_block(
            self.blocks[-1], x, checkpoint, num_outputs=self.num_tokens
        )  # (B, N, D)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.num_tokens, self.hidden_dim)

    def get_config(self):
        return {
            **super().get_config(),
            "num_tokens": self.num_tokens,
            "hidden_dim": self.hidden_dim,
            "num_layers": self.num_layers,
            "num_heads": self.num_heads,
            "learned_queries": self.learned_queries,
            "query_initializer": self.query_initializer,
            "query_init_std": self.query_init_std,
            "query_max_wavelength": self.query_max_wavelength,
            "use_type_embedding": self.use_type_embedding,
            "gradient_checkpointing": self.gradient_checkpointing,
        }

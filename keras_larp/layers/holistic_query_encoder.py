import keras
from keras import layers, ops

from keras_larp.backend.execution import apply_block
from keras_larp.layers.position_table import SequencePositions
from keras_larp.layers.transformer_block import TransformerBlock


@keras.saving.register_keras_serializable(package="keras_larp")
class HolisticQueryEncoder(layers.Layer):
    """Gathers a whole clip into any number of holistic tokens.

    Queries are put behind the patches, both go through a transformer with
    full attention, and what the queries became is the output.

    Args:
        num_tokens: Integer, number of queries, the clip's tokens.
        hidden_dim: Integer, width.
        num_layers: Integer, transformer blocks.
        num_heads: Integer, attention heads; divides `hidden_dim`.
        learned_queries: Boolean, learned instead of sine-cosine queries.
        query_initializer: What learned queries start as: `"normal"` (standard
            deviation `query_init_std`) or `"sincos"`.
        query_init_std: Float, see `query_initializer`.
        query_max_wavelength: Float, base of the frequencies of sine-cosine queries.
        use_type_embedding: Boolean, whether a learned vector marks all queries.
        gradient_checkpointing: Boolean, whether training computes the inside
            of each block a second time in place of keeping it.

    Call arguments:
        patches: float `(B, P, hidden_dim)`.
        training: Boolean, whether checkpointing is of use.

    Returns:
        float `(B, num_tokens, hidden_dim)`.

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
            base=query_max_wavelength,
            initial=query_initializer,
            stddev=query_init_std,
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
        checkpoint = training and self.gradient_checkpointing
        shape = (ops.shape(patches)[0], self.num_tokens, self.hidden_dim)
        queries = ops.broadcast_to(self.queries.values(), shape)
        x = ops.concatenate([patches, queries], axis=1)  # (B, P + N, D)
        for block in self.blocks[:-1]:
            x = apply_block(block, x, checkpoint)
        # Of the last block only the queries' outputs are needed.
        last = self.blocks[-1]
        return apply_block(last, x, checkpoint, num_outputs=self.num_tokens)

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

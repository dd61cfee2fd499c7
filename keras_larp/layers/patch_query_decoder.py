import keras
from keras import layers, ops

from keras_larp.backend.execution import apply_block
from keras_larp.layers.patches import patch_grid, three_sizes, unpatchify
from keras_larp.layers.position_table import GridPositions, SequencePositions
from keras_larp.layers.transformer_block import TransformerBlock


@keras.saving.register_keras_serializable(package="keras_larp")
class PatchQueryDecoder(layers.Layer):
    """Turns holistic latents into a clip by way of one query a patch.

    Patch queries (positions and a learned type vector) are put behind the
    latents, both go through a transformer with full attention, and what a
    query became is mapped to the pixels of its patch.

    Args:
        num_tokens: Integer, number of latents.
        video_size: `(frames, height, width)` of the clips.
        patch_size: `(frames, height, width)` of a patch; divides them.
        num_channels: Integer, channels of the clips.
        hidden_dim: Integer, width, divisible by 4.
        num_layers: Integer, transformer blocks.
        num_heads: Integer, attention heads; divides `hidden_dim`.
        learned_latent_positions: Boolean, learned instead of sine-cosine.
        latent_max_wavelength: Float, base of the sine-cosine latent positions.
        use_latent_type_embedding: Boolean, whether a learned vector marks all latents.
        learned_patch_queries: Boolean, learned instead of sine-cosine.
        use_patch_type_embedding: Boolean, whether a learned vector marks all queries.
        gradient_checkpointing: Boolean, whether training computes the inside
            of each block a second time in place of keeping it.

    Call arguments:
        latents: float `(B, num_tokens, hidden_dim)`.
        training: Boolean, whether checkpointing is of use.

    Returns:
        float `(B, T, H, W, C)`, not clipped.

    Example:

    ```python
    decoder = keras_larp.layers.PatchQueryDecoder(
        num_tokens=24, video_size=(8, 32, 32), patch_size=(4, 8, 8),
        hidden_dim=64, num_layers=2, num_heads=4,
    )
    video = decoder(keras.random.normal((2, 24, 64)))  # (2, 8, 32, 32, 3)
    ```

    Reference:
        - [LARP](https://arxiv.org/abs/2410.21264), section 3.1
    """

    def __init__(
        self,
        num_tokens,
        video_size,
        patch_size,
        hidden_dim,
        num_layers,
        num_heads,
        num_channels=3,
        learned_latent_positions=False,
        latent_max_wavelength=10000.0,
        use_latent_type_embedding=False,
        learned_patch_queries=False,
        use_patch_type_embedding=True,
        gradient_checkpointing=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_tokens = num_tokens
        self.video_size = tuple(video_size)
        self.patch_size = three_sizes(patch_size)
        self.hidden_dim = hidden_dim
        self.num_layers = num_layers
        self.num_heads = num_heads
        self.num_channels = num_channels
        self.learned_latent_positions = learned_latent_positions
        self.latent_max_wavelength = latent_max_wavelength
        self.use_latent_type_embedding = use_latent_type_embedding
        self.learned_patch_queries = learned_patch_queries
        self.use_patch_type_embedding = use_patch_type_embedding
        self.gradient_checkpointing = gradient_checkpointing

        self.grid = patch_grid(self.video_size, self.patch_size)
        t, h, w = self.grid
        pt, ph, pw = self.patch_size
        self.num_patches = t * h * w
        self.latent_positions = SequencePositions(
            num_tokens,
            hidden_dim,
            learned=learned_latent_positions,
            use_type_embedding=use_latent_type_embedding,
            base=latent_max_wavelength,
            dtype=self.dtype_policy,
            name="latent_positions",
        )
        self.patch_queries = GridPositions(
            self.grid,
            hidden_dim,
            learned_patch_queries,
            use_patch_type_embedding,
            dtype=self.dtype_policy,
            name="patch_queries",
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
        self.norm = layers.LayerNormalization(
            epsilon=1e-6, dtype=self.dtype_policy, name="norm"
        )
        # Zero: training starts from a black, not a noisy, clip.
        self.pixels = layers.Dense(
            pt * ph * pw * num_channels,
            kernel_initializer="zeros",
            dtype=self.dtype_policy,
            name="pixels",
        )

    def build(self, input_shape):
        shape = (None, None, self.hidden_dim)
        for block in self.blocks:
            block.build(shape)
        self.norm.build(shape)
        self.pixels.build(shape)

    def call(self, latents, training=False):
        checkpoint = training and self.gradient_checkpointing
        shape = (ops.shape(latents)[0], self.num_patches, self.hidden_dim)
        queries = ops.broadcast_to(self.patch_queries.values(), shape)
        x = ops.concatenate(
            [latents + self.latent_positions.values(), queries], 1
        )
        for block in self.blocks[:-1]:  # (B, N + P, D)
            x = apply_block(block, x, checkpoint)
        # Of the last block only the patch queries' outputs are needed.
        last = self.blocks[-1]
        x = apply_block(last, x, checkpoint, num_outputs=self.num_patches)
        return unpatchify(self.pixels(self.norm(x)), self.grid, self.patch_size)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], *self.video_size, self.num_channels)

    def get_config(self):
        return {
            **super().get_config(),
            "num_tokens": self.num_tokens,
            "video_size": self.video_size,
            "patch_size": self.patch_size,
            "hidden_dim": self.hidden_dim,
            "num_layers": self.num_layers,
            "num_heads": self.num_heads,
            "num_channels": self.num_channels,
            "learned_latent_positions": self.learned_latent_positions,
            "latent_max_wavelength": self.latent_max_wavelength,
            "use_latent_type_embedding": self.use_latent_type_embedding,
            "learned_patch_queries": self.learned_patch_queries,
            "use_patch_type_embedding": self.use_patch_type_embedding,
            "gradient_checkpointing": self.gradient_checkpointing,
        }

import math

import keras
from keras import layers, ops

from keras_larp.backend.execution import apply_block
from keras_larp.layers.patches import patch_grid, unpatchify
from keras_larp.layers.position_table import GridPositions, SequencePositions
from keras_larp.layers.transformer_block import TransformerBlock
from keras_larp.utils.arguments import check_arguments
from keras_larp.utils.input_checks import check_tensor


@keras.saving.register_keras_serializable(package="keras_larp")
class PatchQueryDecoder(layers.Layer):
    """Decodes holistic latents into video with one query per patch.

    Patch queries (position plus type embeddings) are appended to the latents,
    a transformer with full attention processes both, and a linear layer maps
    the output of each query to the pixels of its patch.

    Args:
        num_tokens: Integer. Number of latents per clip.
        video_size: `(frames, height, width)` of the clips that the layer is
            trained with, which defines the positions of the patch queries.
        patch_size: `(frames, height, width)` of a patch; must divide
            `video_size`.
        hidden_dim: Integer. Width of the transformer, divisible by 4.
        num_layers: Integer. Number of transformer blocks.
        num_heads: Integer. Number of attention heads; must divide
            `hidden_dim`.
        num_channels: Integer. Number of channels of the clips. Defaults to 3.
        learned_latent_positions: Boolean. `True` for learned latent
            positions, `False` for fixed sine-cosine positions. Defaults to
            `False`.
        latent_max_wavelength: Float. Maximum wavelength of fixed latent
            positions; see `sincos_1d`. Defaults to 10000.
        use_latent_type_embedding: Boolean. Whether to add one learned vector
            to all latents. Defaults to `False`.
        learned_patch_queries: Boolean. `True` for learned patch queries,
            `False` for fixed sine-cosine queries. Defaults to `False`.
        use_patch_type_embedding: Boolean. Whether to add one learned vector
            to all patch queries. Defaults to `True`.
        gradient_checkpointing: Boolean. Whether to rematerialize the
            activations of each block in the backward pass. Defaults to
            `False`.

    Call arguments:
        latents: Float tensor `(B, num_tokens, hidden_dim)`.
        training: Boolean. Whether gradient checkpointing is active.
        video_size: `(frames, height, width)` of the clips to decode, each a
            multiple of the patch size. Positions of other sizes are
            interpolated as in `VideoPatchEmbedding`. Defaults to the layer's
            `video_size`.

    Returns:
        Float tensor `(B, T, H, W, C)`, not clipped to [0, 1].

    Raises:
        ValueError: If `patch_size` does not divide a `video_size`.

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
        check_arguments(
            video_size=video_size,
            patch_size=patch_size,
            num_tokens=num_tokens,
            hidden_dim=hidden_dim,
            num_layers=num_layers,
            num_heads=num_heads,
            num_channels=num_channels,
            learned_latent_positions=learned_latent_positions,
            latent_max_wavelength=latent_max_wavelength,
            use_latent_type_embedding=use_latent_type_embedding,
            learned_patch_queries=learned_patch_queries,
            use_patch_type_embedding=use_patch_type_embedding,
            gradient_checkpointing=gradient_checkpointing,
        )
        self.num_tokens = num_tokens
        self.video_size = tuple(video_size)
        self.patch_size = tuple(patch_size)
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
        pt, ph, pw = self.patch_size
        self.num_patches = math.prod(self.grid)
        self.latent_positions = SequencePositions(
            num_tokens,
            hidden_dim,
            learned=learned_latent_positions,
            use_type_embedding=use_latent_type_embedding,
            max_wavelength=latent_max_wavelength,
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
        # Zero-initialized, so that the initial reconstruction is black.
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

    def call(self, latents, training=False, video_size=None):
        check_tensor(
            "latents", latents, (None, self.num_tokens, self.hidden_dim)
        )
        checkpoint = training and self.gradient_checkpointing
        grid = self.grid
        if video_size is not None:
            grid = patch_grid(video_size, self.patch_size)
        num_patches = math.prod(grid)
        shape = (ops.shape(latents)[0], num_patches, self.hidden_dim)
        queries = ops.broadcast_to(self.patch_queries.values(grid), shape)
        latents = latents + self.latent_positions.values()
        x = ops.concatenate([latents, queries], axis=1)  # (B, N + P, D)
        for block in self.blocks[:-1]:
            x = apply_block(block, x, checkpoint)
        # The last block computes the outputs of the patch queries only.
        x = apply_block(
            self.blocks[-1], x, checkpoint, num_outputs=num_patches
        )  # (B, P, D)
        x = self.pixels(self.norm(x))  # (B, P, pt * ph * pw * C)
        return unpatchify(x, grid, self.patch_size)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], *self.video_size, self.num_channels)

    def compute_output_spec(self, latents, training=False, video_size=None):
        size = self.video_size if video_size is None else video_size
        shape = (latents.shape[0], *size, self.num_channels)
        return keras.KerasTensor(shape, dtype=self.compute_dtype)

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

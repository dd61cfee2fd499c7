import keras
from keras import layers

from keras_larp.layers.patches import patch_grid, patchify
from keras_larp.layers.position_table import GridPositions
from keras_larp.utils.arguments import check_arguments
from keras_larp.utils.input_checks import check_tensor


@keras.saving.register_keras_serializable(package="keras_larp")
class VideoPatchEmbedding(layers.Layer):
    """Embeds video patches linearly and adds position embeddings.

    Equivalent to the convolution of the paper whose kernel size and stride
    are the patch size, computed as a matrix product.

    Clips of other sizes than `video_size` have interpolated row and column
    positions. Their time positions are those of the first frames, continued
    if there are more frames.

    Args:
        video_size: `(frames, height, width)` of the clips that the layer is
            trained with, which defines the positions.
        patch_size: `(frames, height, width)` of a patch; must divide
            `video_size`.
        hidden_dim: Integer. Embedding dimension, divisible by 4.
        learned_positions: Boolean. `True` for learned positions, `False` for
            fixed sine-cosine positions. Defaults to `False`.
        use_type_embedding: Boolean. Whether to add one learned vector to all
            patches. Defaults to `False`.

    Call arguments:
        video: Float tensor `(B, T, H, W, C)`, each of `T`, `H` and `W` a
            multiple of the patch size.

    Returns:
        Float tensor `(B, P, hidden_dim)`, patches ordered by time, row,
        column.

    Raises:
        ValueError: If `patch_size` does not divide `video_size` or the size of
            a clip.

    Example:

    ```python
    embedding = keras_larp.layers.VideoPatchEmbedding(
        video_size=(8, 32, 32), patch_size=(4, 8, 8), hidden_dim=64
    )
    patches = embedding(keras.random.uniform((2, 8, 32, 32, 3)))  # (2, 32, 64)
    ```

    Reference:
        - [LARP](https://arxiv.org/abs/2410.21264), section 3.1
    """

    def __init__(
        self,
        video_size,
        patch_size,
        hidden_dim,
        learned_positions=False,
        use_type_embedding=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_arguments(
            video_size=video_size,
            patch_size=patch_size,
            hidden_dim=hidden_dim,
            learned_positions=learned_positions,
            use_type_embedding=use_type_embedding,
        )
        self.video_size = tuple(video_size)
        self.patch_size = tuple(patch_size)
        self.hidden_dim = hidden_dim
        self.learned_positions = learned_positions
        self.use_type_embedding = use_type_embedding
        self.grid = patch_grid(self.video_size, self.patch_size)
        self.projection = layers.Dense(
            hidden_dim, dtype=self.dtype_policy, name="projection"
        )
        self.positions = GridPositions(
            self.grid,
            hidden_dim,
            learned_positions,
            use_type_embedding,
            dtype=self.dtype_policy,
            name="positions",
        )

    def build(self, input_shape):
        pt, ph, pw = self.patch_size
        self.projection.build((None, None, pt * ph * pw * input_shape[-1]))

    def call(self, video):
        check_tensor("video", video, (None, None, None, None, None))
        grid = patch_grid(video.shape[1:4], self.patch_size)
        x = self.projection(patchify(video, self.patch_size))
        return x + self.positions.values(grid)

    def compute_output_shape(self, input_shape):
        t, h, w = patch_grid(input_shape[1:4], self.patch_size)
        return (input_shape[0], t * h * w, self.hidden_dim)

    def get_config(self):
        return {
            **super().get_config(),
            "video_size": self.video_size,
            "patch_size": self.patch_size,
            "hidden_dim": self.hidden_dim,
            "learned_positions": self.learned_positions,
            "use_type_embedding": self.use_type_embedding,
        }

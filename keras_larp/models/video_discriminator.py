import keras
from keras import layers, ops

from keras_larp.backend.execution import apply_block
from keras_larp.layers.spectral_normalization import SpectralNormalization
from keras_larp.layers.transformer_block import TransformerBlock
from keras_larp.layers.video_patch_embedding import VideoPatchEmbedding
from keras_larp.utils.arguments import check_arguments
from keras_larp.utils.input_checks import check_video


@keras.saving.register_keras_serializable(package="keras_larp")
class VideoDiscriminator(keras.Model):
    """Vision transformer that discriminates real from reconstructed clips.

    Args:
        num_frames: Integer. Number of frames per clip. Defaults to 16.
        image_size: Integer. Height and width of a clip. Defaults to 128.
        patch_size: `(frames, height, width)` of a patch; must divide the
            clip. Defaults to `(4, 8, 8)`.
        hidden_dim: Integer. Width of the transformer, divisible by 4.
            Defaults to 512.
        num_layers: Integer. Number of transformer blocks. Defaults to 12.
        num_heads: Integer. Number of attention heads; must divide
            `hidden_dim`. Defaults to 8.
        num_channels: Integer. Number of channels of a clip. Defaults to 3.
        spectral_normalization: Boolean. Whether to normalize the kernels of
            all linear layers to a spectral norm of 1. Defaults to `False`.
        gradient_checkpointing: Boolean. Whether to rematerialize the
            activations of each block in the backward pass. Incompatible with
            spectral normalization, which updates kernels in the forward pass.
            Defaults to `False`.

    Call arguments:
        video: Float tensor `(B, T, H, W, C)`.
        training: Boolean. Whether to update the spectral norms.

    Returns:
        float32 tensor `(B, 1)`. Logits; positive for real clips.

    Raises:
        ValueError: If arguments are invalid, or a clip has another shape or
            is not floating-point.

    Example:

    ```python
    discriminator = keras_larp.models.VideoDiscriminator(
        num_frames=8, image_size=32, hidden_dim=64, num_layers=2, num_heads=4
    )
    logits = discriminator(keras.random.uniform((2, 8, 32, 32, 3)))  # (2, 1)
    ```

    Reference:
        - [LARP](https://arxiv.org/abs/2410.21264), section 3.1
    """

    def __init__(
        self,
        num_frames=16,
        image_size=128,
        patch_size=(4, 8, 8),
        hidden_dim=512,
        num_layers=12,
        num_heads=8,
        num_channels=3,
        spectral_normalization=False,
        gradient_checkpointing=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_arguments(
            num_frames=num_frames,
            image_size=image_size,
            hidden_dim=hidden_dim,
            num_layers=num_layers,
            num_heads=num_heads,
            num_channels=num_channels,
            spectral_normalization=spectral_normalization,
            gradient_checkpointing=gradient_checkpointing,
        )
        if spectral_normalization and gradient_checkpointing:
            raise ValueError(
                "Spectral normalization updates kernels in the forward pass, "
                "so that blocks cannot be rematerialized. Received: "
                "spectral_normalization=True, gradient_checkpointing=True. "
                "Disable one of them."
            )
        self.num_frames = num_frames
        self.image_size = image_size
        self.hidden_dim = hidden_dim
        self.num_layers = num_layers
        self.num_heads = num_heads
        self.num_channels = num_channels
        self.spectral_normalization = spectral_normalization
        self.gradient_checkpointing = gradient_checkpointing
        self.video_shape = (num_frames, image_size, image_size, num_channels)

        policy = self.dtype_policy
        self.patch_embedding = VideoPatchEmbedding(
            self.video_shape[:3],
            patch_size,
            hidden_dim,
            dtype=policy,
            name="patch_embedding",
        )
        self.patch_size = self.patch_embedding.patch_size
        self.blocks = [
            TransformerBlock(
                hidden_dim, num_heads, dtype=policy, name=f"block_{i}"
            )
            for i in range(num_layers)
        ]
        self.norm = layers.LayerNormalization(
            epsilon=1e-6, dtype=policy, name="norm"
        )
        self.head = layers.Dense(1, dtype=policy, name="head")
        if spectral_normalization:
            self._normalize_linear_layers()
        self.build((None, *self.video_shape))

    def _normalize_linear_layers(self):
        embedding = self.patch_embedding
        embedding.projection = SpectralNormalization(embedding.projection)
        for block in self.blocks:
            for name in ("qkv", "projection", "mlp_in", "mlp_out"):
                layer = getattr(block, name)
                setattr(block, name, SpectralNormalization(layer))
        self.head = SpectralNormalization(self.head)

    def build(self, input_shape):
        if self.built:
            return
        self.class_token = self.add_weight(
            shape=(1, 1, self.hidden_dim),
            initializer="glorot_uniform",
            name="class_token",
        )
        shape = (None, None, self.hidden_dim)
        self.patch_embedding.build((None, *self.video_shape))
        for block in self.blocks:
            block.build(shape)
        self.norm.build(shape)
        self.head.build((None, self.hidden_dim))
        self.built = True

    def call(self, video, training=False):
        check_video(video, self.video_shape)
        x = self.patch_embedding(video, training=training)  # (B, P, D)
        shape = (ops.shape(x)[0], 1, self.hidden_dim)
        class_token = ops.cast(self.class_token, x.dtype)
        class_token = ops.broadcast_to(class_token, shape)
        x = ops.concatenate([x, class_token], axis=1)  # (B, P + 1, D)
        options = {
            # Independent of `training`: the gradient of the tokenizer's
            # adversarial loss flows through here with `training=False`.
            "checkpoint": self.gradient_checkpointing,
            # Keras' spectral normalization branches on whether kernels are
            # zero, which a compiler cannot trace.
            "compilable": not self.spectral_normalization,
            "training": training,
        }
        for block in self.blocks[:-1]:
            x = apply_block(block, x, **options)
        # The class token is last, so that the last block can skip all other
        # outputs. Attention is independent of the order.
        x = apply_block(self.blocks[-1], x, num_outputs=1, **options)
        logits = self.head(self.norm(x[:, 0]))  # (B, 1)
        return ops.cast(logits, "float32")

    def compute_output_shape(self, input_shape):
        return (input_shape[0], 1)

    def get_config(self):
        return {
            "name": self.name,
            "dtype": keras.saving.serialize_keras_object(self.dtype_policy),
            "num_frames": self.num_frames,
            "image_size": self.image_size,
            "patch_size": self.patch_size,
            "hidden_dim": self.hidden_dim,
            "num_layers": self.num_layers,
            "num_heads": self.num_heads,
            "num_channels": self.num_channels,
            "spectral_normalization": self.spectral_normalization,
            "gradient_checkpointing": self.gradient_checkpointing,
        }

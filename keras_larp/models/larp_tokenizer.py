import keras
from keras import layers, ops

from keras_larp.backend import compile_function
from keras_larp.backend.seed_generator import SeedGenerator
from keras_larp.layers.holistic_query_encoder import HolisticQueryEncoder
from keras_larp.layers.patch_query_decoder import PatchQueryDecoder
from keras_larp.layers.vector_quantizer import VectorQuantizer
from keras_larp.layers.video_patch_embedding import VideoPatchEmbedding
from keras_larp.models.ar_prior import SIZES, ARPrior
from keras_larp.models.preset_mixin import PresetMixin
from keras_larp.training.tokenizer_training import TokenizerTraining
from keras_larp.utils.input_checks import check_ids, check_video

LATENT_NORMS = ("none", "layer", "layer_joint", "batch", "batch_joint")


@keras.saving.register_keras_serializable(package="keras_larp")
class LARPTokenizer(PresetMixin, TokenizerTraining):
    """A video tokenizer with holistic tokens and a learned prior.

    Learned queries gather a clip into `num_tokens` latents, which are
    quantized; a decoder makes the clip from them. A light autoregressive
    prior is trained along, so that the tokens become easy to generate.

    Args:
        num_frames: Integer, frames of a clip.
        image_size: Integer, height and width of a clip.
        patch_size: `(frames, height, width)` of the encoder's patches.
        num_tokens: Integer, tokens a clip; any number.
        codebook_size: Integer, number of codes.
        code_dim: Integer, width of a code.
        hidden_dim: Integer, width of encoder and decoder.
        num_heads: Integer, attention heads of encoder and decoder.
        encoder_num_layers: Integer.
        decoder_num_layers: Integer.
        decoder_hidden_dim: Integer; defaults to `hidden_dim`.
        decoder_num_heads: Integer; defaults to `num_heads`.
        decoder_patch_size: Like `patch_size`, which it defaults to.
        num_channels: Integer, channels of a clip.
        latent_norm: Norm before the quantizer: `"none"`, `"layer"` (over a
            latent), `"layer_joint"` (over all latents of a clip), `"batch"`
            (a channel's statistics over clips and tokens) or
            `"batch_joint"` (over clips, for each channel of each token).
        quantizer: Optional dictionary of further `VectorQuantizer` arguments.
        prior: Size of the prior by name (see `ARPrior.from_size`), a
            dictionary of `ARPrior` arguments, or `None` for none.
        prior_num_rounds: Integer, rounds of scheduled sampling.
        prior_max_sampling_ratio: Float, share of replaced inputs, at its
            peak.
        prior_sampling_peak_fraction: Float, part of a run after which it is reached.
        prior_scheduled_sampling: Boolean; `False` replaces all inputs in
            the rounds after the first.
        prior_average_rounds: Boolean, mean loss over rounds, or the last's.
        prior_gradient_all_rounds: Boolean, whether rounds before the last
            count.
        prior_temperature: Float, of the prior's logits.
        learned_patch_positions: Boolean.
        learned_queries: Boolean.
        query_initializer: `"normal"` or `"sincos"`.
        query_init_std: Float.
        learned_latent_positions: Boolean.
        learned_patch_queries: Boolean.
        latent_max_wavelength: Float, base of sine-cosine latent positions and queries.
        use_patch_type_embedding: Boolean, a learned vector on all encoder patches.
        use_query_type_embedding: Boolean, on all queries.
        use_latent_type_embedding: Boolean, on all latents in the decoder.
        use_patch_query_type_embedding: Boolean, on all patch queries.
        gradient_checkpointing: Boolean, whether training computes the inside
            of each block of encoder, decoder and prior a second time in place
            of keeping it, which saves memory for a third more time.
        seed: Integer or `None`, seed of scheduled sampling and quantizer.

    Call arguments:
        video: float `(B, T, H, W, C)` in [0, 1].
        training: Boolean, whether codes are sampled.

    Returns:
        float `(B, T, H, W, C)`, the reconstruction, not clipped.

    Example:

    ```python
    tokenizer = keras_larp.models.LARPTokenizer(
        num_frames=8, image_size=32, num_tokens=24, codebook_size=128,
        hidden_dim=64, num_heads=4, encoder_num_layers=2, decoder_num_layers=2,
        prior="gptc-XXS",
    )
    video = keras.random.uniform((2, 8, 32, 32, 3))
    token_ids = tokenizer.encode(video)  # int32 (2, 24)
    video = tokenizer.decode(token_ids)  # float32 (2, 8, 32, 32, 3)
    ```

    Reference:
        - [LARP](https://arxiv.org/abs/2410.21264), section 3
    """

    def __init__(
        self,
        num_frames=16,
        image_size=128,
        patch_size=(4, 8, 8),
        num_tokens=1024,
        codebook_size=8192,
        code_dim=16,
        hidden_dim=768,
        num_heads=12,
        encoder_num_layers=12,
        decoder_num_layers=12,
        decoder_hidden_dim=None,
        decoder_num_heads=None,
        decoder_patch_size=None,
        num_channels=3,
        latent_norm="none",
        quantizer=None,
        prior="gptc-S",
        prior_num_rounds=2,
        prior_max_sampling_ratio=0.5,
        prior_sampling_peak_fraction=0.3,
        prior_scheduled_sampling=True,
        prior_average_rounds=True,
        prior_gradient_all_rounds=True,
        prior_temperature=1.0,
        learned_patch_positions=False,
        learned_queries=True,
        query_initializer="normal",
        query_init_std=0.02,
        learned_latent_positions=False,
        learned_patch_queries=False,
        latent_max_wavelength=10000.0,
        use_patch_type_embedding=False,
        use_query_type_embedding=False,
        use_latent_type_embedding=False,
        use_patch_query_type_embedding=True,
        gradient_checkpointing=False,
        seed=None,
        **kwargs,
    ):
        self._options = {
            name: value
            for name, value in locals().items()
            if name not in ("self", "kwargs", "__class__")
        }
        super().__init__(**kwargs)
        if latent_norm not in LATENT_NORMS:
            raise ValueError(
                f"`latent_norm` must be one of {', '.join(LATENT_NORMS)}. "
                f"Received: latent_norm={latent_norm!r}"
            )
        decoder_hidden_dim = decoder_hidden_dim or hidden_dim
        self.num_frames = num_frames
        self.image_size = image_size
        self.num_tokens = num_tokens
        self.codebook_size = codebook_size
        self.code_dim = code_dim
        self.num_channels = num_channels
        self.latent_norm = latent_norm
        self.prior_num_rounds = prior_num_rounds
        self.prior_max_sampling_ratio = prior_max_sampling_ratio
        self.prior_sampling_peak_fraction = prior_sampling_peak_fraction
        self.prior_scheduled_sampling = prior_scheduled_sampling
        self.prior_average_rounds = prior_average_rounds
        self.prior_gradient_all_rounds = prior_gradient_all_rounds
        self.prior_temperature = prior_temperature
        self.video_shape = (num_frames, image_size, image_size, num_channels)

        policy = self.dtype_policy
        self.seed_generator = SeedGenerator(seed)
        self.patch_embedding = VideoPatchEmbedding(
            self.video_shape[:3],
            patch_size,
            hidden_dim,
            learned_positions=learned_patch_positions,
            use_type_embedding=use_patch_type_embedding,
            dtype=policy,
            name="patch_embedding",
        )
        self.patch_size = self.patch_embedding.patch_size
        self.encoder = HolisticQueryEncoder(
            num_tokens,
            hidden_dim,
            encoder_num_layers,
            num_heads,
            learned_queries=learned_queries,
            query_initializer=query_initializer,
            query_init_std=query_init_std,
            query_max_wavelength=latent_max_wavelength,
            use_type_embedding=use_query_type_embedding,
            gradient_checkpointing=gradient_checkpointing,
            dtype=policy,
            name="encoder",
        )
        self.to_code = layers.Dense(code_dim, dtype=policy, name="to_code")
        self.code_norm = _latent_norm(latent_norm)
        self.quantizer = VectorQuantizer(
            codebook_size,
            code_dim,
            **{"seed": seed, **(quantizer or {})},
            dtype=policy,
            name="quantizer",
        )
        self.from_code = layers.Dense(
            decoder_hidden_dim, dtype=policy, name="from_code"
        )
        self.decoder = PatchQueryDecoder(
            num_tokens,
            self.video_shape[:3],
            decoder_patch_size or patch_size,
            decoder_hidden_dim,
            decoder_num_layers,
            decoder_num_heads or num_heads,
            num_channels=num_channels,
            learned_latent_positions=learned_latent_positions,
            latent_max_wavelength=latent_max_wavelength,
            use_latent_type_embedding=use_latent_type_embedding,
            learned_patch_queries=learned_patch_queries,
            use_patch_type_embedding=use_patch_query_type_embedding,
            gradient_checkpointing=gradient_checkpointing,
            dtype=policy,
            name="decoder",
        )
        self.prior = _make_prior(
            prior,
            num_tokens,
            code_dim=code_dim,
            gradient_checkpointing=gradient_checkpointing,
            dtype=policy,
        )
        self.build((None, *self.video_shape))

    def build(self, input_shape):
        if self.built:
            return
        self.patch_embedding.build((None, *self.video_shape))
        self.encoder.build((None, None, self.encoder.hidden_dim))
        self.to_code.build((None, None, self.encoder.hidden_dim))
        codes = (None, self.num_tokens, self.code_dim)
        if self.code_norm is not None:
            joint = (None, self.num_tokens * self.code_dim)
            self.code_norm.build(
                joint if self.latent_norm == "batch_joint" else codes
            )
        self.quantizer.build(codes)
        self.from_code.build(codes)
        self.decoder.build((None, None, self.decoder.hidden_dim))
        self.built = True
        self._encode = compile_function(self, self._tokens)
        self._decode = compile_function(self, self._clips)

    # The passes, as functions of tensors.

    def compute_codes(self, video, training=False, temperature=None):
        """A clip's codes: the quantizer's outputs, and `projected`
        `(B, N, code_dim)`, the latents before it."""
        check_video(video, self.video_shape)
        x = self.patch_embedding(video)  # (B, P, D)
        x = self.encoder(x, training=training)  # (B, N, D)
        x = self.to_code(x)  # (B, N, d)
        if self.latent_norm == "batch_joint":
            shape = ops.shape(x)
            x = ops.reshape(x, (-1, self.num_tokens * self.code_dim))
            x = self.code_norm(x, training=training)
            x = ops.reshape(x, shape)
        elif self.code_norm is not None:
            x = self.code_norm(x, training=training)
        outputs = self.quantizer(x, training=training, temperature=temperature)
        return {**outputs, "projected": x}

    def reconstruct(self, quantized, training=False):
        """Codes `(B, N, code_dim)` to clips `(B, T, H, W, C)`, unclipped."""
        return self.decoder(self.from_code(quantized), training=training)

    def call(self, video, training=False):
        codes = self.compute_codes(video, training=training)
        return self.reconstruct(codes["quantized"], training=training)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], *self.video_shape)

    def _tokens(self, video):
        return self.compute_codes(video)["token_ids"]

    def _clips(self, token_ids):
        video = self.reconstruct(self.quantizer.lookup(token_ids))
        return ops.clip(ops.cast(video, "float32"), 0.0, 1.0)

    def encode(self, video):
        """Tokens of clips, the same at each call.

        Args:
            video: float `(B, T, H, W, C)` in [0, 1].

        Returns:
            int32 `(B, num_tokens)`, ids in [0, codebook_size).

        Raises:
            ValueError: for clips of another shape or dtype.
        """
        check_video(video, self.video_shape)
        return self._encode(ops.convert_to_tensor(video))

    def decode(self, token_ids):
        """Clips of tokens.

        Args:
            token_ids: int `(B, num_tokens)`, ids in [0, codebook_size).

        Returns:
            float32 `(B, T, H, W, C)` in [0, 1].

        Raises:
            ValueError: for ids out of range or of another shape.
        """
        ids = check_ids(
            token_ids,
            "token ids",
            self.codebook_size,
            (None, self.num_tokens),
        )
        return self._decode(ops.convert_to_tensor(ids))

    def get_config(self):
        return {
            "name": self.name,
            "dtype": keras.saving.serialize_keras_object(self.dtype_policy),
            **self._options,
        }


def _latent_norm(kind):
    options = {"epsilon": 1e-5, "dtype": "float32", "name": "code_norm"}
    if kind == "none":
        return None
    if kind == "layer":
        return layers.LayerNormalization(**options)
    if kind == "layer_joint":
        return layers.LayerNormalization(axis=[1, 2], **options)
    return layers.BatchNormalization(momentum=0.9, **options)


def _make_prior(prior, num_tokens, **options):
    if prior is None:
        return None
    options["name"] = "prior"
    if isinstance(prior, str):
        if prior not in SIZES:
            raise ValueError(
                f"Unknown size of a prior: {prior!r}. "
                f"Expected one of: {', '.join(SIZES)}, or None"
            )
        options["max_length"] = max(1024, num_tokens)
        return ARPrior.from_size(prior, **options)
    return ARPrior(**{**options, **prior})

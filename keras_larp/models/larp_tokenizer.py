import functools

import keras
from keras import layers, ops

from keras_larp.backend import CompiledFunctions, compat, compile_function
from keras_larp.backend.seed_generator import SeedGenerator
from keras_larp.layers.holistic_query_encoder import HolisticQueryEncoder
from keras_larp.layers.patch_query_decoder import PatchQueryDecoder
from keras_larp.layers.token_dropout import TokenDropout
from keras_larp.layers.vector_quantizer import VectorQuantizer
from keras_larp.layers.video_patch_embedding import VideoPatchEmbedding
from keras_larp.models import clip_sizes, elastic_tokens
from keras_larp.models.ar_prior import ARPrior
from keras_larp.models.export_mixin import ExportMixin
from keras_larp.models.layer_dtypes import LayerDtypesMixin
from keras_larp.models.preset_mixin import PresetMixin
from keras_larp.training.tokenizer_training import TokenizerTraining
from keras_larp.utils.arguments import check_tokenizer_arguments
from keras_larp.utils.arrays import to_numpy
from keras_larp.utils.checks import check_instance
from keras_larp.utils.input_checks import (
    check_ids,
    check_unit_range,
    check_video,
    check_video_size,
)


@keras.saving.register_keras_serializable(package="keras_larp")
class LARPTokenizer(
    PresetMixin, ExportMixin, LayerDtypesMixin, TokenizerTraining
):
    """LARP video tokenizer: holistic tokens and a learned autoregressive prior.

    The forward pass, with the `N = num_tokens` holistic tokens of a clip:

    1. `patch_embedding` embeds the clip as patches;
    2. `encoder` gathers the patches into `N` tokens with learned queries;
    3. `to_code` and an optional norm project the tokens to `N` latents of
       width `code_dim`;
    4. `quantizer` replaces each latent by a code of the codebook;
    5. `from_code` and `decoder` reconstruct the clip from the codes.

    `compile` selects and weights the terms of the training loss:

    - `pixel_loss`: L1 or L2 distance of reconstruction and clip;
    - `perceptual_loss`: LPIPS, with a `perceptual_model`;
    - `adversarial_loss`: non-saturating or hinge, with a `discriminator`;
    - `quantizer_loss`: commitment, codebook and entropy loss;
    - `prior_loss`: cross-entropy of the next-token predictions of `prior`, a
      light autoregressive model over the codes. It makes the tokens easier to
      predict for a generator. The prior is not used after training.

    Subclasses add further terms by overriding `loss_terms`.

    Args:
        num_frames: Integer. Number of frames per clip. Defaults to 16.
        image_size: Integer. Height and width of a clip. Defaults to 128.
        patch_size: `(frames, height, width)` of the encoder's patches; must
            divide the clip. Defaults to `(4, 8, 8)`.
        num_tokens: Integer. Number of tokens per clip. Defaults to 1024.
        codebook_size: Integer. Number of codes. Defaults to 8192.
        code_dim: Integer. Width of a code. Defaults to 16.
        hidden_dim: Integer. Width of encoder and decoder. Defaults to 768.
        num_heads: Integer. Number of attention heads of encoder and decoder.
            Defaults to 12.
        encoder_num_layers: Integer. Number of transformer blocks of the
            encoder. Defaults to 12.
        decoder_num_layers: Integer. Number of transformer blocks of the
            decoder. Defaults to 12.
        decoder_hidden_dim: Integer. Width of the decoder. Defaults to
            `hidden_dim`.
        decoder_num_heads: Integer. Number of attention heads of the decoder.
            Defaults to `num_heads`.
        decoder_patch_size: `(frames, height, width)` of the decoder's
            patches. Defaults to `patch_size`.
        num_channels: Integer. Number of channels of a clip. Defaults to 3.
        latent_norm: String. Normalization before the quantizer: `"none"`,
            `"layer"` (over the channels of a latent), `"layer_joint"` (over
            all latents of a clip), `"batch"` (per channel, over clips and
            tokens) or `"batch_joint"` (per token and channel, over clips).
            Defaults to `"none"`.
        quantizer: Dictionary of further `VectorQuantizer` arguments, or
            `None`. Defaults to `None`.
        prior: String, name of a size in `ARPrior.sizes`; dictionary of
            `ARPrior` arguments; or `None` to disable the prior. Unless a
            dictionary sets `max_length`, the prior has
            `max(1024, num_tokens)` positions. Defaults to `"gptc-S"`.
        prior_num_rounds: Integer. Number of rounds of scheduled sampling. The
            first round is teacher-forced. Defaults to 2.
        prior_max_sampling_ratio: Float. Maximum fraction of the prior's
            inputs that scheduled sampling replaces by its predictions.
            Defaults to 0.5.
        prior_sampling_peak_fraction: Float. Fraction of the training steps
            over which the sampling ratio rises from 0 to its maximum.
            Defaults to 0.3.
        prior_scheduled_sampling: Boolean. `False` replaces all inputs in all
            rounds after the first. Defaults to `True`.
        prior_average_rounds: Boolean. `True` for the mean loss of the rounds,
            `False` for the loss of the last round. Defaults to `True`.
        prior_gradient_all_rounds: Boolean. `False` computes the rounds before
            the last without gradient and excludes them from the loss.
            Defaults to `True`.
        prior_temperature: Float. Temperature of the prior's logits. Defaults
            to 1.
        learned_patch_positions: Boolean. Whether the positions of the
            encoder's patches are learned instead of sine-cosine. Defaults to
            `False`.
        learned_queries: Boolean. Whether the encoder's queries are learned
            instead of sine-cosine. Defaults to `True`.
        query_initializer: String. Initial value of learned queries:
            `"normal"` or `"sincos"`. Defaults to `"normal"`.
        query_init_std: Float. Standard deviation of
            `query_initializer="normal"`. Defaults to 0.02.
        learned_latent_positions: Boolean. Whether the positions of the
            decoder's latents are learned instead of sine-cosine. Defaults to
            `False`.
        learned_patch_queries: Boolean. Whether the decoder's patch queries
            are learned instead of sine-cosine. Defaults to `False`.
        latent_max_wavelength: Float. Maximum wavelength of sine-cosine latent
            positions and queries. Defaults to 10000.
        use_patch_type_embedding: Boolean. Whether to add one learned vector
            to all patches of the encoder. Defaults to `False`.
        use_query_type_embedding: Boolean. Whether to add one learned vector
            to all queries of the encoder. Defaults to `False`.
        use_latent_type_embedding: Boolean. Whether to add one learned vector
            to all latents of the decoder. Defaults to `False`.
        use_patch_query_type_embedding: Boolean. Whether to add one learned
            vector to all patch queries of the decoder. Defaults to `True`.
        token_dropout: Dictionary of `TokenDropout` arguments, or `None`. With
            it, the tokenizer is *elastic*: it is trained with the last tokens
            of some clips dropped, so that `encode` and `decode` support any
            number of leading tokens. The losses of quantizer and prior, and
            the statistics of the codebook, are those of the tokens that are
            kept. `{}` for the defaults. Defaults to `None`.
        gradient_checkpointing: Boolean. Whether to rematerialize the
            activations of each block of encoder, decoder and prior in the
            backward pass, which saves memory and makes a training step about
            a third slower. Defaults to `False`.
        seed: Integer. Seed of code sampling and scheduled sampling. `None`
            for a random seed. Defaults to `None`.

    Call arguments:
        video: Float tensor `(B, T, H, W, C)` in [0, 1].
        training: Boolean. Whether to sample codes and update the statistics
            of a batch normalization.

    Returns:
        Float tensor `(B, T, H, W, C)`: the reconstruction, not clipped to
        [0, 1].

    Raises:
        ValueError: If arguments are invalid, or a clip has another shape or
            is not floating-point.

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
        token_dropout=None,
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
        check_tokenizer_arguments(**self._options)
        if quantizer is not None:
            check_instance("quantizer", quantizer, dict)
        if prior is not None and not isinstance(prior, str):
            check_instance("prior", prior, dict, ", the name of a size or None")
        if prior is not None and num_tokens == 1:
            raise ValueError(
                "The prior predicts each token from the preceding ones, so "
                "that it needs `num_tokens` of at least 2. Pass `prior=None` "
                f"to train without it. Received: num_tokens={num_tokens}, "
                f"prior={prior!r}"
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
        self.code_norm = _make_latent_norm(latent_norm)
        self.quantizer = VectorQuantizer(
            codebook_size,
            code_dim,
            **{"seed": seed, **(quantizer or {})},
            dtype=policy,
            name="quantizer",
        )
        self.token_dropout = None
        if token_dropout is not None:
            self.token_dropout = TokenDropout(
                num_tokens,
                code_dim,
                **{"seed": seed, **token_dropout},
                dtype=policy,
                name="token_dropout",
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
        self.size_multiple = clip_sizes.common_multiple(
            self.patch_size, self.decoder.patch_size
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
        if self.token_dropout is not None:
            self.token_dropout.build(codes)
        self.from_code.build(codes)
        self.decoder.build((None, None, self.decoder.hidden_dim))
        self.built = True
        self._compiled_functions = CompiledFunctions(self)
        self.record_layer_dtypes()

    def compute_codes(
        self, video, training=False, temperature=None, sample_weight=None
    ):
        """Encodes and quantizes clips, for use in a traced function.

        Args:
            video: Float tensor `(B, T, H, W, C)` in [0, 1].
            training: Boolean. Whether to sample codes.
            temperature: Scalar. Overrides the temperature of the quantizer.
            sample_weight: float32 tensor `(B,)`. Weights of the clips in the
                quantizer's losses; `None` for equal weights.

        Returns:
            Dictionary of the outputs of `VectorQuantizer`, and `projected`,
            float `(B, N, code_dim)`, the inputs of the quantizer. In training
            with token dropout, also `num_kept`, int32 `(B,)`, and
            `token_mask`, float32 `(B, N)`.
        """
        check_video(video, self.video_shape, self.size_multiple)
        video = clip_sizes.fill_patch(video, self.patch_size)
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
        kept = {}
        if self.token_dropout is not None and training:
            num_kept = self.token_dropout.draw(ops.shape(x)[0])
            mask = self.token_dropout.mask(num_kept)
            kept = {"num_kept": num_kept, "token_mask": mask}
        outputs = self.quantizer(
            x,
            training=training,
            temperature=temperature,
            sample_weight=sample_weight,
            token_mask=kept.get("token_mask"),
        )
        return {**outputs, **kept, "projected": x}

    def reconstruct(
        self, quantized, training=False, num_kept=None, video_size=None
    ):
        """Decodes codes to clips, for use in a traced function.

        Args:
            quantized: Float tensor `(B, N, code_dim)`.
            training: Boolean. Whether gradient checkpointing is active.
            num_kept: int32 tensor `(B,)`. The number of leading codes of each
                clip to use, if there is token dropout. Defaults to `None`, all
                of them.
            video_size: `(frames, height, width)` of the clips. Defaults to
                the size that the model was created with.

        Returns:
            Float tensor `(B, T, H, W, C)`, not clipped to [0, 1].
        """
        if num_kept is not None:
            quantized = self.token_dropout(quantized, num_kept)
        size = self.video_shape[:3] if video_size is None else video_size
        x = self.from_code(quantized)  # (B, N, D)
        video = self.decoder(
            x,
            training=training,
            video_size=clip_sizes.filled_size(size, self.decoder.patch_size),
        )
        return video[:, : size[0]]

    def call(self, video, training=False):
        check_video(video, self.video_shape, self.size_multiple)
        check_unit_range(video, "LARPTokenizer.call")
        codes = self.compute_codes(video, training=training)
        return self.reconstruct(
            codes["quantized"],
            training,
            codes.get("num_kept"),
            video_size=tuple(video.shape[1:4]),
        )

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def input_signature(self):
        return keras.InputSpec("float32", (None, *self.video_shape))

    def _encode_tensor(self, video):
        return self.compute_codes(video)["token_ids"]

    def _decode_tensor(self, token_ids, num_kept=None, video_size=None):
        codes = self.quantizer.lookup(token_ids)
        video = self.reconstruct(
            codes, num_kept=num_kept, video_size=video_size
        )
        return ops.clip(ops.cast(video, "float32"), 0.0, 1.0)

    def _compiled(self, method, **constants):
        return self._compiled_functions.get(
            (method.__name__, *constants.items()),
            lambda: compile_function(
                self, functools.partial(method, **constants)
            ),
        )

    def encode(
        self, video, num_tokens=None, target_psnr=None, target_bits=None
    ):
        """Encodes clips to tokens, deterministically.

        An elastic tokenizer, which was trained with `token_dropout`, can be
        given one of three budgets.

        Args:
            video: Float tensor or array `(B, T, H, W, C)` in [0, 1], or a
                list of clips `(T, H, W, C)`. Clips can have other sizes than
                those that the model was created with, in multiples of the
                patch size, and one frame is an image. Clips of a size that
                the model was not trained with lose quality.
            num_tokens: Integer. The number of tokens per clip. Defaults to
                `None`, all of them.
            target_psnr: Float. PSNR in dB to reach: each clip gets as few
                tokens as it needs, or all of them. It is found by bisection,
                which assumes that more tokens are better.
            target_bits: Float. The number of bits per clip that the tokens
                may take at `log2(codebook_size)` bits each.

        Returns:
            int32 tensor `(B, n)` in [0, codebook_size), where `n` is the
            number of tokens. With `target_psnr`, a list of int32 arrays `(n,)`
            of several lengths.

        Raises:
            ValueError: If a clip has another shape, is not floating-point, or
                has the values of 8-bit video or values in [-1, 1]; or if a
                budget is out of range, or the tokenizer is not elastic.

        Example:

        ```python
        tokenizer = keras_larp.models.LARPTokenizer(
            num_frames=4, image_size=16, num_tokens=16, hidden_dim=64,
            num_heads=4, encoder_num_layers=1, decoder_num_layers=1,
            prior="gptc-XXS", token_dropout={"rate": 0.5},
        )
        video = np.random.default_rng(0).random((2, 4, 16, 16, 3), "float32")
        token_ids = tokenizer.encode(video, num_tokens=4)  # (2, 4)
        video = tokenizer.decode(token_ids)  # (2, 4, 16, 16, 3)
        ```
        """
        budget = {
            "num_tokens": num_tokens,
            "target_psnr": target_psnr,
            "target_bits": target_bits,
        }
        count = elastic_tokens.number_of_tokens(self, **budget)
        if isinstance(video, list | tuple):
            video = to_numpy(video)
        check_video(video, self.video_shape, self.size_multiple)
        check_unit_range(video, "LARPTokenizer.encode")
        encode = self._compiled(self._encode_tensor)
        token_ids = encode(ops.convert_to_tensor(video))
        if target_psnr is not None:
            return elastic_tokens.shortest_prefixes(
                self, token_ids, video, target_psnr
            )
        return token_ids if count == self.num_tokens else token_ids[:, :count]

    def decode(self, token_ids, video_size=None):
        """Decodes tokens to clips.

        Args:
            token_ids: Integer tensor or array `(B, num_tokens)` in
                [0, codebook_size). Of an elastic tokenizer, also the first
                tokens, `(B, n)`, or a list of arrays `(n,)` of any lengths
                from 1 to `num_tokens`.
            video_size: `(frames, height, width)` of the clips: each a multiple
                of the patch size, or one frame for images. Defaults to the
                size that the model was created with. Tokens do not store the
                size of their clip.

        Returns:
            float32 tensor `(B, T, H, W, C)`, clipped to [0, 1].

        Raises:
            ValueError: If an id is out of range or a shape or size is wrong.
        """
        if video_size is not None:
            video_size = check_video_size(video_size, self.size_multiple)
            if video_size == self.video_shape[:3]:
                video_size = None  # The same function.
        decode = self._compiled(self._decode_tensor, video_size=video_size)
        if self.token_dropout is None:
            ids, num_kept = token_ids, None
        else:
            ids, num_kept = elastic_tokens.pad(self, token_ids)
        ids = check_ids(
            ids, "token ids", self.codebook_size, (None, self.num_tokens)
        )
        ids = ops.convert_to_tensor(ids, "int32")
        if num_kept is None:
            return decode(ids)
        return decode(ids, ops.convert_to_tensor(num_kept, "int32"))

    def with_token_dropout(self, **options):
        """Returns an elastic copy of this tokenizer, to be fine-tuned.

        Its reconstructions from all tokens are those of this tokenizer; those
        from fewer tokens improve by training.

        Args:
            **options: Arguments of `TokenDropout`, such as `rate`.

        Returns:
            A `LARPTokenizer` that is not compiled.

        Example:

        ```python
        tokenizer = keras_larp.presets.load("larp_tiny_moving_shapes_tokenizer")
        elastic = tokenizer.with_token_dropout(rate=0.5)
        elastic.compile("adam")
        ```
        """
        config = {**self.get_config(), "token_dropout": options}
        elastic = type(self).from_config(config)
        names = ("patch_embedding", "encoder", "to_code", "code_norm")
        names += ("quantizer", "from_code", "decoder", "prior")
        for name in names:
            layer = getattr(self, name)
            if layer is not None:
                getattr(elastic, name).set_weights(layer.get_weights())
        return elastic

    def get_config(self):
        return {
            "name": self.name,
            "dtype": keras.saving.serialize_keras_object(self.dtype_policy),
            **self._options,
            **self.layer_dtypes_config(),
        }


def _make_latent_norm(kind):
    options = {"epsilon": 1e-5, "dtype": "float32", "name": "code_norm"}
    if kind == "none":
        return None
    if kind == "layer":
        return layers.LayerNormalization(**options)
    if kind == "layer_joint":
        return layers.LayerNormalization(axis=[1, 2], **options)
    return compat.BatchNormalization(momentum=0.9, **options)


def _make_prior(prior, num_tokens, **options):
    if prior is None:
        return None
    if isinstance(prior, str):
        prior = ARPrior.size_arguments(prior)
    options = {"max_length": max(1024, num_tokens), "name": "prior", **options}
    return ARPrior(**{**options, **prior})

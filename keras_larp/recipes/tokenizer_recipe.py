import dataclasses
import typing

import keras

from keras_larp import models, presets
from keras_larp.recipes import setting
from keras_larp.recipes.recipe import Dtype, Recipe
from keras_larp.training.schedules import LinearRamp, StridedSchedule
from keras_larp.utils.checks import check_choice


@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenizerRecipe(Recipe):
    """All settings for training a `LARPTokenizer`.

    The defaults are those of the paper's tokenizer LARP-L-Long
    (`hywang66/LARP-L-long-tokenizer`, trained on UCF101 and Kinetics-600).
    `print(recipe)` lists the settings.

    Example:

    ```python
    recipe = keras_larp.recipes.larp_l_long_tokenizer(batch_size=32)
    print(recipe)
    # tokenizer = recipe.build(dataset)
    # tokenizer.fit(dataset, **recipe.fit_arguments())
    ```

    Reference:
        - [LARP](https://arxiv.org/abs/2410.21264), section 4.1
    """

    num_frames: int = setting.data(16, "Frames per clip.", "--frame_num = 16")
    image_size: int = setting.data(
        128, "Height and width of a clip in pixels.", "--input_size = 128"
    )
    batch_size: int = setting.override(Recipe, "batch_size", 128, "-b = 128")
    epochs: int = setting.override(Recipe, "epochs", 150, "max_epoch = 150")

    num_tokens: int = setting.override(
        Recipe, "num_tokens", 1024, "bottleneck_token_num = 1024"
    )
    patch_size: tuple[int, int, int] = setting.model(
        (4, 8, 8),
        "Frames, height and width of a patch.",
        "temporal_patch_size, patch_size = 4, 8",
    )
    codebook_size: int = setting.model(
        8192,
        "Number of codes in the codebook.",
        "regularizer.args.codebook_size = 8192",
    )
    code_dim: int = setting.model(
        16, "Dimension of a code.", "bottleneck.args.bottleneck_dim = 16"
    )
    hidden_dim: int = setting.model(
        768,
        "Hidden dimension of encoder and decoder.",
        "encoder_hidden_size, decoder_hidden_size = 768",
    )
    num_heads: int = setting.model(
        12,
        "Attention heads of encoder and decoder. Must divide hidden_dim.",
        "encoder_num_heads, decoder_num_heads = 12",
    )
    encoder_num_layers: int = setting.model(
        12, "Transformer blocks of the encoder.", "encoder_depth = 12"
    )
    decoder_num_layers: int = setting.model(
        12, "Transformer blocks of the decoder.", "decoder_depth = 12"
    )
    decoder_patch_size: tuple[int, int, int] | None = setting.model(
        None,
        "Patch size of the decoder. None uses patch_size.",
        "decoder_temporal_patch_size, decoder_patch_size = 4, 8",
    )
    latent_norm: typing.Literal[
        "none", "layer", "layer_joint", "batch", "batch_joint"
    ] = setting.model(
        "none",
        "Normalization of the latents before quantization; the joint kinds "
        "normalize all latents of a clip together.",
        "bottleneck.args.norm = none",
    )
    token_dropout: float = setting.model(
        0.0,
        "Fraction of training clips in [0, 1) of which the last tokens are "
        "dropped, so that clips can be encoded in any number of tokens. 0 "
        "trains a fixed number of tokens.",
    )
    query_init_std: float = setting.model(
        0.02,
        "Standard deviation of the initial encoder queries.",
        "query_init_std = 0.02",
    )
    prior: str | None = setting.model(
        "gptc-S",
        "Size of the autoregressive prior: gptc-tiny, -XXS, -XS, -S, -M, "
        "-B or -L. None trains without a prior.",
        "prior_model.name = gptc-S",
    )
    dtype: Dtype = setting.override(
        Recipe,
        "dtype",
        "mixed_float16",
        "use_amp, amp_dtype = float16",
    )

    optimizer: typing.Literal["adam", "muon"] = setting.override(
        Recipe, "optimizer", "adam", "optimizer.name = adam"
    )
    learning_rate: float = setting.override(
        Recipe, "learning_rate", 1e-4, "optimizer.args.lr = 1e-4"
    )
    beta_1: float = setting.override(
        Recipe, "beta_1", 0.5, "optimizer.args.betas[0] = 0.5"
    )
    beta_2: float = setting.override(
        Recipe, "beta_2", 0.9, "optimizer.args.betas[1] = 0.9"
    )
    warmup_epochs: float = setting.override(
        Recipe, "warmup_epochs", 8.0, "optimizer.warmup_epoch = 8"
    )
    prior_learning_rate_multiplier: float = setting.optimizer(
        50.0,
        "Learning rate of the prior, relative to learning_rate.",
        "optimizer.prior_lr_mult = 50, which its learning-rate schedule "
        "overwrites with 1",
    )

    pixel_loss: typing.Literal["l1", "l2"] = setting.loss(
        "l1", "Pixel-wise reconstruction loss.", "loss.args.pixel_loss = l1"
    )
    pixel_loss_weight: float = setting.loss(
        1.0, "Weight of the pixel loss.", "loss.args.pixelloss_weight = 1"
    )
    motion_loss_weight: float = setting.loss(
        0.0,
        "How much more a moving pixel counts in the pixel loss: 1 + "
        "motion_loss_weight times as much as a still one.",
    )
    perceptual_model: str | keras.Model | None = setting.loss(
        "lpips_vgg16",
        "Perceptual loss: an LPIPS preset, a file with VGG16 weights, or "
        "random for untrained VGG16 weights. None disables the loss.",
        "loss.args.perceptual_loss = lpips, with VGG16",
    )
    perceptual_loss_weight: float = setting.loss(
        1.0,
        "Weight of the perceptual loss.",
        "loss.args.perceptual_weight = 1",
    )
    prior_loss_weight: float = setting.loss(
        0.06,
        "Weight of the prior's cross-entropy.",
        "loss_latent_ce_weight = 0.06",
    )
    prior_loss_start_epoch: float = setting.loss(
        0.0, "Epoch at which the prior's loss starts to contribute."
    )
    prior_loss_ramp_epochs: float = setting.loss(
        0.0,
        "Epochs over which prior_loss_weight increases linearly from 0.",
    )
    prior_num_rounds: int = setting.loss(
        2,
        "Forward passes of the prior per step; each round after the first is "
        "fed predictions of the round before it (scheduled sampling).",
        "prior_model.n_rounds = 2",
    )
    prior_max_sampling_ratio: float = setting.loss(
        0.5,
        "Maximum fraction of the prior's inputs that scheduled sampling "
        "replaces with predictions, in [0, 1].",
        "prior_model.mix_ss_max_ratio = 0.5",
    )
    prior_sampling_peak_fraction: float = setting.loss(
        0.3,
        "Fraction of the run after which scheduled sampling reaches its "
        "maximum, in (0, 1].",
        "prior_model.mix_ss_peak_steps_ratio = 0.3",
    )
    quantizer_loss_weight: float = setting.loss(
        0.1,
        "Weight of the quantizer's loss (commitment and codebook loss).",
        "loss_q_weight = 0.1",
    )
    quantizer_loss_warmup_ratio: float = setting.loss(
        1.0,
        "Initial weight of the quantizer's loss, as a ratio of "
        "quantizer_loss_weight, in [0, 1].",
        "loss_q_warmup = 1.0_1, that is no warmup",
    )
    quantizer_loss_warmup_epochs: float = setting.loss(
        0.0,
        "Epochs over which the weight of the quantizer's loss increases "
        "linearly to quantizer_loss_weight.",
    )
    commitment_weight: float = setting.loss(
        0.25,
        "Weight of the commitment loss within the quantizer's loss.",
        "commitment_loss_weight = 0.25",
    )
    codebook_weight: float = setting.loss(
        1.0,
        "Weight of the codebook loss within the quantizer's loss.",
        "codebook_loss_weight = 1",
    )
    kmeans_init_clips: int | None = setting.loss(
        None,
        "Number of clips from whose latents k-means initializes the codebook. "
        "None initializes it randomly.",
    )
    codebook_ema_decay: float | None = setting.loss(
        None,
        "Update codes with an exponential moving average of their latents, "
        "with this decay rate in [0, 1). None trains them by gradient descent.",
    )
    codebook_reset_unused_after: int | None = setting.loss(
        None,
        "Steps after which an unused code is reset to a latent of the batch. "
        "None disables resets.",
    )
    temperature: float = setting.loss(
        0.03,
        "Sampling temperature of the stochastic quantizer.",
        "stochastic_temperature = 0.03",
    )
    temperature_start: float | None = setting.loss(
        None,
        "Initial sampling temperature, annealed to temperature. None disables "
        "annealing.",
        "sqt_start_end_epoch = off",
    )
    temperature_epochs: float = setting.loss(
        0.0, "Epochs over which the sampling temperature is annealed."
    )

    discriminator: bool = setting.discriminator(
        True,
        "Train with a discriminator (adversarial loss).",
        "loss.args.disc_type = transformer",
    )
    discriminator_hidden_dim: int = setting.discriminator(
        512,
        "Hidden dimension of the discriminator.",
        "loss.args.disc_tran_hidden_size = 512",
    )
    discriminator_num_layers: int = setting.discriminator(
        12,
        "Transformer blocks of the discriminator.",
        "loss.args.disc_tran_n_layers = 12",
    )
    discriminator_num_heads: int = setting.discriminator(
        8,
        "Attention heads of the discriminator. Must divide "
        "discriminator_hidden_dim.",
        "loss.args.disc_tran_n_heads = 8",
    )
    discriminator_learning_rate: float = setting.discriminator(
        3e-5,
        "Peak learning rate of the discriminator.",
        "optimizer.loss_args.lr = 3e-5",
    )
    discriminator_every: int = setting.discriminator(
        5,
        "Steps between updates of the discriminator.",
        "loss.args.d_update_freq = 5",
    )
    discriminator_start_epoch: float = setting.discriminator(
        0.0,
        "Epoch at which training of the discriminator starts.",
        "loss.args.disc_self_start = -1, that is disc_start",
    )
    spectral_normalization: bool = setting.discriminator(
        False,
        "Apply spectral normalization to the discriminator. Turns off its "
        "gradient checkpointing.",
        "loss.args.spectral_norm = off",
    )
    adversarial_loss: typing.Literal[
        "non_saturating_smooth", "non_saturating", "hinge"
    ] = setting.discriminator(
        "non_saturating_smooth",
        "Adversarial loss of tokenizer and discriminator.",
        "loss.args.disc_loss = ns_smooth",
    )
    adversarial_loss_weight: float = setting.discriminator(
        0.3,
        "Weight of the tokenizer's adversarial loss.",
        "loss.args.disc_weight = 0.3",
    )
    adversarial_start_epoch: float = setting.discriminator(
        0.0,
        "Epoch at which the tokenizer's adversarial loss starts to contribute.",
        "loss.args.disc_start = 0",
    )
    lecam_weight: float = setting.discriminator(
        1e-6,
        "Weight of the LeCam regularization of the discriminator.",
        "loss.args.lecam_weight = 0.001, applied twice",
    )
    gradient_penalty_weight: float = setting.discriminator(
        0.0,
        "Weight of the R1 gradient penalty of the discriminator. Above 0 it "
        "turns off the discriminator's gradient checkpointing.",
        "loss.args.r1_gp_weight = 0",
    )

    def __post_init__(self):
        super().__post_init__()
        if self.prior is not None:
            check_choice("prior", self.prior, models.ARPrior.sizes)

    def build(self, clips: typing.Any = None) -> models.LARPTokenizer:
        """Returns a compiled `LARPTokenizer`.

        Args:
            clips: The training dataset. Required if the recipe was created
                without `steps_per_epoch`, or if `kmeans_init_clips` is set,
                which initializes the codebook from some of the clips; see
                `LARPTokenizer.initialize_codebook`.

        Raises:
            ValueError: If `clips` is required and missing.
        """
        arguments = self.for_data(clips).compile_arguments()
        tokenizer = models.LARPTokenizer(**self.model_arguments())
        tokenizer.compile(**arguments)
        if self.kmeans_init_clips:
            if clips is None:
                raise ValueError(
                    "This recipe initializes the codebook from "
                    f"{self.kmeans_init_clips} clips. Pass the training "
                    "dataset to `build`, or set `kmeans_init_clips=None`."
                )
            tokenizer.initialize_codebook(clips, self.kmeans_init_clips)
        return tokenizer

    def model_arguments(self) -> dict[str, typing.Any]:
        """Returns the arguments of `LARPTokenizer`."""
        return {
            **self._select(
                "num_frames",
                "image_size",
                "patch_size",
                "num_tokens",
                "codebook_size",
                "code_dim",
                "hidden_dim",
                "num_heads",
                "encoder_num_layers",
                "decoder_num_layers",
                "decoder_patch_size",
                "latent_norm",
                "query_init_std",
                "prior",
                "prior_num_rounds",
                "prior_max_sampling_ratio",
                "prior_sampling_peak_fraction",
                "gradient_checkpointing",
                "dtype",
            ),
            "quantizer": {
                "commitment_weight": self.commitment_weight,
                "codebook_weight": self.codebook_weight,
                "temperature": self.temperature,
                "ema_decay": self.codebook_ema_decay,
                "reset_unused_after": self.codebook_reset_unused_after,
            },
            "token_dropout": (
                {"rate": self.token_dropout} if self.token_dropout else None
            ),
        }

    def compile_arguments(self) -> dict[str, typing.Any]:
        """Returns the arguments of `LARPTokenizer.compile`."""
        arguments = self._select(
            "prior_learning_rate_multiplier",
            "pixel_loss",
            "pixel_loss_weight",
            "motion_loss_weight",
            "perceptual_loss_weight",
            "discriminator_every",
            "adversarial_loss",
            "adversarial_loss_weight",
            "lecam_weight",
            "gradient_penalty_weight",
        )
        if self.discriminator:
            arguments["discriminator"] = self._make_discriminator()
            arguments["discriminator_optimizer"] = self._make_optimizer(
                keras.optimizers.Adam,
                StridedSchedule(
                    self._schedule(self.discriminator_learning_rate),
                    self.discriminator_every,
                    self._to_steps(self.discriminator_start_epoch),
                ),
                beta_1=self.beta_1,
                beta_2=self.beta_2,
            )
        return {
            **arguments,
            "optimizer": self._main_optimizer(keras.optimizers.Adam),
            "perceptual_model": self._load_perceptual_model(),
            "discriminator_start": self._to_steps(
                self.discriminator_start_epoch
            ),
            "adversarial_start": self._to_steps(self.adversarial_start_epoch),
            "prior_loss_weight": self._ramp(
                0.0,
                self.prior_loss_weight,
                self.prior_loss_ramp_epochs,
                self.prior_loss_start_epoch,
            ),
            "quantizer_loss_weight": self._ramp(
                self.quantizer_loss_warmup_ratio * self.quantizer_loss_weight,
                self.quantizer_loss_weight,
                self.quantizer_loss_warmup_epochs,
            ),
            "temperature_schedule": self._temperature_schedule(),
            "total_steps": self.total_steps,
            "jit_compile": self._jit_compile(),
        }

    def _ramp(self, initial, final, epochs, start_epoch=0.0):
        """Returns a weight, or the schedule of one that is ramped up."""
        steps, first_step = self._to_steps(epochs), self._to_steps(start_epoch)
        if not steps and not first_step:
            return final
        return LinearRamp(initial, final, max(steps, 1), first_step)

    def _temperature_schedule(self):
        if self.temperature_start is None:
            return None
        steps = max(self._to_steps(self.temperature_epochs), 1)
        return LinearRamp(self.temperature_start, self.temperature, steps)

    def _load_perceptual_model(self):
        model = self.perceptual_model
        if model == "random":
            return models.LPIPS(seed=0)
        return presets.load(model) if isinstance(model, str) else model

    def _make_discriminator(self):
        return models.VideoDiscriminator(
            hidden_dim=self.discriminator_hidden_dim,
            num_layers=self.discriminator_num_layers,
            num_heads=self.discriminator_num_heads,
            # Neither spectral normalization nor R1 works with
            # rematerialization.
            gradient_checkpointing=self.gradient_checkpointing
            and not self.spectral_normalization
            and not self.gradient_penalty_weight,
            **self._select(
                "num_frames",
                "image_size",
                "patch_size",
                "dtype",
                "spectral_normalization",
            ),
        )

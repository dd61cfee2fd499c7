"""Recipes: all settings of a training run, by name.

recipe = keras_larp.training.recipes.larp_l_long_tokenizer(
    steps_per_epoch=3000, batch_size=32
)
print(recipe)  # each setting, with its value
tokenizer = recipe.build()  # a model that is compiled
tokenizer.fit(dataset, **recipe.fit_arguments())
"""

import dataclasses
import difflib

import keras

from keras_larp.training.schedules import LinearRamp, WarmupCosine

# The tokenizer of `hywang66/LARP-L-long-tokenizer`: UCF101 and Kinetics-600.
LARP_L_LONG_TOKENIZER = {
    # Data.
    "num_frames": 16,
    "image_size": 128,
    "batch_size": 128,
    "horizontal_flip": True,
    "epochs": 150,
    # Model.
    "patch_size": (4, 8, 8),
    "num_tokens": 1024,
    "codebook_size": 8192,
    "code_dim": 16,
    "hidden_dim": 768,
    "num_heads": 12,
    "encoder_layers": 12,
    "decoder_layers": 12,
    "latent_norm": "none",
    "query_stddev": 0.02,
    "prior": "gptc-S",
    "dtype": "mixed_float16",
    "gradient_checkpointing": False,
    # Optimizer.
    "learning_rate": 1e-4,
    "beta_1": 0.5,
    "beta_2": 0.9,
    "epsilon": 1e-8,
    "warmup_epochs": 8.0,
    "end_share": 0.01,
    "prior_learning_rate_multiplier": 50.0,
    "global_clipnorm": None,
    "gradient_accumulation_steps": None,
    "ema_decay": None,
    # Losses.
    "pixel_loss": "absolute",
    "pixel_loss_weight": 1.0,
    "perceptual_model": "lpips_vgg16",
    "perceptual_loss_weight": 1.0,
    "prior_loss_weight": 0.06,
    "prior_loss_ramp_epochs": 0.0,
    "prior_num_rounds": 2,
    "prior_max_sampling_ratio": 0.5,
    "prior_sampling_peak": 0.3,
    "quantizer_loss_weight": 0.1,
    "quantizer_warmup_share": 1.0,
    "quantizer_warmup_epochs": 0.0,
    "commitment_weight": 0.25,
    "codebook_weight": 1.0,
    "temperature": 0.03,
    "temperature_start": None,
    "temperature_epochs": 0.0,
    # Discriminator.
    "discriminator": True,
    "discriminator_hidden_dim": 512,
    "discriminator_layers": 12,
    "discriminator_heads": 8,
    "discriminator_learning_rate": 3e-5,
    "discriminator_every": 5,
    "discriminator_start_epoch": 0.0,
    "spectral_normalization": False,
    "adversarial_loss": "non_saturating_smooth",
    "adversarial_loss_weight": 0.3,
    "adversarial_start_epoch": 0.0,
    "lecam_weight": 1e-6,
    "gradient_penalty_weight": 0.0,
}

# The generator of `hywang66/LARP-L-long-AR`: classes of UCF101.
LARP_L_LONG_GENERATOR = {
    "batch_size": 64,
    "horizontal_flip": True,
    "epochs": 3000,
    "size": "llama-abs-LP",
    "vocab_size": 8192,
    "num_tokens": 1024,
    "num_classes": 101,
    "condition": "class",
    "class_dropout": 0.1,
    "token_dropout": 0.1,
    "dropout": 0.1,
    "drop_path": 0.0,
    "dtype": "mixed_bfloat16",
    "gradient_checkpointing": False,
    "learning_rate": 6e-4,
    "beta_1": 0.9,
    "beta_2": 0.95,
    "epsilon": 1e-8,
    "weight_decay": 0.05,
    "warmup_epochs": 4.0,
    "end_share": 0.01,
    "global_clipnorm": None,
    "gradient_accumulation_steps": None,
    "ema_decay": None,
}

# The generator of `hywang66/LARP-L-long-AR-FP`: frames of Kinetics-600.
LARP_L_LONG_FRAME_PREDICTION = {
    **LARP_L_LONG_GENERATOR,
    "epochs": 75,
    "condition": "frames",
    "class_dropout": 0.0,
    "warmup_epochs": 1.0,
}


# What each setting is.
DESCRIPTIONS = {
    "num_frames": "Frames of a clip.",
    "image_size": "Height and width of a clip.",
    "batch_size": "Clips in a batch.",
    "horizontal_flip": "Mirror half of the clips.",
    "epochs": "Passes over the data.",
    "patch_size": "Frames, height and width of a patch.",
    "num_tokens": "Tokens a clip.",
    "codebook_size": "Number of codes.",
    "code_dim": "Width of a code.",
    "hidden_dim": "Width of encoder and decoder.",
    "num_heads": "Attention heads of both.",
    "encoder_layers": "Blocks of the encoder.",
    "decoder_layers": "Blocks of the decoder.",
    "latent_norm": "Norm before the quantizer.",
    "query_stddev": "Standard deviation of the first queries.",
    "prior": 'Size of the prior, or "none".',
    "dtype": "Policy: float32, mixed_float16 or mixed_bfloat16.",
    "gradient_checkpointing": "Save memory for a third more time.",
    "learning_rate": "Peak learning rate.",
    "beta_1": "Adam's decay of the gradient's mean.",
    "beta_2": "Adam's decay of its square's mean.",
    "epsilon": "Adam's epsilon.",
    "weight_decay": "Of linear kernels.",
    "warmup_epochs": "Epochs up to the peak.",
    "end_share": "Lowest learning rate over the peak.",
    "prior_learning_rate_multiplier": "Learning rate of the prior over the "
    "tokenizer's.",
    "global_clipnorm": "Longest gradient; none where not given.",
    "gradient_accumulation_steps": "Batches to an update.",
    "ema_decay": "Decay of averaged weights; none where not given.",
    "pixel_loss": '"absolute" or "squared" error.',
    "pixel_loss_weight": "Its weight.",
    "perceptual_model": 'Preset of LPIPS, a file of VGG16, "random" or "none".',
    "perceptual_loss_weight": "Weight of the perceptual loss.",
    "prior_loss_weight": "Weight of the prior's cross-entropy.",
    "prior_loss_ramp_epochs": "Epochs in which that weight rises from 0.",
    "prior_num_rounds": "Rounds of scheduled sampling.",
    "prior_max_sampling_ratio": "Share of replaced inputs at its peak.",
    "prior_sampling_peak": "Part of the run after which it is reached.",
    "quantizer_loss_weight": "Weight of commitment and codebook loss.",
    "quantizer_warmup_share": "Share of that weight at first.",
    "quantizer_warmup_epochs": "Epochs in which it rises to the whole.",
    "commitment_weight": "Weight of the commitment loss in it.",
    "codebook_weight": "Weight of the codebook loss in it.",
    "temperature": "Temperature of the quantizer's sampling.",
    "temperature_start": "Temperature at first; none for no annealing.",
    "temperature_epochs": "Epochs in which it goes to the temperature.",
    "discriminator": "Train against a discriminator.",
    "discriminator_hidden_dim": "Its width.",
    "discriminator_layers": "Its blocks.",
    "discriminator_heads": "Its attention heads.",
    "discriminator_learning_rate": "Its peak learning rate.",
    "discriminator_every": "It is trained on every so-many-th step.",
    "discriminator_start_epoch": "Epochs before it is trained.",
    "spectral_normalization": "Keep its spectral norms at 1.",
    "adversarial_loss": '"non_saturating_smooth", "non_saturating", "hinge".',
    "adversarial_loss_weight": "Weight of the tokenizer's adversarial loss.",
    "adversarial_start_epoch": "Epochs before that loss counts.",
    "lecam_weight": "Weight of the LeCam regularization.",
    "gradient_penalty_weight": "Weight of the R1 penalty.",
    "size": "Size of the generator by name.",
    "vocab_size": "Number of codes.",
    "num_classes": "Number of classes.",
    "condition": '"class" or "frames".',
    "class_dropout": "Share of labels that training leaves out.",
    "token_dropout": "Dropout of the embedded sequence.",
    "dropout": "Dropout after attention and MLP.",
    "drop_path": "Stochastic depth of the last block.",
}


def larp_l_long_tokenizer(steps_per_epoch, **overrides):
    """The paper's tokenizer, LARP-L-Long, with prior and discriminator.

    Epochs are those of the authors; schedules are laid out over
    `steps_per_epoch` of them. The authors' own code takes the learning rate
    of all variables from its schedule at each step, so that their
    `prior_lr_mult` of 50, which the paper's recipe names, did not act; pass
    `prior_learning_rate_multiplier=1.0` to train as they did.

    Args:
        steps_per_epoch: Integer, batches of an epoch.
        **overrides: Settings to take in place of the paper's; see
            `LARP_L_LONG_TOKENIZER` for names and values.

    Returns:
        A `TokenizerRecipe`.

    Raises:
        ValueError: for a setting that does not exist.

    Example:

    ```python
    recipe = keras_larp.training.recipes.larp_l_long_tokenizer(
        steps_per_epoch=100, epochs=2, warmup_epochs=0.1, image_size=32,
        num_frames=8, num_tokens=16, hidden_dim=64, num_heads=4,
        encoder_layers=2, decoder_layers=2, prior="gptc-XXS",
        discriminator_hidden_dim=64, discriminator_layers=2,
        perceptual_model=None, dtype="float32",
    )
    tokenizer = recipe.build()
    ```

    Reference:
        - [LARP](https://arxiv.org/abs/2410.21264), section 4.1
    """
    return TokenizerRecipe(
        "larp_l_long_tokenizer",
        steps_per_epoch,
        _merged(LARP_L_LONG_TOKENIZER, overrides),
    )


def larp_l_long_generator(steps_per_epoch, **overrides):
    """The paper's class-conditional generator on UCF101; see
    `larp_l_long_tokenizer`, and `LARP_L_LONG_GENERATOR` for the settings."""
    return GeneratorRecipe(
        "larp_l_long_generator",
        steps_per_epoch,
        _merged(LARP_L_LONG_GENERATOR, overrides),
    )


def larp_l_long_frame_prediction(steps_per_epoch, **overrides):
    """The paper's frame prediction on Kinetics-600; see
    `larp_l_long_tokenizer`, and `LARP_L_LONG_FRAME_PREDICTION` for the
    settings."""
    return GeneratorRecipe(
        "larp_l_long_frame_prediction",
        steps_per_epoch,
        _merged(LARP_L_LONG_FRAME_PREDICTION, overrides),
    )


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Settings by name, and what they make.

    Attributes:
        name: String.
        steps_per_epoch: Integer.
        settings: Dictionary of plain values.
    """

    name: str
    steps_per_epoch: int
    settings: dict

    def __str__(self):
        lines = [
            f"{name:30} {str(value):22} {DESCRIPTIONS[name]}"
            for name, value in self.settings.items()
        ]
        head = f"{self.name}, {self.steps_per_epoch} steps an epoch"
        return "\n".join([head, *lines])

    @property
    def total_steps(self):
        """Integer, steps of the whole run."""
        return self.steps_per_epoch * self.settings["epochs"]

    def fit_arguments(self):
        """Arguments of `fit`, besides the data."""
        callbacks = []
        if self.settings["ema_decay"] is not None:
            callbacks.append(keras.callbacks.SwapEMAWeights())
        return {
            "epochs": self.settings["epochs"],
            "steps_per_epoch": self.steps_per_epoch,
            "callbacks": callbacks,
        }

    def _take(self, *names):
        return {name: self.settings[name] for name in names}

    def _steps(self, name):
        return round(self.settings[name] * self.steps_per_epoch)

    def _schedule(self, name):
        return WarmupCosine(
            self.settings[name],
            self.total_steps,
            self._steps("warmup_epochs"),
            self.settings["end_share"],
        )

    def _optimizer(self, kind, name, **options):
        options |= self._take("beta_1", "beta_2", "epsilon", "global_clipnorm")
        steps = self.settings["gradient_accumulation_steps"]
        return kind(
            self._schedule(name),
            gradient_accumulation_steps=steps,
            **options,
        )

    def _average(self):
        decay = self.settings["ema_decay"]
        if decay is None:
            return {}
        return {"use_ema": True, "ema_momentum": decay}


class TokenizerRecipe(Recipe):
    """How a `LARPTokenizer` is made and trained."""

    def build(self):
        """A compiled `LARPTokenizer`."""
        from keras_larp import models

        tokenizer = models.LARPTokenizer(**self.model_arguments())
        tokenizer.compile(**self.compile_arguments())
        return tokenizer

    def model_arguments(self):
        """Arguments of `LARPTokenizer`."""
        quantizer = ("commitment_weight", "codebook_weight", "temperature")
        return {
            **self._take(
                *("num_frames", "image_size", "patch_size", "num_tokens"),
                *("codebook_size", "code_dim", "hidden_dim", "num_heads"),
                *("encoder_layers", "decoder_layers", "latent_norm"),
                *("query_stddev", "prior", "prior_num_rounds", "dtype"),
                *("prior_max_sampling_ratio", "prior_sampling_peak"),
                "gradient_checkpointing",
            ),
            "quantizer": self._take(*quantizer),
        }

    def compile_arguments(self):
        """Arguments of `LARPTokenizer.compile`."""
        adam = keras.optimizers.Adam
        arguments = self._take(
            *("prior_learning_rate_multiplier", "pixel_loss"),
            *("pixel_loss_weight", "perceptual_loss_weight"),
            *("discriminator_every", "adversarial_loss"),
            *("adversarial_loss_weight", "lecam_weight"),
            "gradient_penalty_weight",
        )
        if self.settings["discriminator"]:
            arguments["discriminator_optimizer"] = self._optimizer(
                adam, "discriminator_learning_rate"
            )
        return {
            **arguments,
            "optimizer": self._optimizer(
                adam, "learning_rate", **self._average()
            ),
            "perceptual_model": self._perceptual_model(),
            "discriminator": self._discriminator(),
            "discriminator_start": self._steps("discriminator_start_epoch"),
            "adversarial_start": self._steps("adversarial_start_epoch"),
            "prior_loss_weight": self._ramp(
                "prior_loss_weight", 0.0, "prior_loss_ramp_epochs"
            ),
            "quantizer_loss_weight": self._ramp(
                "quantizer_loss_weight",
                self.settings["quantizer_warmup_share"],
                "quantizer_warmup_epochs",
            ),
            "temperature_schedule": self._temperature_schedule(),
            "total_steps": self.total_steps,
        }

    def _ramp(self, name, start_share, epochs):
        """A weight, or a ramp up to it."""
        weight, steps = self.settings[name], self._steps(epochs)
        return (
            LinearRamp(start_share * weight, weight, steps) if steps else weight
        )

    def _temperature_schedule(self):
        start = self.settings["temperature_start"]
        if start is None:
            return None
        steps = max(self._steps("temperature_epochs"), 1)
        return LinearRamp(start, self.settings["temperature"], steps)

    def _perceptual_model(self):
        from keras_larp import models, presets

        model = self.settings["perceptual_model"]
        if model == "random":
            # VGG16 with seeded weights: for trials without the real ones.
            return models.LPIPS(seed=0)
        return presets.load(model) if isinstance(model, str) else model

    def _discriminator(self):
        from keras_larp import models

        if not self.settings["discriminator"]:
            return None
        return models.VideoDiscriminator(
            hidden_dim=self.settings["discriminator_hidden_dim"],
            num_layers=self.settings["discriminator_layers"],
            num_heads=self.settings["discriminator_heads"],
            **self._take("num_frames", "image_size", "patch_size", "dtype"),
            **self._take("spectral_normalization"),
        )


class GeneratorRecipe(Recipe):
    """How an `ARVideoGenerator` is made and trained."""

    def build(self):
        """A compiled `ARVideoGenerator`."""
        from keras_larp import models

        generator = models.ARVideoGenerator.from_size(
            self.settings["size"], **self.model_arguments()
        )
        generator.compile(**self.compile_arguments())
        return generator

    def model_arguments(self):
        """Arguments of `ARVideoGenerator.from_size`, besides the size."""
        return self._take(
            *("vocab_size", "num_tokens", "num_classes", "condition"),
            *("class_dropout", "token_dropout", "dropout", "drop_path"),
            *("dtype", "gradient_checkpointing"),
        )

    def compile_arguments(self):
        """Arguments of `ARVideoGenerator.compile`."""
        return {
            "optimizer": self._optimizer(
                keras.optimizers.AdamW,
                "learning_rate",
                **self._take("weight_decay"),
                **self._average(),
            )
        }


RECIPES = {
    "larp_l_long_tokenizer": larp_l_long_tokenizer,
    "larp_l_long_generator": larp_l_long_generator,
    "larp_l_long_frame_prediction": larp_l_long_frame_prediction,
}
SETTINGS = {
    "larp_l_long_tokenizer": LARP_L_LONG_TOKENIZER,
    "larp_l_long_generator": LARP_L_LONG_GENERATOR,
    "larp_l_long_frame_prediction": LARP_L_LONG_FRAME_PREDICTION,
}


def _merged(settings, overrides):
    for name in overrides:
        if name not in settings:
            close = difflib.get_close_matches(name, settings)
            hint = f" Did you mean {' or '.join(close)}?" if close else ""
            raise ValueError(f"This recipe has no setting {name!r}.{hint}")
    return {**settings, **overrides}

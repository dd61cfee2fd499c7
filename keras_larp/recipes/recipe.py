"""Recipes: all settings of a training run, by name.

recipe = keras_larp.recipes.larp_l_long_tokenizer(batch_size=32)
print(recipe)  # each setting, with its value
tokenizer = recipe.build(dataset)  # a model that is compiled
tokenizer.fit(dataset, **recipe.fit_arguments())
"""

import dataclasses
import difflib

import keras

from keras_larp import models, presets
from keras_larp.recipes.settings import (
    DESCRIPTIONS,
    LARP_L_LONG_FRAME_PREDICTION,
    LARP_L_LONG_GENERATOR,
    LARP_L_LONG_TOKENIZER,
    SMALL_DATA_GENERATOR,
    SMALL_DATA_TOKENIZER,
)
from keras_larp.training.schedules import (
    LinearRamp,
    StridedSchedule,
    WarmupCosine,
)

# Muon is for matrices that map one space to another. Rows of tables, vectors
# and the last layer of a prior or generator are Adam's, at this share of its
# learning rate.
NOT_MUON = ("codebook", "positions", "table", "head")
MUON_ADAM_RATIO = 0.1


def larp_l_long_tokenizer(steps_per_epoch=None, **overrides):
    """The paper's tokenizer, LARP-L-Long, with prior and discriminator.

    Epochs are those of the authors, and what is said in epochs becomes steps
    by `steps_per_epoch`. The authors' own code takes the learning rate
    of all variables from its schedule at each step, so that their
    `prior_lr_mult` of 50, which the paper's recipe names, did not act; pass
    `prior_learning_rate_multiplier=1.0` to train as they did.

    Args:
        steps_per_epoch: Optional integer, batches of an epoch; where not
            given, one pass over the data set that `build` is given.
        **overrides: Settings to take in place of the paper's; see
            `keras_larp.recipes.settings` for names and values.

    Returns:
        A `TokenizerRecipe`.

    Raises:
        ValueError: for a setting that does not exist.

    Example:

    ```python
    recipe = keras_larp.recipes.larp_l_long_tokenizer(
        steps_per_epoch=100, epochs=2, warmup_epochs=0.1, image_size=32,
        num_frames=8, num_tokens=16, hidden_dim=64, num_heads=4,
        encoder_num_layers=2, decoder_num_layers=2, prior="gptc-XXS",
        discriminator_hidden_dim=64, discriminator_num_layers=2,
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


def larp_l_long_generator(steps_per_epoch=None, **overrides):
    """The paper's class-conditional generator on UCF101; see
    `larp_l_long_tokenizer`."""
    return GeneratorRecipe(
        "larp_l_long_generator",
        steps_per_epoch,
        _merged(LARP_L_LONG_GENERATOR, overrides),
    )


def larp_l_long_frame_prediction(steps_per_epoch=None, **overrides):
    """The paper's frame prediction on Kinetics-600; see
    `larp_l_long_tokenizer`."""
    return GeneratorRecipe(
        "larp_l_long_frame_prediction",
        steps_per_epoch,
        _merged(LARP_L_LONG_FRAME_PREDICTION, overrides),
    )


def small_data_tokenizer(steps_per_epoch=None, **overrides):
    """A tokenizer for some thousand short clips, trained in minutes on two
    cores; see `larp_l_long_tokenizer`. Ours, not the paper's."""
    return TokenizerRecipe(
        "small_data_tokenizer",
        steps_per_epoch,
        _merged(SMALL_DATA_TOKENIZER, overrides),
    )


def small_data_generator(steps_per_epoch=None, **overrides):
    """A generator of the tokens of `small_data_tokenizer`."""
    return GeneratorRecipe(
        "small_data_generator",
        steps_per_epoch,
        _merged(SMALL_DATA_GENERATOR, overrides),
    )


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Settings by name, and what they make.

    Attributes:
        name: String.
        steps_per_epoch: Integer, or `None` before a data set is known.
        settings: Dictionary of plain values.
    """

    name: str
    steps_per_epoch: int | None
    settings: dict

    def __str__(self):
        lines = [
            f"{name:30} {str(value):22} {DESCRIPTIONS[name]}"
            for name, value in self.settings.items()
        ]
        steps = self.steps_per_epoch
        epoch = "one pass over the data" if steps is None else f"{steps} steps"
        return "\n".join([f"{self.name}, an epoch is {epoch}", *lines])

    def for_data(self, dataset):
        """This recipe with the steps of a pass over a data set, unless it was
        made with steps of its own.

        Args:
            dataset: A data set with `steps_per_epoch`, such as
                `keras_larp.data.video_dataset` makes.
        """
        steps = getattr(dataset, "steps_per_epoch", None)
        if self.steps_per_epoch is not None or steps is None:
            return self
        return dataclasses.replace(self, steps_per_epoch=steps)

    @property
    def total_steps(self):
        """Integer, steps of the whole run."""
        return self._steps("epochs")

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

    def _compilation(self):
        """What `compile` is told of PyTorch's compiler."""
        on_torch = keras.backend.backend() == "torch"
        compiles = on_torch and self.settings["torch_compile"]
        return {"jit_compile": True if compiles else "auto"}

    def _take(self, *names):
        return {name: self.settings[name] for name in names}

    def _steps(self, name):
        if self.steps_per_epoch is None:
            raise ValueError(
                f"The recipe {self.name} counts in epochs, and does not know "
                "how many steps one has. Make it with `steps_per_epoch`, or "
                "give `build` (or, before asking for steps or arguments, "
                "`for_data`) a data set that has `steps_per_epoch`, as those "
                "of `keras_larp.data` do."
            )
        return round(self.settings[name] * self.steps_per_epoch)

    def _schedule(self, name):
        return WarmupCosine(
            self.settings[name],
            self.total_steps,
            self._steps("warmup_epochs"),
            self.settings["min_lr_ratio"],
        )

    def _main_optimizer(self, adam, **options):
        """Adam, or Muon, of what is trained at `learning_rate`."""
        options |= self._average()
        schedule = self._schedule("learning_rate")
        kind = self.settings["optimizer"]
        if kind == "adam":
            options |= self._take("beta_1", "beta_2")
            return self._optimizer(adam, schedule, **options)
        if kind != "muon":
            raise ValueError(
                "The setting `optimizer` is 'adam' or 'muon'. "
                f"Received: {kind!r}"
            )
        decay = options.pop("weight_decay", None)
        return self._optimizer(
            keras.optimizers.Muon,
            schedule,
            adam_beta_1=self.settings["beta_1"],
            adam_beta_2=self.settings["beta_2"],
            adam_lr_ratio=MUON_ADAM_RATIO,
            exclude_layers=list(NOT_MUON),
            weight_decay=decay,
            adam_weight_decay=decay,
            **options,
        )

    def _optimizer(self, kind, schedule, **options):
        options |= self._take("epsilon", "global_clipnorm")
        steps = self.settings["gradient_accumulation_steps"]
        return kind(
            schedule,
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

    def build(self, clips=None):
        """A compiled `LARPTokenizer`.

        Args:
            clips: The data set of training. Needed where the recipe was made
                without `steps_per_epoch`, and where the setting
                `kmeans_init_clips` asks for clips that the first codes are taken
                from; for these, see `LARPTokenizer.initialize_codebook`, any
                clips will do.

        Raises:
            ValueError: where clips or steps are asked for and not given.
        """
        arguments = self.for_data(clips).compile_arguments()
        tokenizer = models.LARPTokenizer(**self.model_arguments())
        tokenizer.compile(**arguments)
        num_clips = self.settings["kmeans_init_clips"]
        if num_clips:
            if clips is None:
                raise ValueError(
                    f"This recipe takes the first codes from {num_clips} "
                    "clips: give `build` some, such as the data set of "
                    "training, or make the recipe with `kmeans_init_clips=None`."
                )
            tokenizer.initialize_codebook(clips, num_clips)
        return tokenizer

    def model_arguments(self):
        """Arguments of `LARPTokenizer`."""
        return {
            **self._take(
                *("num_frames", "image_size", "patch_size", "num_tokens"),
                *("codebook_size", "code_dim", "hidden_dim", "num_heads"),
                *(
                    "encoder_num_layers",
                    "decoder_num_layers",
                    "decoder_patch_size",
                ),
                "latent_norm",
                *("query_init_std", "prior", "prior_num_rounds", "dtype"),
                *("prior_max_sampling_ratio", "prior_sampling_peak_fraction"),
                "gradient_checkpointing",
            ),
            "quantizer": {
                **self._take("commitment_weight", "codebook_weight"),
                **self._take("temperature"),
                "ema_decay": self.settings["codebook_ema_decay"],
                "reset_unused_after": self.settings[
                    "codebook_reset_unused_after"
                ],
            },
        }

    def compile_arguments(self):
        """Arguments of `LARPTokenizer.compile`."""
        arguments = self._take(
            *("prior_learning_rate_multiplier", "pixel_loss"),
            *("pixel_loss_weight", "perceptual_loss_weight"),
            *("discriminator_every", "adversarial_loss"),
            *("adversarial_loss_weight", "lecam_weight"),
            "gradient_penalty_weight",
        )
        start = self._steps("discriminator_start_epoch")
        if self.settings["discriminator"]:
            every = self.settings["discriminator_every"]
            schedule = self._schedule("discriminator_learning_rate")
            arguments["discriminator_optimizer"] = self._optimizer(
                keras.optimizers.Adam,
                StridedSchedule(schedule, every, start),
                **self._take("beta_1", "beta_2"),
            )
        return {
            **arguments,
            **self._compilation(),
            "optimizer": self._main_optimizer(keras.optimizers.Adam),
            "perceptual_model": self._perceptual_model(),
            "discriminator": self._discriminator(),
            "discriminator_start": start,
            "adversarial_start": self._steps("adversarial_start_epoch"),
            "prior_loss_weight": self._ramp(
                "prior_loss_weight",
                0.0,
                "prior_loss_ramp_epochs",
                self._steps("prior_loss_start_epoch"),
            ),
            "quantizer_loss_weight": self._ramp(
                "quantizer_loss_weight",
                self.settings["quantizer_loss_warmup_ratio"],
                "quantizer_loss_warmup_epochs",
            ),
            "temperature_schedule": self._temperature_schedule(),
            "total_steps": self.total_steps,
        }

    def _ramp(self, name, start_share, epochs, first_step=0):
        """A weight, or a ramp up to it."""
        weight, steps = self.settings[name], self._steps(epochs)
        if not steps and not first_step:
            return weight
        start = start_share * weight
        return LinearRamp(start, weight, max(steps, 1), first_step)

    def _temperature_schedule(self):
        start = self.settings["temperature_start"]
        if start is None:
            return None
        steps = max(self._steps("temperature_epochs"), 1)
        return LinearRamp(start, self.settings["temperature"], steps)

    def _perceptual_model(self):
        model = self.settings["perceptual_model"]
        if model == "random":
            # VGG16 with seeded weights: for trials without the real ones.
            return models.LPIPS(seed=0)
        return presets.load(model) if isinstance(model, str) else model

    def _discriminator(self):
        if not self.settings["discriminator"]:
            return None
        return models.VideoDiscriminator(
            hidden_dim=self.settings["discriminator_hidden_dim"],
            num_layers=self.settings["discriminator_num_layers"],
            num_heads=self.settings["discriminator_num_heads"],
            # What these two do cannot be computed twice.
            gradient_checkpointing=self.settings["gradient_checkpointing"]
            and not self.settings["spectral_normalization"]
            and not self.settings["gradient_penalty_weight"],
            **self._take("num_frames", "image_size", "patch_size", "dtype"),
            **self._take("spectral_normalization"),
        )


class GeneratorRecipe(Recipe):
    """How an `ARVideoGenerator` is made and trained."""

    def build(self, class_names=None, dataset=None):
        """A compiled `ARVideoGenerator`.

        Args:
            class_names: Optional list of strings, names that it knows its
                classes by.
            dataset: The data set of training, where the recipe was made
                without `steps_per_epoch`.

        Raises:
            ValueError: where steps are asked for and not given.
        """
        arguments = self.for_data(dataset).compile_arguments()
        generator = models.ARVideoGenerator.from_size(
            self.settings["size"],
            class_names=class_names,
            **self.model_arguments(),
        )
        generator.compile(**arguments)
        return generator

    def model_arguments(self):
        """Arguments of `ARVideoGenerator.from_size`, besides the size."""
        return self._take(
            *("vocab_size", "num_tokens", "num_classes", "conditioning"),
            *("class_dropout", "token_dropout", "dropout", "drop_path"),
            *("num_condition_frames", "dtype", "gradient_checkpointing"),
        )

    def compile_arguments(self):
        """Arguments of `ARVideoGenerator.compile`."""
        return {
            **self._compilation(),
            "optimizer": self._main_optimizer(
                keras.optimizers.AdamW, **self._take("weight_decay")
            ),
        }


RECIPES = {
    "larp_l_long_tokenizer": larp_l_long_tokenizer,
    "larp_l_long_generator": larp_l_long_generator,
    "larp_l_long_frame_prediction": larp_l_long_frame_prediction,
    "small_data_tokenizer": small_data_tokenizer,
    "small_data_generator": small_data_generator,
}


def _merged(settings, overrides):
    for name in overrides:
        if name not in settings:
            close = difflib.get_close_matches(name, settings)
            hint = f" Did you mean {' or '.join(close)}?" if close else ""
            raise ValueError(f"This recipe has no setting {name!r}.{hint}")
    return {**settings, **overrides}

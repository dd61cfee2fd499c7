import dataclasses
import typing

import keras

from keras_larp.recipes import setting
from keras_larp.recipes.setting import REQUIRED, list_settings
from keras_larp.training.schedules import WarmupCosine
from keras_larp.utils.checks import check_integer
from keras_larp.utils.suggestions import did_you_mean

Dtype = typing.Literal["float32", "mixed_float16", "mixed_bfloat16"]
# Muon is for matrices that map one space to another. Embedding tables, vectors
# and the output layer of a prior or generator are trained with Adam, at this
# ratio of the learning rate.
NOT_MUON = ("codebook", "positions", "table", "head")
MUON_ADAM_RATIO = 0.1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """Settings of a training run that tokenizers and generators share.

    Attributes:
        name: String. Name of the recipe.
        steps_per_epoch: Integer. Batches per epoch, or `None` until
            `for_data` has set it to one pass over a dataset.
    """

    name: str
    steps_per_epoch: int | None = None

    epochs: int = setting.data(
        REQUIRED,
        "Number of epochs. The learning rate decays over all of them.",
    )
    batch_size: int = setting.data(REQUIRED, "Clips per batch.")
    horizontal_flip: bool = setting.data(
        True,
        "Mirror each training clip with probability 0.5, except for data "
        "whose classes have a direction.",
        "rand_flip = yes",
    )

    num_tokens: int = setting.model(REQUIRED, "Tokens per clip.")
    dtype: Dtype = setting.model(
        REQUIRED,
        "Keras dtype policy: float32, mixed_float16 or mixed_bfloat16.",
    )
    gradient_checkpointing: bool = setting.model(
        False,
        "Recompute activations in the backward pass. Saves memory, and a step "
        "takes about a third longer.",
    )
    torch_compile: bool = setting.model(
        False,
        "PyTorch only: compile blocks and losses with torch.compile, which "
        "takes about a minute and speeds up steps on GPUs.",
    )

    optimizer: typing.Literal["adam", "muon"] = setting.optimizer(
        "adam",
        "Optimizer. muon updates weight matrices with Muon and all other "
        "weights with Adam at a tenth of the learning rate.",
    )
    learning_rate: float = setting.optimizer(
        REQUIRED, "Peak learning rate, after the warmup."
    )
    warmup_epochs: float = setting.optimizer(
        REQUIRED, "Epochs of linear learning-rate warmup."
    )
    min_lr_ratio: float = setting.optimizer(
        0.01,
        "Learning rate at the end of the cosine decay, as a ratio of the "
        "peak, in [0, 1].",
        "optimizer.min_lr_mult = 0.01",
    )
    beta_1: float = setting.optimizer(
        REQUIRED, "Adam's decay rate of the first moment, in [0, 1)."
    )
    beta_2: float = setting.optimizer(
        REQUIRED, "Adam's decay rate of the second moment, in [0, 1)."
    )
    epsilon: float = setting.optimizer(
        1e-8, "Adam's epsilon.", "eps = 1e-8, the default of PyTorch"
    )
    global_clipnorm: float | None = setting.optimizer(
        None,
        "Maximum global gradient norm; tokenizer, prior and discriminator are "
        "clipped separately. None disables clipping.",
        "clip_grad_max_norm = off",
    )
    gradient_accumulation_steps: int | None = setting.optimizer(
        None,
        "Batches per optimizer update. Schedules and ramps count batches. "
        "None updates after every batch.",
    )
    ema_decay: float | None = setting.optimizer(
        None,
        "Decay rate of the exponential moving average of the weights, in "
        "[0, 1). None disables averaging.",
        "ema_decay = off",
    )

    def __post_init__(self):
        for entry in list_settings(self):
            entry.check(getattr(self, entry.name))
        if self.steps_per_epoch is not None:
            check_integer("steps_per_epoch", self.steps_per_epoch, 1)

    @classmethod
    def from_settings(cls, name, steps_per_epoch, settings):
        """Returns a recipe with the given settings and defaults for the rest.

        Args:
            name: String. Name of the recipe.
            steps_per_epoch: Integer or `None`.
            settings: Dictionary of settings that differ from the defaults.

        Raises:
            ValueError: If a setting does not exist.
        """
        known = [entry.name for entry in list_settings(cls)]
        for entry in settings:
            if entry not in known:
                raise ValueError(
                    f"{name} has no setting {entry!r}."
                    f"{did_you_mean(entry, known)}"
                )
        return cls(name=name, steps_per_epoch=steps_per_epoch, **settings)

    def __str__(self):
        steps = self.steps_per_epoch
        epoch = "one pass over the data" if steps is None else f"{steps} steps"
        lines, group = [f"{self.name} (one epoch: {epoch})"], None
        for entry in list_settings(self):
            if entry.group != group:
                group = entry.group
                lines += ["", group]
            value = str(getattr(self, entry.name))
            lines.append(f"  {entry.name:30} {value:22} {entry.description}")
        return "\n".join(lines)

    @property
    def settings(self) -> dict[str, typing.Any]:
        """Dictionary of all settings, by name."""
        return self._select(*(entry.name for entry in list_settings(self)))

    def for_data(self, dataset: typing.Any) -> typing.Self:
        """Returns this recipe with the number of steps per pass over a dataset.

        Args:
            dataset: A dataset with `steps_per_epoch`, such as the result of
                `keras_larp.data.video_dataset`. Recipes that have a
                `steps_per_epoch` already are returned unchanged.
        """
        steps = getattr(dataset, "steps_per_epoch", None)
        if self.steps_per_epoch is not None or steps is None:
            return self
        return dataclasses.replace(self, steps_per_epoch=steps)

    @property
    def total_steps(self) -> int:
        """Integer. Steps of the complete run."""
        return self._to_steps(self.epochs)

    def fit_arguments(self) -> dict[str, typing.Any]:
        """Returns the keyword arguments of `fit`, except for the data."""
        callbacks = []
        if self.ema_decay is not None:
            callbacks.append(keras.callbacks.SwapEMAWeights())
        return {
            "epochs": self.epochs,
            "steps_per_epoch": self.steps_per_epoch,
            "callbacks": callbacks,
        }

    def _select(self, *names):
        return {name: getattr(self, name) for name in names}

    def _to_steps(self, epochs):
        if self.steps_per_epoch is None:
            raise ValueError(
                f"The recipe {self.name} counts in epochs, but the number of "
                "steps per epoch is unknown. Pass `steps_per_epoch` to the "
                "recipe, or pass `build` (or `for_data`) a dataset that has "
                "`steps_per_epoch`, such as those of `keras_larp.data`."
            )
        return round(epochs * self.steps_per_epoch)

    def _schedule(self, peak):
        return WarmupCosine(
            peak,
            self.total_steps,
            self._to_steps(self.warmup_epochs),
            self.min_lr_ratio,
        )

    def _jit_compile(self):
        on_torch = keras.backend.backend() == "torch"
        return True if on_torch and self.torch_compile else "auto"

    def _main_optimizer(self, adam_class, **options):
        """Returns the optimizer of all weights except the discriminator's.

        Args:
            adam_class: `keras.optimizers.Adam` or `keras.optimizers.AdamW`.
            **options: Further arguments of `adam_class`.
        """
        if self.ema_decay is not None:
            options |= {"use_ema": True, "ema_momentum": self.ema_decay}
        schedule = self._schedule(self.learning_rate)
        if self.optimizer == "adam":
            options |= self._select("beta_1", "beta_2")
            return self._make_optimizer(adam_class, schedule, **options)
        decay = options.pop("weight_decay", None)
        return self._make_optimizer(
            keras.optimizers.Muon,
            schedule,
            adam_beta_1=self.beta_1,
            adam_beta_2=self.beta_2,
            adam_lr_ratio=MUON_ADAM_RATIO,
            exclude_layers=list(NOT_MUON),
            weight_decay=decay,
            adam_weight_decay=decay,
            **options,
        )

    def _make_optimizer(self, optimizer_class, schedule, **options):
        return optimizer_class(
            schedule,
            **options,
            **self._select(
                "epsilon", "global_clipnorm", "gradient_accumulation_steps"
            ),
        )

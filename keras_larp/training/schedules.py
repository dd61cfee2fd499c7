"""Schedules: values that depend on the step."""

import math
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_larp.backend.clamp import clamp
from keras_larp.utils.checks import check_integer, check_number


@keras.saving.register_keras_serializable(package="keras_larp")
class LinearRamp(keras.optimizers.schedules.LearningRateSchedule):
    """Interpolates linearly between two values, and is constant outside.

    For loss weights (such as a warm-up of the quantizer loss, or a prior loss
    that starts later) and for the quantizer's temperature.

    Args:
        start_value: Float. The value up to the first step.
        end_value: Float. The value from the end of the ramp on.
        num_steps: Integer. Length of the ramp.
        first_step: Integer. Step at which the ramp begins. Defaults to 0.

    Example:

    ```python
    ramp = keras_larp.training.schedules.LinearRamp(0.0, 0.06, 1000)
    ramp(500)  # 0.03
    ```
    """

    def __init__(
        self,
        start_value: float,
        end_value: float,
        num_steps: int,
        first_step: int = 0,
    ):
        check_number("start_value", start_value)
        check_number("end_value", end_value)
        check_number("num_steps", num_steps, "[1, inf)")
        check_number("first_step", first_step)
        self.start_value = start_value
        self.end_value = end_value
        self.num_steps = num_steps
        self.first_step = first_step

    def __call__(self, step):
        steps = ops.cast(step, "float32") - self.first_step
        progress = clamp(steps / self.num_steps, 0.0, 1.0)
        return self.start_value + progress * (self.end_value - self.start_value)

    def get_config(self):
        return {
            "start_value": self.start_value,
            "end_value": self.end_value,
            "num_steps": self.num_steps,
            "first_step": self.first_step,
        }


@keras.saving.register_keras_serializable(package="keras_larp")
class WarmupCosine(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up followed by cosine decay, as in the reference
    implementation.

    Both start or end at `min_lr_ratio * peak`. (Keras' `CosineDecay` counts
    the steps of its warm-up from 0 instead of 1, and its warm-up has no
    configurable lower end.)

    Args:
        peak: Float. The highest learning rate.
        total_steps: Integer. Number of steps of the run.
        warmup_steps: Integer. Number of steps of the warm-up. Defaults to 0.
        min_lr_ratio: Float. Ratio of the lowest learning rate to the highest.
            Defaults to 0.01.

    Example:

    ```python
    schedule = keras_larp.training.schedules.WarmupCosine(1e-4, 1000, 100)
    schedule(99)  # 1e-4, at the hundredth step
    ```

    Reference:
        - [LARP](https://arxiv.org/abs/2410.21264), section 4.1
    """

    def __init__(
        self,
        peak: float,
        total_steps: int,
        warmup_steps: int = 0,
        min_lr_ratio: float = 0.01,
    ):
        check_number("peak", peak)
        check_number("total_steps", total_steps, "[1, inf)")
        check_number("warmup_steps", warmup_steps)
        check_number("min_lr_ratio", min_lr_ratio, "[0, 1]")
        if warmup_steps >= total_steps:
            raise ValueError(
                "The warm-up must be shorter than the run. Received: "
                f"warmup_steps={warmup_steps}, total_steps={total_steps}"
            )
        self.peak = peak
        self.total_steps = total_steps
        self.warmup_steps = warmup_steps
        self.min_lr_ratio = min_lr_ratio

    def __call__(self, step):
        step = ops.cast(step, "float32") + 1.0  # Counted from 1.
        warmup = step / max(self.warmup_steps, 1)
        decay_steps = self.total_steps - self.warmup_steps
        progress = clamp((step - self.warmup_steps) / decay_steps, 0.0, 1.0)
        decay = 0.5 * (ops.cos(math.pi * progress) + 1.0)
        factor = ops.where(step <= self.warmup_steps, warmup, decay)
        return self.peak * (
            self.min_lr_ratio + (1.0 - self.min_lr_ratio) * factor
        )

    def get_config(self):
        return {
            "peak": self.peak,
            "total_steps": self.total_steps,
            "warmup_steps": self.warmup_steps,
            "min_lr_ratio": self.min_lr_ratio,
        }


@keras.saving.register_keras_serializable(package="keras_larp")
class StridedSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule over the steps of a run, for an optimizer that is applied
    only every few steps.

    Keras evaluates a schedule at the number of updates of its optimizer. The
    discriminator's optimizer makes one update every `every` steps, whereas
    schedules of the reference implementation count all steps.

    Args:
        schedule: A schedule over the steps of the run.
        every: Integer. Steps between two updates, which take place at steps
            `every - 1`, `2 * every - 1`, and so on.
        start: Integer. First step at which an update may take place. Defaults
            to 0.

    Example:

    ```python
    warmup = keras_larp.training.schedules.WarmupCosine(1e-4, 1000, 100)
    schedule = keras_larp.training.schedules.StridedSchedule(warmup, every=5)
    schedule(19)  # 1e-4: the 20th update is at the 100th step
    ```
    """

    def __init__(
        self,
        schedule: keras.optimizers.schedules.LearningRateSchedule,
        every: int,
        start: int = 0,
    ):
        self.schedule = schedule
        self.every = check_integer("every", every, 1)
        self.start = check_integer("start", start, 0)

    def __call__(self, update):
        skipped_updates = self.start // self.every
        update = ops.cast(update, "float32") + skipped_updates + 1.0
        return self.schedule(update * self.every - 1.0)

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        return {
            "schedule": serialize(self.schedule),
            "every": self.every,
            "start": self.start,
        }

    @classmethod
    def from_config(cls, config):
        schedule = keras.saving.deserialize_keras_object(config["schedule"])
        return cls(schedule, config["every"], config["start"])


def value_at(weight: float | Callable[[Any], Any], step: Any) -> Any:
    """The value of a loss weight, a float or a schedule, at a step."""
    return weight(step) if callable(weight) else weight

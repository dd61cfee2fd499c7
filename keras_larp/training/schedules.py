"""Schedules: numbers that depend on the step."""

import math

import keras
from keras import ops

from keras_larp.backend.clamp import clamp_max, clamp_min


@keras.saving.register_keras_serializable(package="keras_larp")
class LinearRamp(keras.optimizers.schedules.LearningRateSchedule):
    """Goes in a straight line from one value to another, and stays there.

    For loss weights (a warm-up of the codebook loss, a prior loss that sets
    in later) and for the quantizer's temperature.

    Args:
        start_value: Float, the value before and at the first step.
        end_value: Float, the value at the end of the ramp and after it.
        num_steps: Integer, length of the ramp.
        first_step: Integer, step at which the ramp begins.

    Example:

    ```python
    ramp = keras_larp.training.schedules.LinearRamp(0.0, 0.06, 1000)
    ramp(500)  # 0.03
    ```
    """

    def __init__(self, start_value, end_value, num_steps, first_step=0):
        if num_steps < 1:
            raise ValueError(
                f"A ramp takes at least one step. Received: {num_steps}"
            )
        self.start_value = start_value
        self.end_value = end_value
        self.num_steps = num_steps
        self.first_step = first_step

    def __call__(self, step):
        passed = ops.cast(step, "float32") - self.first_step
        part = _share(passed / self.num_steps)
        return self.start_value + part * (self.end_value - self.start_value)

    def get_config(self):
        return {
            "start_value": self.start_value,
            "end_value": self.end_value,
            "num_steps": self.num_steps,
            "first_step": self.first_step,
        }


@keras.saving.register_keras_serializable(package="keras_larp")
class WarmupCosine(keras.optimizers.schedules.LearningRateSchedule):
    """The authors' learning rate: a linear warm-up, then half a cosine.

    Both begin and end at a share of the peak. (Keras' `CosineDecay` with a
    warm-up counts its steps from 0 where the authors count from 1, and has
    no lower end of the warm-up.)

    Args:
        peak: Float, the highest learning rate.
        total_steps: Integer, steps of the whole run.
        warmup_steps: Integer, steps up to the peak.
        min_lr_ratio: Float, lowest value over the peak, at both ends.

    Example:

    ```python
    schedule = keras_larp.training.schedules.WarmupCosine(1e-4, 1000, 100)
    schedule(99)  # 1e-4, at the hundredth step
    ```

    Reference:
        - [LARP](https://arxiv.org/abs/2410.21264), section 4.1
    """

    def __init__(self, peak, total_steps, warmup_steps=0, min_lr_ratio=0.01):
        if not 0 <= warmup_steps < total_steps:
            raise ValueError(
                "A warm-up is shorter than the run. Received: "
                f"warmup_steps={warmup_steps}, total_steps={total_steps}"
            )
        self.peak = peak
        self.total_steps = total_steps
        self.warmup_steps = warmup_steps
        self.min_lr_ratio = min_lr_ratio

    def __call__(self, step):
        number = ops.cast(step, "float32") + 1.0
        up = number / max(self.warmup_steps, 1)
        rest = self.total_steps - self.warmup_steps
        part = _share((number - self.warmup_steps) / rest)
        down = 0.5 * (ops.cos(math.pi * part) + 1.0)
        share = ops.where(number <= self.warmup_steps, up, down)
        return self.peak * (
            self.min_lr_ratio + (1.0 - self.min_lr_ratio) * share
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
    """A schedule over a run's steps, for an optimizer that acts on few of them.

    Keras asks an optimizer's schedule for its value by the number of updates
    that the optimizer made. That of a discriminator makes one at each
    `every`-th step, while the authors' schedules count all steps.

    Args:
        schedule: A schedule over the steps of the run.
        every: Integer, steps from one turn to the next; turns are at steps
            `every - 1`, `2 * every - 1` and so on.
        start: Integer, steps before which there is no turn.

    Example:

    ```python
    warmup = keras_larp.training.schedules.WarmupCosine(1e-4, 1000, 100)
    schedule = keras_larp.training.schedules.StridedSchedule(warmup, every=5)
    schedule(19)  # 1e-4: the twentieth turn is at the hundredth step
    ```
    """

    def __init__(self, schedule, every, start=0):
        self.schedule = schedule
        self.every = every
        self.start = start

    def __call__(self, turn):
        missed = self.start // self.every
        number = ops.cast(turn, "float32") + missed + 1.0
        return self.schedule(number * self.every - 1.0)

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


def value_at(weight, step):
    """A loss weight at a step: a number, or a schedule's value."""
    return weight(step) if callable(weight) else weight


def _share(x):
    """`x`, at least 0 and at most 1."""
    return clamp_max(clamp_min(x, 0.0), 1.0)

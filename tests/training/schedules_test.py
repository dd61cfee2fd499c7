import math

import keras
import numpy as np
import pytest
from keras import ops

from keras_larp.training.schedules import (
    LinearRamp,
    StridedSchedule,
    WarmupCosine,
)


def value(schedule, step):
    return float(ops.convert_to_numpy(schedule(step)))


def test_ramp_interpolates_linearly():
    ramp = LinearRamp(0.2, 1.0, num_steps=4, first_step=10)
    received = [value(ramp, step) for step in (0, 10, 11, 12, 14, 99)]
    expected = [0.2, 0.2, 0.4, 0.6, 1.0, 1.0]
    np.testing.assert_allclose(received, expected, rtol=1e-6)


def test_learning_rate_equals_the_reference_implementation():
    # It counts steps from 1: linear from 0.1 to 1, then half a cosine.
    schedule = WarmupCosine(2.0, 30, warmup_steps=10, min_lr_ratio=0.1)
    for step in range(1, 31):
        if step <= 10:
            ratio = 0.1 + 0.9 * step / 10
        else:
            cosine = math.cos(math.pi * (step - 10) / 20)
            ratio = 0.1 + 0.9 * 0.5 * (cosine + 1)
        received = value(schedule, step - 1)
        np.testing.assert_allclose(received, 2.0 * ratio, rtol=1e-5)


def test_schedules_serialize():
    cosine = WarmupCosine(1e-3, 20, 4)
    for schedule in (
        LinearRamp(0.0, 1.0, 5),
        cosine,
        StridedSchedule(cosine, 2, 3),
    ):
        config = keras.saving.serialize_keras_object(schedule)
        again = keras.saving.deserialize_keras_object(config)
        assert value(again, 3) == value(schedule, 3)


@pytest.mark.parametrize("start", [0, 1, 2, 3, 7])
def test_strided_schedule_has_the_value_of_the_step_of_each_update(start):
    ramp = LinearRamp(0.0, 1.0, 100)
    steps = [n for n in range(30) if (n + 1) % 3 == 0 and n >= start]
    schedule = StridedSchedule(ramp, 3, start)
    received = [value(schedule, i) for i in range(len(steps))]
    np.testing.assert_allclose(received, [n / 100 for n in steps], rtol=1e-5)


def test_a_warm_up_longer_than_the_run_is_rejected():
    with pytest.raises(ValueError, match="warmup_steps=20, total_steps=20"):
        WarmupCosine(1e-3, 20, 20)
    with pytest.raises(ValueError, match="num_steps=0"):
        LinearRamp(0.0, 1.0, 0)


@pytest.mark.once
@pytest.mark.parametrize(
    "name, arguments",
    [
        ("start_value", (float("nan"), 1.0, 10)),
        ("end_value", (0.0, "1", 10)),
        ("num_steps", (0.0, 1.0, float("inf"))),
        ("first_step", (0.0, 1.0, 10, -1)),
    ],
)
def test_invalid_ramps_are_refused(name, arguments):
    with pytest.raises(ValueError, match=f"`{name}` must be a finite number"):
        LinearRamp(*arguments)


@pytest.mark.once
@pytest.mark.parametrize(
    "name, arguments",
    [
        ("peak", (-1e-4, 10)),
        ("total_steps", (1e-4, float("nan"))),
        ("warmup_steps", (1e-4, 10, -1)),
        ("min_lr_ratio", (1e-4, 10, 0, 2.0)),
    ],
)
def test_invalid_warmups_are_refused(name, arguments):
    with pytest.raises(ValueError, match=f"`{name}` must be a finite number"):
        WarmupCosine(*arguments)

import math

import keras
import pytest

from keras_larp import metrics
from keras_larp.metrics.mean import Mean


@pytest.mark.parametrize("metric", [Mean(), metrics.PSNR(), metrics.SSIM()])
def test_mean_of_nothing_is_nan(metric):
    assert math.isnan(float(metric.result()))


def test_mean_of_values_with_weight_zero_is_nan():
    metric = Mean()
    metric.update_state([1.0, 2.0], sample_weight=[0.0, 0.0])
    assert math.isnan(float(metric.result()))
    metric.update_state([3.0, 5.0], sample_weight=[1.0, 0.0])
    assert float(metric.result()) == 3.0
    metric.reset_state()
    assert math.isnan(float(metric.result()))


def test_mean_survives_serialization():
    config = keras.saving.serialize_keras_object(Mean(name="loss"))
    assert keras.saving.deserialize_keras_object(config).name == "loss"

"""Discriminator losses, compared with NumPy formulas."""

import numpy as np
import pytest
from keras import ops

from keras_larp import losses


@pytest.mark.parametrize("size", [1.0, 10.0])
def test_label_smoothing_is_limited_to_three_tenths(size):
    generator = np.random.default_rng(0)
    real, fake = generator.normal(size=(2, 64, 1)).astype("float32")
    noise = size * generator.normal(size=(2, 64, 1)).astype("float32")
    smoothing = 0.15 * np.abs(noise)
    # Some smoothing is above the limit, some below.
    assert (smoothing > 0.3).any() and (smoothing < 0.3).any()
    target_real = np.maximum(1.0 - smoothing[0], 0.7)
    target_fake = np.minimum(smoothing[1], 0.3)

    def cross_entropy(logits, targets):
        probability = 1.0 / (1.0 + np.exp(-logits.astype("float64")))
        positive = targets * np.log(probability)
        negative = (1.0 - targets) * np.log(1.0 - probability)
        return -np.mean(positive + negative)

    received = losses.discriminator_loss(
        real, fake, "non_saturating_smooth", noise
    )
    expected = cross_entropy(real, target_real)
    expected += cross_entropy(fake, target_fake)
    np.testing.assert_allclose(
        ops.convert_to_numpy(received), expected, rtol=1e-5
    )

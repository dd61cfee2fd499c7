"""Losses of the discriminator, against formulas in NumPy."""

import numpy as np
import pytest
from keras import ops

from keras_larp import losses


@pytest.mark.parametrize("size", [1.0, 10.0])
def test_smoothed_targets_move_by_the_noise_and_by_three_tenths_at_most(size):
    generator = np.random.default_rng(0)
    real, fake = generator.normal(size=(2, 64, 1)).astype("float32")
    noise = size * generator.normal(size=(2, 64, 1)).astype("float32")
    moved = 0.15 * np.abs(noise)
    # The larger noise is nearly always beyond what moves targets.
    assert (moved > 0.3).any() and (moved < 0.3).any()
    true, false = np.maximum(1.0 - moved[0], 0.7), np.minimum(moved[1], 0.3)

    def cross_entropy(logits, targets):
        probability = 1.0 / (1.0 + np.exp(-logits.astype("float64")))
        positive = targets * np.log(probability)
        negative = (1.0 - targets) * np.log(1.0 - probability)
        return -np.mean(positive + negative)

    received = losses.discriminator_loss(
        real, fake, "non_saturating_smooth", noise
    )
    expected = cross_entropy(real, true) + cross_entropy(fake, false)
    np.testing.assert_allclose(
        ops.convert_to_numpy(received), expected, rtol=1e-5
    )

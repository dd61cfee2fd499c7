"""Loss functions, computed in float32."""

from keras_larp.losses.adversarial import (
    adversarial_loss,
    discriminator_loss,
    lecam_penalty,
)
from keras_larp.losses.token_cross_entropy import token_cross_entropy

__all__ = [
    "discriminator_loss",
    "adversarial_loss",
    "lecam_penalty",
    "token_cross_entropy",
]

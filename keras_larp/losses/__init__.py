"""Losses, each a function of tensors, computed in float32."""

from keras_larp.losses.token_cross_entropy import token_cross_entropy

__all__ = ["token_cross_entropy"]

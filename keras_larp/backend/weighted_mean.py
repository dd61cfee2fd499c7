from keras import ops

from keras_larp.backend.clamp import clamp_min
from keras_larp.backend.replicas import mean_over_replicas


def weighted_mean(values, sample_weight=None, normalize=False):
    """Mean of values that are multiplied by the weights of their samples.

    Args:
        values: Float tensor `(B, ...)`.
        sample_weight: float32 tensor `(B,)`, or `(B, N)` with weights of
            tokens, or `None` for equal weights. Defaults to `None`.
        normalize: Boolean. Whether to divide by the sum of the weights, as in
            a mean of measurements, instead of the batch size, as in Keras'
            losses. The mean is then over the clips of all replicas; without
            it, the loss that it belongs to is averaged over them later.
            Defaults to `False`.

    Returns:
        Scalar.
    """
    if sample_weight is None:
        mean = ops.mean(values)
        return mean_over_replicas(mean) if normalize else mean
    values = ops.cast(values, "float32")
    axes = tuple(range(len(sample_weight.shape), len(values.shape)))
    values = ops.mean(values, axis=axes)  # The shape of the weights.
    mean = ops.mean(values * sample_weight)
    if normalize:
        total = mean_over_replicas(ops.mean(sample_weight))
        mean = mean_over_replicas(mean) / clamp_min(total, 1e-12)
    return mean


def token_weights(token_mask, sample_weight=None):
    """Weights of tokens with which `weighted_mean` is the mean over clips of
    the means over their tokens of a mask.

    Args:
        token_mask: float32 tensor `(B, N)` of 0 and 1, or `None` for all
            tokens.
        sample_weight: float32 tensor `(B,)`. Weights of the clips; `None` for
            equal weights.

    Returns:
        float32 tensor `(B, N)`; without a mask, `sample_weight`.
    """
    if token_mask is None:
        return sample_weight
    share = ops.mean(token_mask, axis=1, keepdims=True)  # (B, 1)
    # A clip without a token counts as 0.
    weights = token_mask / clamp_min(share, 0.5 / token_mask.shape[1])
    return (
        weights if sample_weight is None else weights * sample_weight[:, None]
    )

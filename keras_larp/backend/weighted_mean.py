from keras import ops

from keras_larp.backend.clamp import clamp_min
from keras_larp.backend.replicas import mean_over_replicas


def weighted_mean(values, sample_weight=None, normalize=False):
    """Mean of values that are multiplied by the weights of their samples.

    Args:
        values: Float tensor `(B, ...)`.
        sample_weight: float32 tensor `(B,)`, or `None` for equal weights.
            Defaults to `None`.
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
    values = ops.mean(values, axis=tuple(range(1, len(values.shape))))  # (B,)
    mean = ops.mean(values * sample_weight)
    if normalize:
        total = mean_over_replicas(ops.mean(sample_weight))
        mean = mean_over_replicas(mean) / clamp_min(total, 1e-12)
    return mean

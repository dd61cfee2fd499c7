from keras import ops

from keras_larp.backend.clamp import clamp_min


def weighted_mean(values, sample_weight=None, normalize=False):
    """Mean of values that are multiplied by the weights of their samples.

    Args:
        values: Float tensor `(B, ...)`.
        sample_weight: float32 tensor `(B,)`, or `None` for equal weights.
            Defaults to `None`.
        normalize: Boolean. Whether to divide by the sum of the weights, as in
            a mean of measurements, instead of the batch size, as in Keras'
            losses. Defaults to `False`.

    Returns:
        Scalar.
    """
    if sample_weight is None:
        return ops.mean(values)
    values = ops.cast(values, "float32")
    values = ops.mean(values, axis=tuple(range(1, len(values.shape))))  # (B,)
    mean = ops.mean(values * sample_weight)
    if normalize:
        mean = mean / clamp_min(ops.mean(sample_weight), 1e-12)
    return mean

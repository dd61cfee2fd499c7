from keras import ops

from keras_larp.metrics.mean import Mean
from keras_larp.metrics.moving_pixels import (
    THRESHOLD,
    check_motion_inputs,
    check_threshold,
)
from keras_larp.utils.input_checks import check_sample_weight


class MotionMetric(Mean):
    """Mean over clips of a value of some of their pixels.

    Clips without such pixels do not count.

    Args:
        threshold: Float in (0, 1). See `moving_pixels`.
        name: String.
        dtype: Data type of the mean.
    """

    def __init__(self, threshold=THRESHOLD, name=None, dtype=None):
        check_threshold(threshold)
        super().__init__(name=name, dtype=dtype)
        self.threshold = threshold

    def measure(self, videos, reconstructions):
        """Returns the values of clips, float32 `(B,)`, NaN without such
        pixels, and the mask of the pixels, `(B, T or T - 1, H, W, 1)`."""
        raise NotImplementedError

    def update_state(self, y_true, y_pred, sample_weight=None):
        check_motion_inputs(self.name, y_true, y_pred)
        check_sample_weight(sample_weight, y_true.shape[0])
        values, mask = self.measure(y_true, y_pred)
        defined = ops.any(mask, axis=(1, 2, 3, 4))  # (B,)
        # NaN times a weight of 0 would be NaN. Other NaN values remain.
        values = ops.where(defined, values, ops.zeros_like(values))
        weight = ops.cast(defined, "float32")
        if sample_weight is not None:
            weight = weight * ops.cast(sample_weight, "float32")
        return super().update_state(values, weight)

    def get_config(self):
        return {
            "threshold": self.threshold,
            "name": self.name,
            "dtype": self.dtype,
        }

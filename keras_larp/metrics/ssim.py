import keras
import numpy as np
from keras import ops

from keras_larp.metrics.mean import Mean
from keras_larp.metrics.psnr import check_unit_interval
from keras_larp.utils.input_checks import check_pair, check_sample_weight
from keras_larp.utils.typing import Tensor

WINDOW_SIZE, SIGMA = 11, 1.5


def ssim(videos: Tensor, reconstructions: Tensor) -> Tensor:
    """Structural similarity of clips in [0, 1], averaged over frames.

    Statistics are computed per frame and channel in an 11 x 11 Gaussian
    window (standard deviation 1.5) at each position at which the window lies
    inside the frame. The constants are `0.01 ** 2` and `0.03 ** 2`.

    Args:
        videos: Float tensor `(B, T, H, W, C)` of clips, or `(B, H, W, C)` of
            frames, in [0, 1]; `H` and `W` are at least 11.
        reconstructions: Float tensor of the same shape, in [0, 1].

    Returns:
        float32 tensor `(B,)`, at most 1: the mean over positions, channels
        and frames.

    Raises:
        ValueError: If shapes differ, the rank is wrong, frames are too small,
            the dtype is not floating-point, or values are those of 8-bit
            video or in [-1, 1].

    Example:

    ```python
    video = keras.random.uniform((2, 4, 32, 32, 3))
    similarities = keras_larp.metrics.ssim(video, 0.9 * video)  # (2,)
    ```

    Reference:
        - [SSIM](https://doi.org/10.1109/TIP.2003.819861)
    """
    check_pair(videos, reconstructions, min_size=WINDOW_SIZE)
    check_unit_interval("ssim", videos, reconstructions)
    x = ops.cast(videos, "float32")
    y = ops.cast(reconstructions, "float32")
    mean_x, mean_y = _window_means(x), _window_means(y)
    variances = _window_means(x * x + y * y) - mean_x * mean_x - mean_y * mean_y
    covariance = _window_means(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + 0.01**2) / (
        mean_x * mean_x + mean_y * mean_y + 0.01**2
    )
    structure = (2 * covariance + 0.03**2) / (variances + 0.03**2)
    return ops.mean(luminance * structure, axis=tuple(range(1, len(x.shape))))


def _window_means(x):
    """Gaussian-weighted means over windows: `(..., H - 10, W - 10, C)`."""
    offsets = np.arange(WINDOW_SIZE) - WINDOW_SIZE // 2
    weights = np.exp(-(offsets**2) / (2 * SIGMA**2))
    weights = (weights / weights.sum()).astype("float32")
    # Sum shifted frames in float32. Convolutions may use TF32, which is too
    # coarse for differences of squares.
    height, width = (size - WINDOW_SIZE + 1 for size in x.shape[-3:-1])
    x = sum(w * x[..., i : i + height, :, :] for i, w in enumerate(weights))
    return sum(w * x[..., i : i + width, :] for i, w in enumerate(weights))


@keras.saving.register_keras_serializable(package="keras_larp")
class SSIM(Mean):
    """Mean structural similarity over clips; see `ssim`.

    Args:
        name: String. Defaults to `"ssim"`.
        dtype: Data type of the mean. Defaults to `"float32"`.

    Call arguments (of `update_state`):
        y_true: Float tensor `(B, T, H, W, C)` or `(B, H, W, C)`, in [0, 1].
        y_pred: Float tensor of the same shape, in [0, 1].
        sample_weight: Float tensor `(B,)`, or `None`.

    Example:

    ```python
    metric = keras_larp.metrics.SSIM()
    video = keras.random.uniform((2, 4, 32, 32, 3))
    metric.update_state(video, 0.9 * video)
    metric.result()
    ```
    """

    def __init__(self, name="ssim", dtype=None):
        super().__init__(name=name, dtype=dtype)

    def update_state(self, y_true, y_pred, sample_weight=None):
        values = ssim(y_true, y_pred)
        check_sample_weight(sample_weight, values.shape[0])
        return super().update_state(values, sample_weight)

    def get_config(self):
        return {"name": self.name, "dtype": self.dtype}

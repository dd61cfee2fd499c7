import warnings

import keras

from keras_larp.utils.checks import check_number


class CodebookCollapseWarning(keras.callbacks.Callback):
    """Warns if a tokenizer uses few of its codes, and suggests remedies.

    It warns once if codebook usage is below `minimum` at the end of an epoch,
    and again only after usage has recovered.

    Args:
        minimum: Float in (0, 1). Fraction of codes that an epoch should use.
            An epoch with few tokens cannot use all codes. Defaults to 0.1.
        monitor: String. Name of this fraction in the logs. Defaults to
            `"codebook_usage"`.

    Raises:
        ValueError: If `minimum` is out of range; in `fit`, if `monitor` is
            not in the logs.

    Example:

    ```python
    tokenizer = keras_larp.presets.load("larp_tiny_moving_shapes_tokenizer")
    tokenizer.compile("adam")
    source = keras_larp.data.MovingShapes(8, num_frames=16, image_size=32)
    train = keras_larp.data.video_dataset(source, batch_size=4)
    warning = keras_larp.callbacks.CodebookCollapseWarning(minimum=0.2)
    tokenizer.fit(train, epochs=2, callbacks=[warning])
    ```
    """

    def __init__(self, minimum=0.1, monitor="codebook_usage"):
        super().__init__()
        self.minimum = check_number("minimum", minimum, "(0, 1)")
        self.monitor = monitor
        self._warned = False

    def on_epoch_end(self, epoch, logs=None):
        logs = logs or {}
        if self.monitor not in logs:
            raise ValueError(
                f"`monitor` must be in the logs, which have: "
                f"{', '.join(logs)}. Received: monitor={self.monitor!r}"
            )
        low = logs[self.monitor] < self.minimum
        if low and not self._warned:
            warnings.warn(
                f"The codebook is collapsing: epoch {epoch + 1} used "
                f"{logs[self.monitor]:.1%} of the codes. Try batch "
                "normalization before the quantizer "
                "(`latent_norm='batch_joint'`), which helped most in "
                "benchmarks/small_data.py; resetting unused codes "
                "(`quantizer={'reset_unused_after': 100}`); a higher, annealed "
                "quantizer temperature (`temperature_schedule` of `compile`); "
                "a lower learning rate or a longer warm-up; or a smaller "
                "codebook.",
                stacklevel=2,
            )
        self._warned = low

import time

import keras
from keras import ops

from keras_larp.utils.checks import check_integer


class Throughput(keras.callbacks.Callback):
    """Adds throughput and learning rates to the logs of each epoch.

    - `clips_per_second`: training throughput, excluding validation and the
      `on_epoch_end` of other callbacks;
    - `learning_rate`, and for models with a prior and a discriminator
      `prior_learning_rate` and `discriminator_learning_rate`.

    It waits for the device only once per epoch, after the last step. To log
    these values, put `CSVLogger` and `TensorBoard` after this callback.

    Args:
        batch_size: Integer. Number of clips per batch.

    Example:

    ```python
    tokenizer = keras_larp.presets.load("larp_tiny_moving_shapes_tokenizer")
    tokenizer.compile("adam")
    source = keras_larp.data.MovingShapes(8, num_frames=16, image_size=32)
    train = keras_larp.data.video_dataset(source, batch_size=4)
    throughput = keras_larp.callbacks.Throughput(batch_size=4)
    log = keras.callbacks.CSVLogger("log.csv")
    tokenizer.fit(train, epochs=2, callbacks=[throughput, log])
    ```
    """

    async_safe = True  # Steps need not wait for the counter.

    def __init__(self, batch_size):
        super().__init__()
        self.batch_size = check_integer("batch_size", batch_size, 1)

    def on_epoch_begin(self, epoch, logs=None):
        self._steps = 0
        self._seconds = None
        self._start = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        self._steps = max(self._steps, batch + 1)

    def on_test_begin(self, logs=None):
        self._stop()

    def on_epoch_end(self, epoch, logs=None):
        self._stop()
        clips = self._steps * self.batch_size
        logs["clips_per_second"] = clips / self._seconds
        for name, optimizer in self._optimizers():
            rate = ops.convert_to_numpy(optimizer.learning_rate)
            logs[name] = float(rate)

    def _stop(self):
        if self._seconds is None:
            # Wait for the last step: dispatch is asynchronous.
            ops.convert_to_numpy(self.model.optimizer.iterations)
            self._seconds = time.perf_counter() - self._start

    def _optimizers(self):
        """Yields log names and optimizers; see `TokenizerOptimizer`."""
        optimizer = self.model.optimizer
        yield "learning_rate", optimizer
        # Unwrap a `LossScaleOptimizer`.
        optimizer = getattr(optimizer, "inner_optimizer", optimizer)
        for part in ("prior", "discriminator"):
            inner = getattr(optimizer, f"{part}_optimizer", None)
            if getattr(self.model, part, None) is not None and inner:
                yield f"{part}_learning_rate", inner

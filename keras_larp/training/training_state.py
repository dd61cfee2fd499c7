import warnings

import keras
from keras import ops

from keras_larp.backend import compat


@keras.saving.register_keras_serializable(package="keras_larp")
class TrainingState(keras.layers.Layer):
    """Training state that is neither a weight nor optimizer state.

    It is a layer, so that Keras saves it with a compiled model. Presets leave
    it out.

    Args:
        terms: List of strings. The names of the scalars that are checked for
            non-finite values, in the order in which they are computed:
            `"loss"`, `"input_mean"` and those of `StepOutputs.terms`.

    Attributes:
        step: int32 scalar, number of training steps so far, including
            skipped ones.
        total_steps: float32 scalar, number of steps of the run.
        skipped: int32 scalar, number of steps that were skipped because
            they were not finite.
        nonfinite_counts: int32 `(len(terms) + 2,)`, for how many consecutive
            steps each term, and the gradients, were not finite; the last
            entry counts the consecutive skipped discriminator steps.
        average_real: float32 scalar, moving average of the discriminator's
            logits of real clips (LeCam).
        average_fake: float32 scalar, moving average of the discriminator's
            logits of reconstructions (LeCam).
    """

    def __init__(self, terms, **kwargs):
        super().__init__(**kwargs)
        self.terms = list(terms)

        def state(name, dtype="float32", shape=(), initializer="zeros"):
            return self.add_weight(
                shape=shape,
                initializer=initializer,
                dtype=dtype,
                trainable=False,
                autocast=False,
                # Counters are equal on all replicas, and have no mean.
                aggregation=(
                    "mean" if dtype == "float32" else "only_first_replica"
                ),
                name=name,
            )

        self.step = state("step", "int32")
        self.total_steps = state("total_steps", initializer="ones")
        self.skipped = state("skipped", "int32")
        self.nonfinite_counts = state(
            "nonfinite_counts", "int32", (len(self.terms) + 2,)
        )
        self.average_real = state("average_real")
        self.average_fake = state("average_fake")
        self.built = True

    def record(self, outputs):
        """Counts a training step and its non-finite values.

        Args:
            outputs: The `StepOutputs` of the step.
        """
        # Tensors, since PyTorch would synchronize to copy Python numbers.
        zero, one = ops.zeros(()), ops.ones((), "int32")
        scalars = {**outputs.terms, "loss": outputs.loss}
        if outputs.input_mean is not None:
            scalars["input_mean"] = outputs.input_mean
        finite = [ops.isfinite(scalars.get(name, zero)) for name in self.terms]
        due, updated = zero, zero
        if outputs.discriminator is not None:
            due = outputs.discriminator.due
            updated = outputs.discriminator.updated
        finite = ops.stack([*finite, outputs.finite, updated > 0])
        counted = [one] * (len(self.terms) + 1)
        counted = ops.stack([*counted, ops.cast(due, "int32")])
        self.nonfinite_counts.assign(
            (self.nonfinite_counts + counted) * (1 - ops.cast(finite, "int32"))
        )
        self.skipped.assign_add(1 - ops.cast(outputs.finite, "int32"))
        self.step.assign_add(one)

    def update_averages(self, mean_real, mean_fake, condition, decay=0.999):
        """Updates the moving averages of the discriminator's logits.

        Args:
            mean_real: Scalar, mean logit of a batch of real clips.
            mean_fake: Scalar, mean logit of a batch of reconstructions.
            condition: Boolean scalar. Without it, the averages stay as they
                are.
            decay: Float. Defaults to 0.999.
        """
        for average, mean in (
            (self.average_real, mean_real),
            (self.average_fake, mean_fake),
        ):
            old = ops.convert_to_tensor(average)
            new = decay * old + (1.0 - decay) * mean
            average.assign(ops.where(condition, new, old))

    def load_own_variables(self, store):
        # `fit` sets the number of steps before a checkpoint is restored, and
        # a resumed run may be longer than the run that was saved.
        total_steps = float(ops.convert_to_numpy(self.total_steps))
        super().load_own_variables(store)
        if total_steps > 1:
            self.total_steps.assign(total_steps)

    def get_config(self):
        return {**super().get_config(), "terms": self.terms}


class StopWhenNotFinite(keras.callbacks.Callback):
    """Stops a run whose steps are no longer finite, and warns of clips whose
    ids or values were out of range.

    Args:
        patience: Integer. The number of consecutive skipped steps that stops
            the run.

    Raises:
        FloatingPointError: names the loss term that was not finite first.
    """

    def __init__(self, patience):
        super().__init__()
        self.patience = patience

    def on_train_begin(self, logs=None):
        self._last_check = 0
        self._warned = False

    def on_epoch_begin(self, epoch, logs=None):
        self._last_check = 0

    def on_train_batch_begin(self, batch, logs=None):
        # Reading the counts synchronizes the device, so it is not done at
        # each step. With `steps_per_execution`, not every index of a batch
        # occurs here. (In `on_train_batch_end`, Keras would read the logs.)
        if batch - self._last_check >= self.patience:
            self._last_check = batch
            self._check()

    def on_epoch_end(self, epoch, logs=None):
        self._check()
        for name in ("invalid_clips", "val_invalid_clips"):
            count = (logs or {}).get(name, 0)
            if count and not self._warned:
                self._warned = True
                warnings.warn(
                    f"{name}: {count:.0f} clips of epoch {epoch + 1}. "
                    f"{self.model.INVALID_CLIPS}",
                    stacklevel=2,
                )

    def _check(self):
        compat.sync_state(self.model)
        state = self.model.training_state
        counts = ops.convert_to_numpy(state.nonfinite_counts)
        if counts.max() < self.patience:
            return
        # The first of the largest counts: a term that is not finite makes
        # everything computed from it not finite too.
        names = [*state.terms, "gradients", "discriminator gradients"]
        first = names[int(counts.argmax())]
        if first.endswith("_ids"):
            raise FloatingPointError(
                f"The last {counts.max()} steps were skipped because of "
                f"{first} out of range. {self.model.INVALID_CLIPS}"
            )
        raise FloatingPointError(
            f"The last {counts.max()} steps were skipped because their loss "
            f"or gradients were not finite. First non-finite value: {first}. "
            "Try a lower learning rate, a longer warm-up, `global_clipnorm` "
            "of the optimizer, or mixed_bfloat16 instead of mixed_float16, "
            "and check the data for clips with non-finite values."
        )

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_larp")
class TrainingState(keras.layers.Layer):
    """What a run has to remember beside weights and optimizers.

    A layer, so that Keras saves it with the model that is trained; presets
    leave it out.

    Args:
        terms: List of strings, the loss terms, in the order in which they
            are computed.

    Attributes:
        step: int32 scalar, training steps taken, skipped ones included.
        total_steps: float32 scalar, steps of the whole run.
        skipped: int32 scalar, steps that were skipped as not finite.
        streaks: int32 `(terms + 2,)`, for how many steps in a row each term
            and the gradients, and for how many of its own the discriminator,
            have not been finite.
        average_real: float32 scalar, moving average of the discriminator's
            logits of real clips.
        average_fake: float32 scalar, the same of reconstructions.
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
                name=name,
            )

        self.step = state("step", "int32")
        self.total_steps = state("total_steps", initializer="ones")
        self.skipped = state("skipped", "int32")
        self.streaks = state("streaks", "int32", (len(self.terms) + 2,))
        self.average_real = state("average_real")
        self.average_fake = state("average_fake")
        self.built = True

    def record(self, outputs):
        """Counts a step, and what of it was not finite.

        Args:
            outputs: Dictionary with scalars, those of `terms` that there
                are; the boolean `finite`, whether the step was taken; and
                `discriminator_turns` and `discriminator_updates`, 1.0 where
                it was the discriminator's turn and where that was taken.
        """
        # As tensors: PyTorch copies a number of the host, and waits for it.
        zero, one = ops.zeros(()), ops.ones((), "int32")
        values = [ops.isfinite(outputs.get(name, zero)) for name in self.terms]
        turn = ops.cast(outputs.get("discriminator_turns", zero), "int32")
        taken = ops.cast(outputs.get("discriminator_updates", zero), "int32")
        good = ops.stack([*values, outputs["finite"], taken > 0])
        counted = ops.stack([*[one] * (len(values) + 1), turn])
        streaks = (self.streaks + counted) * (1 - ops.cast(good, "int32"))
        self.streaks.assign(streaks)
        self.skipped.assign_add(1 - ops.cast(outputs["finite"], "int32"))
        self.step.assign_add(one)

    def move_averages(self, mean_real, mean_fake, condition, decay=0.999):
        """Moves the averages of the discriminator's logits towards those of a
        batch, if the condition, a boolean scalar, holds."""
        for average, mean in (
            (self.average_real, mean_real),
            (self.average_fake, mean_fake),
        ):
            old = ops.convert_to_tensor(average)
            moved = decay * old + (1.0 - decay) * mean
            average.assign(ops.where(condition, moved, old))

    def get_config(self):
        return {**super().get_config(), "terms": self.terms}


class StopWhenNotFinite(keras.callbacks.Callback):
    """Ends a run whose steps are not finite any more.

    Args:
        patience: Integer, how many skipped steps in a row are too many.

    Raises:
        FloatingPointError: that names the loss term that went first.
    """

    def __init__(self, patience):
        super().__init__()
        self.patience = patience

    def on_train_batch_begin(self, batch, logs=None):
        # Reading waits for the device, and so is not done at each step. (At
        # the end of a batch, Keras would read the logs for it.)
        if batch and batch % self.patience == 0:
            self._check()

    def on_epoch_end(self, epoch, logs=None):
        self._check()

    def _check(self):
        if keras.backend.backend() == "jax":
            self.model.jax_state_sync()
        state = self.model.training_state
        streaks = ops.convert_to_numpy(state.streaks)
        if streaks.max() < self.patience:
            return
        # The first of the longest: a term makes all that follow it infinite.
        names = [*state.terms, "gradients", "the discriminator's gradients"]
        first = names[int(streaks.argmax())]
        raise FloatingPointError(
            f"The last {streaks.max()} steps were skipped: their loss or "
            f"gradients were not finite. What went first: {first}. Try a "
            "lower learning rate, a longer warm-up, a global_clipnorm of the "
            "optimizer, or mixed_bfloat16 in place of mixed_float16; and "
            "look for clips with values that are not finite."
        )

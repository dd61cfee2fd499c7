import keras
import numpy as np

from keras_larp.training.step import TrainStep
from keras_larp.training.training_state import (
    StopWhenNotFinite,
    TrainingState,
)


class TrainableModel(TrainStep, keras.Model):
    """What tokenizer and generator share: saving of all state, presets, the
    length of a run, and steps that are not finite."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.training_state = None
        self.discriminator = None
        self._frozen = ()

    def seed_states(self):
        """The states of all random number generators, in a fixed order."""
        weights = {id(v) for v in self.weights}
        own = super().non_trainable_variables
        return [v for v in own if id(v) not in weights]

    @property
    def model_weights(self):
        """All weights but those that only training needs."""
        parts = [self.training_state, self.discriminator]
        weights = [part.weights for part in parts if part is not None]
        others = {id(w) for group in weights for w in group}
        return [w for w in self.weights if id(w) not in others]

    # What only training needs.

    def prepare_training(self, terms, metrics, **parts):
        """Makes the state of training, anew at each `compile`.

        Args:
            terms: List of strings, the loss terms among `metrics`, in the
                order in which they are computed.
            metrics: Dictionary of `keras.metrics.Mean`s, one a scalar of
                `step_outputs`.
            **parts: Further attributes: layers, metrics.
        """
        parts = {
            "training_state": TrainingState(terms, name="training_state"),
            "term_metrics": metrics,
            "skipped_metric": keras.metrics.Sum("skipped_steps"),
            **parts,
        }
        # Keras takes no new parts of a model that is built, and keeps those
        # of an earlier `compile` among its layers.
        self._tracker.unlock()
        for name, part in parts.items():
            old = getattr(self, name, None)
            if old is not None:
                for item in keras.tree.flatten(old):
                    self._tracker.untrack(item)
                delattr(self, name)
            setattr(self, name, part)
        self._tracker.lock()

    def update_term_metrics(self, outputs):
        """Adds a step to the means of the terms, unless it was skipped."""
        finite = keras.ops.cast(outputs["finite"], "float32")
        zero = keras.ops.zeros(())
        self.skipped_metric.update_state(1.0 - finite)
        for name, metric in self.term_metrics.items():
            if name in outputs:
                value = keras.ops.where(outputs["finite"], outputs[name], zero)
                weight = outputs.get("weights", {}).get(name, 1.0)
                metric.update_state(value, finite * weight)

    @property
    def non_trainable_variables(self):
        # Frozen models that a step calls are state of it (JAX is given all
        # state explicitly), but no weights of this model.
        own = super().non_trainable_variables
        return own + [v for model in self._frozen for v in model().variables]

    def freeze(self, model):
        """Takes a model that steps call but do not train; `None` for none."""
        # Behind a function, so that Keras does not take it for a part.
        self._frozen = () if model is None else (lambda: model,)
        self.train_function = self.test_function = None

    def frozen_model(self):
        """The model that was given to `freeze`, or `None`."""
        # A method, since Keras saves what properties return.
        return self._frozen[0]() if self._frozen else None

    def fit(
        self,
        x=None,
        y=None,
        batch_size=None,
        epochs=1,
        *args,
        callbacks=None,
        steps_per_epoch=None,
        validation_data=None,
        validation_steps=None,
        **kwargs,
    ):
        """Trains the model, as `keras.Model.fit`.

        A `keras_larp.data.VideoDataset` knows how many batches an epoch has,
        so that `steps_per_epoch` and `validation_steps` need not be given.

        Raises:
            FloatingPointError: where too many steps in a row were not finite.
        """
        if _known_steps(x):
            if epochs > 1 and not x.repeats:
                raise ValueError(
                    "This data set ends after one epoch. Make it with "
                    f"`repeat=True`. Received: epochs={epochs}"
                )
            steps_per_epoch = steps_per_epoch or _known_steps(x)
            kwargs.setdefault("shuffle", False)  # It shuffles itself.
        stop = StopWhenNotFinite(self.max_skipped_steps)
        if isinstance(callbacks, keras.callbacks.CallbackList):
            callbacks.append(stop)
        else:
            callbacks = [*keras.tree.flatten(callbacks or []), stop]
        return super().fit(
            x,
            y,
            batch_size,
            epochs,
            *args,
            callbacks=callbacks,
            steps_per_epoch=steps_per_epoch,
            validation_data=validation_data,
            validation_steps=validation_steps or _known_steps(validation_data),
            **kwargs,
        )

    def evaluate(self, x=None, *args, steps=None, **kwargs):
        """Loss and metrics, as `keras.Model.evaluate`; of a
        `keras_larp.data.VideoDataset`, of one pass."""
        steps = steps or _known_steps(x)
        return super().evaluate(x, *args, steps=steps, **kwargs)

    # Keras saves no seeds; without them a resumed run draws other numbers.
    def save_own_variables(self, store):
        super().save_own_variables(store)
        for i, state in enumerate(self.seed_states()):
            store[f"seed_{i}"] = keras.ops.convert_to_numpy(state)

    def load_own_variables(self, store):
        seeds = self.seed_states()
        for i, state in enumerate(seeds):
            if f"seed_{i}" in store:
                state.assign(np.asarray(store[f"seed_{i}"]))
        own = {k: store[k] for k in store.keys() if not k.startswith("seed_")}
        super().load_own_variables(own)


def _known_steps(data):
    """Batches of one pass, of a data set that says so, or `None`."""
    return getattr(data, "steps_per_epoch", None)


def count_steps(x, epochs, initial_epoch, steps_per_epoch, batch_size):
    """Steps that a call of `fit` will take; `None` where nobody can know."""
    if steps_per_epoch is None:
        steps_per_epoch = _known_steps(x)
    if steps_per_epoch is None:
        if hasattr(x, "num_batches"):  # PyDataset
            steps_per_epoch = x.num_batches
        elif hasattr(x, "cardinality"):  # tf.data
            steps_per_epoch = int(x.cardinality())
        elif isinstance(x, dict | list | tuple) or hasattr(x, "shape"):
            first = x
            while isinstance(first, dict | list | tuple):
                first = next(
                    iter(first.values() if isinstance(first, dict) else first)
                )
            steps_per_epoch = -(-len(first) // (batch_size or 32))
        elif hasattr(x, "__len__"):  # Grain, PyTorch DataLoader
            steps_per_epoch = len(x)
    if steps_per_epoch is None or steps_per_epoch < 0:
        return None
    return steps_per_epoch * (epochs - initial_epoch)

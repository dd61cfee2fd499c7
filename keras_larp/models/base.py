import keras
import numpy as np

from keras_larp.training import TrainStep


class TrainableModel(TrainStep, keras.Model):
    """What tokenizer and generator share: saving of all state, presets and
    the length of a run."""

    @classmethod
    def from_preset(cls, preset, **kwargs):
        """Loads a model from a preset; see `keras_larp.presets.load`."""
        from keras_larp import presets

        return presets.load(preset, expected=cls, **kwargs)

    def save_to_preset(self, folder):
        """Saves to a preset folder; see `keras_larp.presets.save`."""
        from keras_larp import presets

        presets.save(self, folder)

    def seed_states(self):
        """The states of all random number generators, in a fixed order."""
        weights = {id(v) for v in self.weights}
        return [v for v in self.non_trainable_variables if id(v) not in weights]

    def fit(
        self,
        x=None,
        y=None,
        batch_size=None,
        epochs=1,
        *args,
        steps_per_epoch=None,
        validation_data=None,
        validation_steps=None,
        **kwargs,
    ):
        """Trains the model, as `keras.Model.fit`.

        A `keras_larp.data.VideoDataset` knows how many batches an epoch has,
        so that `steps_per_epoch` and `validation_steps` need not be given.
        """
        if _known_steps(x):
            if epochs > 1 and not x.repeats:
                raise ValueError(
                    "This data set ends after one epoch. Make it with "
                    f"`repeat=True`. Received: epochs={epochs}"
                )
            steps_per_epoch = steps_per_epoch or _known_steps(x)
            kwargs.setdefault("shuffle", False)  # It shuffles itself.
        return super().fit(
            x,
            y,
            batch_size,
            epochs,
            *args,
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

import contextlib
import itertools
import types
import warnings

import keras
import numpy as np

from keras_larp.backend import Structure, compat, with_unknown_sizes
from keras_larp.backend.processes import name_lost_processes
from keras_larp.training.process_checks import (
    SynchronizeProcesses,
    check_distribution,
)
from keras_larp.training.step import TrainStep
from keras_larp.training.training_state import (
    StopWhenNotFinite,
    TrainingState,
)

# Further arguments of `compile`, for `keras.Model.compile`.
COMPILE_ARGUMENTS = (
    "run_eagerly",
    "steps_per_execution",
    "jit_compile",
    "auto_scale_loss",
)
METRICS_REMEDY = (
    "The model logs its own metrics; compute others in a callback, or override "
    "`metrics` and `update_metrics` in a subclass."
)


class TrainableModel(TrainStep, keras.Model):
    """Base class of tokenizer and generator: `fit` and `evaluate`, saving of
    the complete training state, and handling of non-finite steps."""

    # What a warning about invalid clips explains.
    INVALID_CLIPS = ""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.training_state = None
        self.discriminator = None
        self._frozen = ()
        self._structures = {}

    # Keras keeps the functions of an earlier call, which know nothing of
    # layers that were quantized, replaced or given other dtypes since.

    def make_train_function(self, force=False):
        force = self._structure_changed("train") or force
        return super().make_train_function(force)

    def make_test_function(self, force=False):
        force = self._structure_changed("test") or force
        return super().make_test_function(force)

    def make_predict_function(self, force=False):
        force = self._structure_changed("predict") or force
        return super().make_predict_function(force)

    def _structure_changed(self, name):
        """Whether the model's structure changed since the last call."""
        structure = Structure(self)
        changed = structure != self._structures.get(name, structure)
        self._structures[name] = structure
        return changed

    def seed_states(self):
        """The states of all random number generators, in a fixed order."""
        weights = {id(v) for v in self.weights}
        variables = super().non_trainable_variables
        return [v for v in variables if id(v) not in weights]

    @property
    def model_weights(self):
        """All weights without those that are needed in training only."""
        parts = [self.training_state, self.discriminator]
        weights = [part.weights for part in parts if part is not None]
        excluded = {id(w) for group in weights for w in group}
        return [w for w in self.weights if id(w) not in excluded]

    def num_updates(self, training):
        """The number of optimizer updates so far, for schedules of weights."""
        if training:
            return self.optimizer.iterations
        # JAX passes no optimizer variables to a test step, which would trace
        # their values at compilation as constants.
        step = keras.ops.convert_to_tensor(self.training_state.step)
        return step - keras.ops.convert_to_tensor(self.training_state.skipped)

    def get_metrics_result(self):
        """The results of all metrics, over all replicas."""
        with self.metrics_over_replicas():
            results = super(TrainStep, self).get_metrics_result()
            # On PyTorch, the result of a sum is the variable's own tensor,
            # which changes later.
            return keras.tree.map_structure(keras.ops.copy, results)

    # State that is needed in training only.

    def prepare_training(self, terms, metrics, **attributes):
        """Creates the training state, anew at each `compile`.

        Args:
            terms: List of strings. The scalars to check for non-finite
                values; see `TrainingState`.
            metrics: Dictionary of a `Mean` for the loss and for each scalar
                of `StepOutputs.terms`.
            **attributes: Further layers and metrics to set on the model.
        """
        compat.replace_attributes(
            self,
            {
                "training_state": TrainingState(terms, name="training_state"),
                "term_metrics": metrics,
                "skipped_metric": keras.metrics.Sum("skipped_steps"),
                "invalid_metric": keras.metrics.Sum("invalid_clips"),
                **attributes,
            },
        )

    def update_term_metrics(self, outputs):
        """Adds a step to the means over clips of the loss terms, unless the
        step was skipped."""
        finite = keras.ops.cast(outputs.finite, "float32")
        weight = finite * keras.ops.cast(outputs.num_clips, "float32")
        zero = keras.ops.zeros(())
        # Each replica counts a skipped step.
        self.skipped_metric.update_state((1.0 - finite) / self.num_replicas)
        if outputs.invalid_clips is not None:
            self.invalid_metric.update_state(outputs.invalid_clips)
        scalars = {**outputs.terms, "loss": outputs.loss}
        for name, metric in self.term_metrics.items():
            if name in scalars:
                value = keras.ops.where(outputs.finite, scalars[name], zero)
                metric.update_state(value, weight)

    @property
    def non_trainable_variables(self):
        # On JAX, a step is given all state explicitly, so the variables of a
        # frozen model belong here. They are no weights of this model.
        own = super().non_trainable_variables
        return own + [v for model in self._frozen for v in model().variables]

    def freeze(self, model):
        """Sets a model that the steps call but do not train, or `None`."""
        # The lambda hides the model from Keras' attribute tracking.
        self._frozen = () if model is None else (lambda: model,)
        self.train_function = self.test_function = None

    def frozen_model(self):
        """The model that was passed to `freeze`, or `None`."""
        # Not a property: Keras would save the model it returns.
        return self._frozen[0]() if self._frozen else None

    def needs_labels(self, x):
        """Whether training on `x` reads the labels `y`."""
        return False

    def _labels(self, x, y, sample_weight, class_weight=None):
        """The labels of arrays. Keras drops the sample weights of data
        without labels, so that unused ones stand in for missing ones."""
        if y is not None or not _is_arrays(x) or self.needs_labels(x):
            return y
        if class_weight is not None:
            raise ValueError(
                "`class_weight` needs the labels `y` of the clips. "
                f"Received: y=None, class_weight={class_weight}"
            )
        if sample_weight is None:
            return None
        return np.zeros(len(keras.tree.flatten(x)[0]), "int32")

    def check_batch(self, x, y):
        """Hook that raises `ValueError` for invalid values of a batch.

        It runs on the host. The shapes are checked by the forward pass.

        Args:
            x: The inputs of a batch, or all inputs if they are arrays.
            y: Their labels, or `None`.
        """

    def check_source(self, source):
        """Hook that raises `ValueError` for an unsuitable source of a
        `keras_larp.data.VideoDataset` or `TokenDataset`."""

    def check_data(self, x, y=None):
        """Checks arrays, the source of a `keras_larp.data.VideoDataset` or
        `TokenDataset`, or the first batch of another data set.

        Args:
            x: The data, as given to `fit`.
            y: The labels, as given to `fit`.

        Returns:
            The data. A generator, which can be read only once, is replaced
            by an equal one.
        """
        source = getattr(x, "source", None)
        if _steps_per_epoch(x) and source is not None:
            # Reading a batch would start the workers of the data set once
            # more. Its video is in [0, 1].
            self.check_source(source)
            several = getattr(x, "clip_sizes", None) is not None
            return with_unknown_sizes(x) if several else x
        if x is None or _is_arrays(x):
            self.check_batch(x, y)
            return x
        x, batch = _peek(x)
        if batch is not None:
            self.check_batch(*keras.utils.unpack_x_y_sample_weight(batch)[:2])
        return x

    def before_fit(self, x, y, validation_data, num_steps):
        """Hook that `fit` of a compiled model calls before training.

        Args:
            x: The data, as given to `fit`.
            y: The labels, as given to `fit`.
            validation_data: The validation data, as given to `fit`.
            num_steps: Integer, number of training steps of this call of
                `fit`, or `None` if the length of the data is unknown.
        """

    @compat.iterators_released()
    def fit(
        self,
        x=None,
        y=None,
        batch_size=None,
        epochs=1,
        verbose="auto",
        callbacks=None,
        validation_split=0.0,
        validation_data=None,
        shuffle=True,
        class_weight=None,
        sample_weight=None,
        initial_epoch=0,
        steps_per_epoch=None,
        validation_steps=None,
        validation_batch_size=None,
        validation_freq=1,
    ):
        """Trains the model; the arguments are those of `keras.Model.fit`.

        `sample_weight`, one weight per clip, and `class_weight` multiply the
        losses of the clips, which are then averaged over the batch size.
        Metrics are not weighted.

        `steps_per_epoch` and `validation_steps` default to the length of a
        `keras_larp.data.VideoDataset` or `TokenDataset`, which shuffle
        themselves.

        Returns:
            A `keras.callbacks.History`.

        Raises:
            FloatingPointError: if `max_skipped_steps` consecutive steps were
                not finite.
            ValueError: if the model was not compiled, or the data set ends
                before the last epoch.
        """
        _check_given(x)
        y = self._labels(x, y, sample_weight, class_weight)
        if isinstance(validation_data, tuple | list):
            parts = keras.utils.unpack_x_y_sample_weight(validation_data)
            labels = self._labels(parts[0], parts[1], parts[2])
            validation_data = (parts[0], labels, *parts[2:])
        if _steps_per_epoch(x):
            if epochs > 1 and not x.repeats:
                raise ValueError(
                    "This data set ends after one epoch. Create it with "
                    f"`repeat=True`. Received: epochs={epochs}"
                )
            steps_per_epoch = steps_per_epoch or _steps_per_epoch(x)
            shuffle = False
        validation_steps = validation_steps or _steps_per_epoch(validation_data)
        if self.compiled:
            num_steps = count_steps(
                x,
                epochs,
                initial_epoch,
                steps_per_epoch,
                batch_size,
                0.0 if validation_data is not None else validation_split,
            )
            if not self.model_trainable_variables:
                warnings.warn(
                    "All layers are frozen: the steps change no weights.",
                    stacklevel=2,
                )
            check_distribution(x, validation_data)
            self.before_fit(x, y, validation_data, num_steps)
            x = self.check_data(x, y)
            if isinstance(validation_data, tuple | list):
                self.check_data(*validation_data[:2])
            elif validation_data is not None:
                validation_data = self.check_data(validation_data)
            own = [
                StopWhenNotFinite(self.max_skipped_steps),
                # Last, after a `Checkpoint` has restored the run.
                SynchronizeProcesses(),
            ]
            if isinstance(callbacks, keras.callbacks.CallbackList):
                for callback in own:
                    callbacks.append(callback)
            else:
                callbacks = [*keras.tree.flatten(callbacks or []), *own]
        with name_lost_processes():
            return super().fit(
                x,
                y,
                batch_size=batch_size,
                epochs=epochs,
                verbose=verbose,
                callbacks=callbacks,
                validation_split=validation_split,
                validation_data=validation_data,
                shuffle=shuffle,
                class_weight=class_weight,
                sample_weight=sample_weight,
                initial_epoch=initial_epoch,
                steps_per_epoch=steps_per_epoch,
                validation_steps=validation_steps,
                validation_batch_size=validation_batch_size,
                validation_freq=validation_freq,
            )

    @compat.iterators_released()
    def evaluate(
        self,
        x=None,
        y=None,
        batch_size=None,
        verbose="auto",
        sample_weight=None,
        steps=None,
        callbacks=None,
        return_dict=False,
        **kwargs,
    ):
        """Returns loss and metrics, as `keras.Model.evaluate`.

        `steps` defaults to one pass over a `keras_larp.data.VideoDataset` or
        `TokenDataset`. Loss weights are those of the next training step:
        terms that have not started yet do not count.
        """
        _check_given(x)
        steps = steps or _steps_per_epoch(x)
        # `fit` has already checked its validation data.
        if not kwargs.get("_use_cached_eval_dataset"):
            x = self.check_data(x, y)
        return super().evaluate(
            x,
            self._labels(x, y, sample_weight),
            batch_size=batch_size,
            verbose=verbose,
            sample_weight=sample_weight,
            steps=steps,
            callbacks=callbacks,
            return_dict=return_dict,
            **kwargs,
        )

    @compat.iterators_released()
    def predict(self, x, *args, **kwargs):
        """Returns the outputs for data, as `keras.Model.predict`."""
        return super().predict(self.check_data(x), *args, **kwargs)

    def predict_on_batch(self, x):
        """Returns the outputs for a batch of inputs."""
        self.check_batch(x, None)
        return super().predict_on_batch(x)

    # Keras saves no seed states; without them, a resumed run would draw other
    # random numbers.

    def save_own_variables(self, store):
        super().save_own_variables(store)
        for i, state in enumerate(self.seed_states()):
            store[f"seed_{i}"] = keras.ops.convert_to_numpy(state)

    def load_own_variables(self, store):
        for i, state in enumerate(self.seed_states()):
            if f"seed_{i}" in store:
                state.assign(np.asarray(store[f"seed_{i}"]))
        own = {k: store[k] for k in store.keys() if not k.startswith("seed_")}
        super().load_own_variables(own)


def check_compile_arguments(arguments, remedies):
    """Raises an error for arguments of `keras.Model.compile` that the models
    do not support.

    Args:
        arguments: Dictionary of the further arguments of `compile`.
        remedies: Dictionary of sentences, what to use instead, by argument.

    Raises:
        TypeError: If an argument is unknown.
        ValueError: If an argument is one of `remedies` and not `None`.
    """
    for name, value in arguments.items():
        if name in remedies and value is not None:
            raise ValueError(
                f"`compile` does not support `{name}`. {remedies[name]} "
                f"Received: {name}={value!r}"
            )
        if name not in (*COMPILE_ARGUMENTS, *remedies):
            raise TypeError(
                f"`compile` has no argument `{name}`. Further arguments are "
                f"{', '.join(COMPILE_ARGUMENTS)}."
            )


def get_optimizer(name, optimizer):
    """Returns an optimizer from an argument of `compile`.

    Args:
        name: String, the name of the argument.
        optimizer: A `keras.optimizers.Optimizer`, its name or its config.

    Raises:
        ValueError: If it is something else.
    """
    try:
        found = keras.optimizers.get(optimizer)
    except (KeyError, TypeError, ValueError):
        found = None
    if found is None:
        raise ValueError(
            f"`{name}` must be a `keras.optimizers.Optimizer` or the name of "
            f"one, such as 'adam'. Received: {name}={optimizer!r}"
        )
    return found


def unpack_batch(data):
    """The inputs, labels and sample weights of a batch.

    Returns:
        Inputs, labels or `None`, and the sample weights, float32 `(B,)`, or
        `None`.

    Raises:
        ValueError: If there is not one weight per sample.
    """
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    if sample_weight is None:
        return x, y, None
    sample_weight = keras.ops.convert_to_tensor(sample_weight, "float32")
    shape = tuple(sample_weight.shape)
    if len(shape) == 2 and shape[1] == 1:
        sample_weight = keras.ops.squeeze(sample_weight, axis=1)
    elif len(shape) != 1:
        raise ValueError(
            "Expected one sample weight per clip, shape (batch,). "
            f"Received: sample_weight of shape {shape}"
        )
    return x, y, sample_weight


def _is_arrays(x):
    """Whether data are arrays, not a data set of batches."""
    return isinstance(x, dict | list | tuple) or hasattr(x, "shape")


def _peek(x):
    """The complete data set, and its first batch.

    The batch is `None` if the data set is empty, can be read only once, or has
    batches of several replicas.
    """
    if isinstance(x, keras.utils.PyDataset):
        return x, x[0]
    if isinstance(x, types.GeneratorType):
        first = list(itertools.islice(x, 1))
        rest = (batch for batch in itertools.chain(first, x))
        return rest, first[0] if first else None
    # The data of a `DataLoader` may be a stream, which has no length.
    is_stream = hasattr(x, "__next__") or not hasattr(
        getattr(x, "dataset", []), "__len__"
    )
    if is_stream or type(x).__name__.startswith("Distributed"):
        return x, None
    return x, next(iter(x), None)


def _check_given(x):
    if x is None:
        raise ValueError(
            "`x` must be the data: clips, tokens or a data set. Received: "
            "x=None"
        )


def _steps_per_epoch(data):
    """Number of batches of one pass, if the data set knows it, or `None`."""
    return getattr(data, "steps_per_epoch", None)


def count_steps(
    x,
    epochs,
    initial_epoch,
    steps_per_epoch,
    batch_size,
    validation_split=0.0,
):
    """Number of training steps of a call of `fit` with these arguments.

    Returns:
        Integer, or `None` if the length of the data is unknown.
    """
    if steps_per_epoch is None:
        steps_per_epoch = _steps_per_epoch(x)
    if steps_per_epoch is None:
        if hasattr(x, "num_batches"):  # keras.utils.PyDataset
            steps_per_epoch = x.num_batches
        elif hasattr(x, "cardinality"):  # tf.data.Dataset
            steps_per_epoch = int(x.cardinality())
        elif _is_arrays(x):
            shape = np.shape(keras.tree.flatten(x)[0])
            count = shape[0] if shape else 0
            count = int(count * (1.0 - validation_split))
            steps_per_epoch = -(-count // (batch_size or 32))
        elif hasattr(x, "__len__"):  # Grain, PyTorch DataLoader
            with contextlib.suppress(TypeError):  # Of an iterable data set.
                steps_per_epoch = len(x)
    if steps_per_epoch is None or steps_per_epoch < 0:
        return None
    return steps_per_epoch * (epochs - initial_epoch)

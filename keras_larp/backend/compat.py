"""Private and experimental interfaces of Keras, JAX and PyTorch.

The rest of the package uses public interfaces only. Everything here may
change without notice: after an upgrade of a library in `TESTED_VERSIONS`,
check this module first.
"""

import contextlib
import functools
import traceback

import keras

from keras_larp.backend.replicas import mean_over_replicas, num_replicas

TESTED_VERSIONS = {"keras": "3.15.1", "jax": "0.10.2", "torch": "2.13.0"}


# Keras.


def replace_attributes(model, attributes):
    """Sets layers and metrics of a built model, replacing earlier ones.

    Keras locks the attributes of a model once it is built, and keeps a
    replaced layer among the model's layers.

    Args:
        model: A `keras.Model`.
        attributes: Dictionary of attribute names and their values: layers,
            metrics, dictionaries of them, or `None`.
    """
    tracker = model._tracker
    tracker.unlock()
    for name, value in attributes.items():
        old = getattr(model, name, None)
        if old is not None:
            for item in keras.tree.flatten(old):
                tracker.untrack(item)
            delattr(model, name)
        setattr(model, name, value)
    tracker.lock()


def sync_state(model):
    """Writes the state of a running `fit` back to the model's variables.

    On JAX, `fit` keeps the state outside of the variables. Other backends
    update the variables in place.
    """
    if keras.backend.backend() == "jax":
        model.jax_state_sync()


def set_initial_epoch(model, epoch):
    """Makes a running `fit` start at `epoch`; `None` removes the override.

    Call it in `on_train_begin`, like `keras.callbacks.BackupAndRestore`.
    """
    model._initial_epoch = epoch


def flatten_layers(layer):
    """A layer and all of its sublayers, as a list."""
    return [layer, *layer._flatten_layers(include_self=False)]


def weights_of(layers):
    """The weights that single layers own, as a list. Unlike `layer.weights`,
    which compares all weights of sublayers, it takes microseconds."""
    return [
        weight
        for layer in layers
        for weight in (
            *layer._trainable_variables,
            *layer._non_trainable_variables,
        )
    ]


class BatchNormalization(keras.layers.BatchNormalization):
    """Batch normalization whose statistics, in a train step of several
    replicas, are those of the global batch, on every backend."""

    def _moments(self, inputs, mask):
        if num_replicas() == 1:
            return super()._moments(inputs, mask)
        mean = keras.ops.mean(inputs, axis=self._reduction_axes)
        mean = mean_over_replicas(mean)  # (C,)
        squares = keras.ops.square(inputs - mean)
        variance = keras.ops.mean(squares, axis=self._reduction_axes)
        return mean, mean_over_replicas(variance)


# Methods that optimizers on TensorFlow override for `tf.distribute`.
_DISTRIBUTED_METHODS = (
    "_apply_weight_decay",
    "_backend_increment_gradient_accumulators",
    "_backend_update_step",
    "_overwrite_model_variables_with_average_value",
)


@contextlib.contextmanager
def updating_one_device(optimizer):
    """Context in which an optimizer on TensorFlow ignores `tf.distribute`, and
    updates the variables of the current device as it would on other backends.

    Args:
        optimizer: A `keras.optimizers.Optimizer`, which may consist of others.
    """
    base = keras.optimizers.Optimizer.__bases__[-1]
    parts = list(parts_of(optimizer))
    for part in parts:
        for name in _DISTRIBUTED_METHODS:
            method = functools.partial(getattr(base, name), part)
            part.__dict__[name] = method
        if isinstance(part, keras.optimizers.LossScaleOptimizer):
            part.__dict__["_tf_apply"] = part._common_apply
    try:
        yield
    finally:
        for part in parts:
            for name in (*_DISTRIBUTED_METHODS, "_tf_apply"):
                part.__dict__.pop(name, None)


def parts_of(optimizer):
    """Yields an optimizer and those that it consists of."""
    yield optimizer
    names = "inner_optimizer", "discriminator_optimizer"
    parts = [getattr(optimizer, name, None) for name in names]
    for part in [*parts, *getattr(optimizer, "optimizers", [])]:
        if part is not None:
            yield from parts_of(part)


@contextlib.contextmanager
def iterators_released():
    """Context for `fit`, `evaluate` and `predict` in which an exception, such
    as that of a signal, deletes the iterators of `tf.data`.

    The traceback of the exception holds the frames of Keras, and these hold
    the iterators. If their threads still prepare batches with Python code
    when the interpreter ends, the process aborts or never ends.
    """
    try:
        yield
    except BaseException as error:
        if keras.backend.backend() == "tensorflow":
            _clear_keras_frames(error)
        raise


def _clear_keras_frames(error):
    while error is not None:
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if frame.f_globals.get("__name__", "").startswith("keras."):
                with contextlib.suppress(RuntimeError):  # It still runs.
                    frame.clear()
        error = error.__context__


class BuiltModel:
    """Mixin for models that are built when they are created."""

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """Does nothing. On TensorFlow, Keras would average the parts of the
        first batch on several devices, which fails if their sizes differ."""


class UncompiledTrainStep:
    """Mixin for models whose train step Keras must not `torch.compile`."""

    def _should_torch_compile(self):
        return False


# JAX.

if keras.backend.backend() == "jax":
    import jax
    import numpy as np
    from jax._src.distributed import global_state
    from keras.src.backend.jax import distribution_lib
    from keras.src.backend.jax.trainer import JAXEpochIterator

    _distribute_tensor = distribution_lib.distribute_tensor

    def replace_distributed_iterator(distribute):
        """Replaces how `fit`, `evaluate` and `predict` distribute batches.

        Keras gives all batches the layout of the first one, so that an
        incomplete last batch fails. It transfers a batch only when the step
        needs it, and takes each process's data for a part of the batch.

        Args:
            distribute: Function of an iterator of batches, of the
                `keras.distribution.Distribution`, and of whether the batches
                are this process's part of global batches. Returns an iterator
                of distributed batches.
        """

        def get_iterator(self, distribution):
            # Adapters of Grain data sets keep the data set.
            dataset = getattr(self.data_adapter, "_dataset", None)
            return distribute(
                self.data_adapter.get_jax_iterator(),
                distribution,
                getattr(dataset, "is_sharded_by_process", False),
            )

        JAXEpochIterator._get_distributed_iterator = get_iterator

    def replace_distribution_of_values():
        """Lets one process alone create variables, and set their values.

        Keras distributes values by `jax.device_put`, which compares those of
        all processes. If only one process saves a model, it would wait for
        the others forever, since saving creates variables: those of a copy,
        and of an optimizer whose attributes Keras lists.
        """

        def distribute_tensor(tensor, layout):
            sharding = getattr(layout, "backend_layout", layout)
            if (
                isinstance(tensor, jax.core.Tracer)
                or sharding.is_fully_addressable
                or not getattr(tensor, "is_fully_addressable", True)
            ):
                return _distribute_tensor(tensor, layout)
            value = np.asarray(tensor)
            return jax.make_array_from_callback(
                value.shape, sharding, lambda index: value[index]
            )

        distribution_lib.distribute_tensor = distribute_tensor

    def coordination_client():
        """The client of the service that connects the processes."""
        return global_state.client


# PyTorch.

if keras.backend.backend() == "torch":
    import torch
    from keras.src.backend.torch.core import get_device  # noqa: F401
    from torch.fx.experimental.proxy_tensor import make_fx  # noqa: F401
    from torch.utils._pytree import (
        tree_flatten,  # noqa: F401
        tree_unflatten,  # noqa: F401
    )

    # The method in which an optimizer updates variables and its slots.
    UPDATE_STEP = "_backend_update_step"

    def replace_value(variable, tensor):
        """Replaces the tensor of a variable by another one of its shape."""
        variable._value = torch.nn.Parameter(tensor, requires_grad=False)

    def copy_tensors(tensors):
        """Copies of float tensors, in one kernel."""
        return torch._foreach_mul(tensors, 1.0)

    def interpolate_tensors(tensors, others, weight):
        """`weight * tensors + (1 - weight) * others` in place, with a few
        kernels for all tensors.

        Args:
            tensors: List of float tensors, which are changed.
            others: List of float tensors, which are overwritten.
            weight: float32 scalar tensor.
        """
        torch._foreach_mul_(tensors, weight)
        torch._foreach_mul_(others, 1.0 - weight)
        torch._foreach_add_(tensors, others)

    def sums_of_absolute_values(tensors):
        """The L1 norm of each tensor, in one kernel."""
        return torch._foreach_norm(tensors, 1)

    def mkldnn_pack(kernel, num_rows):
        """A kernel `(units, inputs)`, packed for inputs of about `num_rows`
        rows."""
        return torch.ops.mkldnn._reorder_linear_weight(kernel, num_rows)

    def mkldnn_linear(x, packed_kernel):
        """`x` times a kernel packed by `mkldnn_pack`."""
        return torch.ops.mkldnn._linear_pointwise(
            x, packed_kernel, None, "none", [], ""
        )

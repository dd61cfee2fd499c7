"""Train step operations on JAX: pure functions of explicit state."""

import contextlib
import contextvars
import dataclasses

import jax
import jax.numpy as jnp
import keras

from keras_larp.backend.finite import all_finite
from keras_larp.backend.loop import compile_loop
from keras_larp.backend.packed_matmul import pack_kernel, packed_matmul

__all__ = [
    "StepDriver",
    "compile_function",
    "compile_loop",
    "packed_matmul",
    "fused_attention",
    "pack_kernel",
    "register_dataclass",
    "with_unknown_sizes",
]

FUSED_ATTENTION = "cudnn"
# Whether fused attention is disabled.
_PLAIN = contextvars.ContextVar("plain", default=False)


def register_dataclass(cls):
    """Class decorator: makes a dataclass of tensors a pytree."""
    names = [field.name for field in dataclasses.fields(cls)]
    return jax.tree_util.register_dataclass(cls, names, [])


class StepDriver:
    """Keras' train and test step: one jitted, stateless function each.

    The order of a train step is in `keras_larp.training.step`.

    Attributes:
        num_replicas: Integer. How many replicas run each step, and add to the
            metrics.
    """

    num_replicas = 1

    def make_train_function(self, force=False):
        _check_layouts([*self.variables, *self.optimizer.variables])
        super().make_train_function(force)

    def make_test_function(self, force=False):
        _check_layouts(self.variables)
        super().make_test_function(force)

    def make_predict_function(self, force=False):
        _check_layouts(self.variables)
        super().make_predict_function(force)

    def train_step(self, state, data):
        groups = (
            self.trainable_variables,
            self.non_trainable_variables,
            self.optimizer.variables,
            self.metrics_variables,
        )
        with _scope(*zip(groups, state, strict=True)) as scope:
            logs = self.train_on(data)
        return logs, tuple(_values(scope, group) for group in groups)

    def test_step(self, state, data):
        groups = (
            self.trainable_variables,
            self.non_trainable_variables,
            self.metrics_variables,
        )
        with _scope(*zip(groups, state, strict=True)) as scope:
            logs = self.test_on(data)
        return logs, tuple(_values(scope, group) for group in groups)

    def predict_step(self, state, data):
        outputs, variables = super().predict_step(state, data)
        distribution = keras.distribution.distribution()
        if jax.process_count() > 1 and distribution is not None:
            # Each process returns the outputs of all clips.
            mesh = distribution.device_mesh.backend_mesh
            spec = jax.sharding.PartitionSpec()
            outputs = jax.lax.with_sharding_constraint(
                outputs, jax.sharding.NamedSharding(mesh, spec)
            )
        return outputs, variables

    def _state(self):
        """Pairs of each variable of a step and its current value."""
        variables = [*self.variables, *self.non_trainable_variables]
        variables += [*self.optimizer.variables, *self.metrics_variables]
        return [(v, v.value) for v in {id(v): v for v in variables}.values()]

    def differentiate(self, function, variables):
        """Calls a function and prepares its gradient.

        Args:
            function: Function without arguments that returns a list of
                tensors to differentiate, and a structure of other tensors.
            variables: List of variables.

        Returns:
            The list of tensors, the structure, and `vjp`: a function of a
            list of cotangents, one for each tensor, that returns the list of
            gradients with respect to `variables`.
        """
        state = self._state()
        changing = [*variables, *self.non_trainable_variables]

        def pure(values):
            current = zip(variables, values, strict=True)
            with keras.StatelessScope([*state, *current]) as scope:
                tensors, outputs = function()
            return tensors, (outputs, _values(scope, changing))

        tensors, pull_back, (outputs, new_values) = jax.vjp(
            pure, [v.value for v in variables], has_aux=True
        )
        _assign(changing, new_values)
        return tensors, outputs, lambda cotangents: pull_back(cotangents)[0]

    def input_gradient(self, function, x, differentiable=False):
        """Gradient of a function with respect to its input.

        Args:
            function: Function of `x` that returns a scalar and a structure
                of other tensors.
            x: Tensor.
            differentiable: Boolean. Whether the gradient is differentiated
                again. Defaults to `False`.

        Returns:
            The gradient of the scalar, and the structure.
        """
        # Fused attention has no second derivative.
        token = _PLAIN.set(differentiable)
        try:
            return jax.grad(function, has_aux=True)(x)
        finally:
            _PLAIN.reset(token)

    def conditionally(self, condition, function, variables, otherwise):
        """Calls a function if a condition holds.

        Args:
            condition: Boolean scalar, or a Python boolean.
            function: Function without arguments that returns a registered
                dataclass of tensors.
            variables: List of the variables that the function changes.
            otherwise: The result if the condition does not hold.

        Returns:
            The function's result, or `otherwise`.
        """
        state = self._state()

        def run():
            with keras.StatelessScope(state) as scope:
                outputs = function()
            return outputs, _values(scope, variables)

        def skip():
            return otherwise, [v.value for v in variables]

        outputs, values = jax.lax.cond(condition, run, skip)
        _assign(variables, values)
        return outputs

    def apply_if(self, condition, optimizer, gradients, variables):
        """Applies the optimizer's update if a condition holds."""
        state = [v.value for v in optimizer.variables]
        values = [v.value for v in variables]

        def run():
            return optimizer.stateless_apply(state, gradients, values)

        if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            # It skips non-finite updates itself, and lowers its scale.
            values, state = run()
        else:
            values, state = jax.lax.cond(
                condition, run, lambda: (values, state)
            )
        _assign(variables, values)
        _assign(optimizer.variables, state)

    def all_finite(self, tensors):
        return all_finite(tensors)

    def current_step(self):
        """The index of the current training step, an int32 scalar."""
        return self.training_state.step.value

    def metrics_over_replicas(self):
        """Context in which metrics are those of all replicas, as they always
        are here."""
        return contextlib.nullcontext()


def _check_layouts(variables):
    """Raises an error if a variable was created before the distribution."""
    distribution = keras.distribution.distribution()
    if distribution is None:
        return
    count = distribution.device_mesh.devices.size
    for variable in variables:
        if len(variable.value.sharding.device_set) != count:
            raise RuntimeError(
                f"The variable {variable.path} was created before training on "
                f"{count} devices was set up, and is on other devices. Call "
                "`keras_larp.distribution.data_parallel` or `model_parallel` "
                "before you create models, layers and optimizers."
            )


def with_unknown_sizes(dataset):
    """Returns a data set of clips of several sizes: only TensorFlow needs to
    prepare it."""
    return dataset


def fused_attention(query, key, value, mask, causal, dropout_rate):
    """Attention by cuDNN: half precision on GPUs, without mask or dropout.

    Args:
        query: Tensor `(B, H, N, d)`.
        key: Tensor `(B, H, M, d)`.
        value: Tensor `(B, H, M, d)`.
        mask: Optional tensor.
        causal: Boolean.
        dropout_rate: Float.

    Returns:
        Tensor `(B, H, N, d)`, or `None` if cuDNN does not support the case.
    """
    has_options = mask is not None or dropout_rate > 0
    if has_options or _PLAIN.get() or not _cudnn_supports(query):
        return None
    length, key_length = query.shape[2], key.shape[2]

    def pad_to_even(x):
        # (B, H, N, d); cuDNN has no gradient for odd lengths.
        return jnp.pad(x, ((0, 0), (0, 0), (0, x.shape[2] % 2), (0, 0)))

    # In causal attention, only padded queries attend to padded keys.
    lengths = None
    if key_length % 2 and not causal:
        lengths = jnp.full(query.shape[:1], key_length, jnp.int32)
    tensors = [pad_to_even(x).swapaxes(1, 2) for x in (query, key, value)]
    x = jax.nn.dot_product_attention(
        *_split_by_heads(*tensors),
        is_causal=causal,
        key_value_seq_lengths=lengths,
        implementation=FUSED_ATTENTION,
    )
    return x.swapaxes(1, 2)[:, :, :length]


def _split_by_heads(query, key, value):
    """Lays out the inputs of fused attention `(B, N, H, d)` alike.

    The kernel runs on each device's part of a batch (JAX registers how it is
    partitioned), and requires that query, key and value are split alike, by
    clips and heads only. This always holds if only batches are split. Split
    projections (`model_parallel`) have other layouts, since the borders of
    their parts are not those of query, key and value.
    """
    distribution = keras.distribution.distribution()
    if not isinstance(distribution, keras.distribution.ModelParallel):
        return query, key, value
    mesh = distribution.device_mesh.backend_mesh
    batch, model = mesh.axis_names
    is_divisible = all(
        x.shape[2] % mesh.shape[model] == 0 for x in (query, key, value)
    )
    layout = jax.sharding.NamedSharding(
        mesh,
        jax.sharding.PartitionSpec(
            batch if query.shape[0] % mesh.shape[batch] == 0 else None,
            None,
            model if is_divisible else None,
        ),
    )
    return [
        jax.lax.with_sharding_constraint(x, layout) for x in (query, key, value)
    ]


def _cudnn_supports(query):
    device = jax.local_devices()[0]
    return (
        device.platform == "gpu"
        and float(getattr(device, "compute_capability", 0)) >= 8.0
        and query.dtype in (jnp.float16, jnp.bfloat16)
        and query.shape[-1] % 8 == 0
        and query.shape[-1] <= 128
    )


def compile_function(model, function):
    """Jits a function of tensors that reads the model's variables."""

    @jax.jit
    def stateless(values, *args):
        with _scope((model.variables, values)):
            return function(*args)

    def compiled(*args):
        return stateless([v.value for v in model.variables], *args)

    return compiled


def _scope(*pairs):
    """A stateless scope of pairs of variables and values."""
    mapping = [
        pair
        for variables, values in pairs
        for pair in zip(variables, values, strict=True)
    ]
    return keras.StatelessScope(state_mapping=mapping)


def _values(scope, variables):
    return [scope.get_current_value(v) for v in variables]


def _assign(variables, values):
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)

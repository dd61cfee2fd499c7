"""Differentiating and applying on JAX: pure functions of explicit state."""

import contextvars

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
]

FUSED_ATTENTION = "cudnn"
_PLAIN = contextvars.ContextVar("plain", default=False)


class StepDriver:
    """One jitted, stateless train step; see
    `keras_larp.training.step`."""

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

    def _state(self):
        """All variables of a step, with their values at this point of it."""
        variables = [*self.variables, *self.non_trainable_variables]
        variables += [*self.optimizer.variables, *self.metrics_variables]
        return [(v, v.value) for v in {id(v): v for v in variables}.values()]

    def differentiate(self, function, variables):
        """`function()`, a loss and a dictionary, and its pull-back to
        gradients of `variables`."""
        state = self._state()
        changing = [*variables, *self.non_trainable_variables]

        def pure(values):
            own = zip(variables, values, strict=True)
            with keras.StatelessScope([*state, *own]) as scope:
                loss, outputs = function()
            changes = _values(scope, changing)
            return (loss, outputs.get("reconstruction")), (outputs, changes)

        (loss, reconstruction), vjp, (outputs, changes) = jax.vjp(
            pure, [v.value for v in variables], has_aux=True
        )
        _assign(changing, changes)

        def gradients(scale, through_reconstruction=None):
            if reconstruction is not None and through_reconstruction is None:
                through_reconstruction = jnp.zeros_like(reconstruction)
            return vjp((scale, through_reconstruction))[0]

        return loss, outputs, gradients

    def input_gradient(self, function, x, differentiable=False):
        """Gradient of the first of `function(x)`, a scalar and anything else,
        and that else; `differentiable` for a gradient of the gradient."""
        # Fused attention has no second derivative.
        token = _PLAIN.set(differentiable)
        try:
            return jax.grad(function, has_aux=True)(x)
        finally:
            _PLAIN.reset(token)

    def conditionally(self, condition, function, variables):
        """`function()`, a dictionary of scalars, if the condition holds, with
        what it does to `variables`; zeros otherwise."""
        state = self._state()

        def run():
            with keras.StatelessScope(state) as scope:
                outputs = function()
            return outputs, _values(scope, variables)

        shapes, _ = jax.eval_shape(run)

        def rest():
            zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
            return zeros, [v.value for v in variables]

        outputs, values = jax.lax.cond(condition, run, rest)
        _assign(variables, values)
        return outputs

    def apply_if(self, condition, optimizer, gradients, variables):
        """Lets the optimizer update the variables if the condition holds."""
        own = [v.value for v in optimizer.variables]
        values = [v.value for v in variables]

        def run():
            return optimizer.stateless_apply(own, gradients, values)

        if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            values, own = run()  # It looks itself, and changes its scale.
        else:
            values, own = jax.lax.cond(condition, run, lambda: (values, own))
        _assign(variables, values)
        _assign(optimizer.variables, own)

    def all_finite(self, tensors):
        return all_finite(tensors)

    def current_step(self):
        return self.training_state.step.value


def fused_attention(query, key, value, mask, causal, dropout_rate):
    """Attention of heads `(B, H, N, d)` by cuDNN: half precision on GPUs,
    without mask and dropout; `None` for all else."""
    has_options = mask is not None or dropout_rate > 0
    if has_options or _PLAIN.get() or not _cudnn_takes(query):
        return None
    length, key_length = query.shape[2], key.shape[2]

    def even(x):
        # (B, H, N, d); cuDNN has no gradient for odd lengths.
        return jnp.pad(x, ((0, 0), (0, 0), (0, x.shape[2] % 2), (0, 0)))

    # Of causal attention, nobody but the padded queries sees padded keys.
    lengths = None
    if key_length % 2 and not causal:
        lengths = jnp.full(query.shape[:1], key_length, jnp.int32)
    x = jax.nn.dot_product_attention(
        *(even(x).swapaxes(1, 2) for x in (query, key, value)),
        is_causal=causal,
        key_value_seq_lengths=lengths,
        implementation=FUSED_ATTENTION,
    )
    return x.swapaxes(1, 2)[:, :, :length]


def _cudnn_takes(query):
    device = jax.devices()[0]
    return (
        device.platform == "gpu"
        and float(getattr(device, "compute_capability", 0)) >= 8.0
        and query.dtype in (jnp.float16, jnp.bfloat16)
        and query.shape[-1] % 8 == 0
        and query.shape[-1] <= 128
    )


def compile_function(model, function):
    """A jitted `function` of tensors that reads the model's variables."""

    @jax.jit
    def stateless(values, *args):
        with _scope((model.variables, values)):
            return function(*args)

    def compiled(*args):
        return stateless([v.value for v in model.variables], *args)

    return compiled


def _scope(*pairs):
    mapping = [
        p for refs, values in pairs for p in zip(refs, values, strict=True)
    ]
    return keras.StatelessScope(state_mapping=mapping)


def _values(scope, variables):
    return [scope.get_current_value(v) for v in variables]


def _assign(variables, values):
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)

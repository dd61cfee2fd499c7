"""Differentiating and applying on PyTorch: its autograd."""

import contextlib

import keras
import torch
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._pytree import tree_flatten, tree_unflatten

from keras_larp.backend.execution import compiling_with


class StepDriver:
    """One eager train step; see
    `keras_larp.training.step`."""

    def make_train_function(self, force=False):
        if force or self.train_function is None:
            self._compiler = Compiler() if self.jit_compile else None
        super().make_train_function(force)
        self._step_on_host = None

    def _should_torch_compile(self):
        return False  # Blocks are compiled, not the whole step.

    def train_step(self, data):
        if self._step_on_host is None:  # Read once; a checkpoint may set it.
            self._step_on_host = int(self.training_state.step)
        with compiling_with(self._compiler), self._seeded_dropout():
            logs = self.train_on(data)
        self._step_on_host += 1
        return logs

    @contextlib.contextmanager
    def _seeded_dropout(self):
        """Sets PyTorch's own generator, which dropout draws from, by the
        model's seed and the step: a run that goes on draws the same."""
        device = self.training_state.step.value.device
        seed = int(self.seed_generator.state[0])  # It lies on the host.
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            # On CPUs the lower 32 bits count.
            torch.manual_seed(seed * 1_000_003 + self._step_on_host)
            yield

    def test_step(self, data):
        with torch.no_grad():
            return self.test_on(data)

    def differentiate(self, function, variables):
        """`function()`, a loss and a dictionary, and its pull-back to
        gradients of `variables`."""
        loss, outputs = function()

        def gradients(scale, through_reconstruction=None):
            results, weights = [loss], [scale]
            if through_reconstruction is not None:
                results.append(outputs["reconstruction"])
                weights.append(through_reconstruction)
            return torch.autograd.grad(
                results,
                [v.value for v in variables],
                weights,
                allow_unused=True,
            )

        return loss, outputs, gradients

    def input_gradient(self, function, x, differentiable=False):
        """Gradient of the first of `function(x)`, a scalar and anything else,
        and that else; `differentiable` for a gradient of the gradient."""
        x = x.detach().requires_grad_()
        with _plain() if differentiable else contextlib.nullcontext():
            result, rest = function(x)
        (gradient,) = torch.autograd.grad(
            result, x, create_graph=differentiable
        )
        return gradient, rest

    def conditionally(self, condition, function, variables):
        """`function()`, a dictionary of scalars, if the condition, which the
        host knows, holds; an empty dictionary otherwise."""
        return function() if condition else {}

    @torch.no_grad()
    def apply_if(self, condition, optimizer, gradients, variables):
        """Lets the optimizer update the variables if the condition holds."""
        if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            optimizer.apply(gradients, variables)
        elif condition.device.type == "cpu":
            if condition:
                optimizer.apply(gradients, variables)
        else:
            self.apply_and_undo_unless(
                condition, optimizer, gradients, variables
            )

    @torch.no_grad()
    def apply_and_undo_unless(self, condition, optimizer, gradients, variables):
        """As `apply_if`, without waiting for an accelerator's answer."""
        changing = [v.value for v in [*variables, *optimizer.variables]]
        numbers = [t for t in changing if t.is_floating_point()]
        counts = [t for t in changing if not t.is_floating_point()]
        # All tensors in one kernel each time, where there are hundreds.
        before = torch._foreach_mul(numbers, 1.0)
        counts_before = [count.clone() for count in counts]
        # Without values that are not finite, which no product takes away.
        gradients = [
            None if g is None else torch.where(condition, g, 0.0)
            for g in gradients
        ]
        optimizer.apply(gradients, variables)
        taken = condition.to(torch.float32)
        torch._foreach_mul_(numbers, taken)
        torch._foreach_mul_(before, 1.0 - taken)
        torch._foreach_add_(numbers, before)
        for count, old in zip(counts, counts_before, strict=True):
            count.copy_(torch.where(condition, count, old))

    def all_finite(self, tensors):
        """Boolean scalar: whether no value of the tensors, of which some may
        be `None`, is infinite or NaN."""
        found = [t.detach().float() for t in tensors if t is not None]
        # Sums of absolute values, all in one kernel.
        sums = torch._foreach_norm(found, 1)
        return torch.isfinite(torch.stack(sums)).all()

    def current_step(self):
        return self._step_on_host


@contextlib.contextmanager
def _plain():
    """Neither fused attention nor compiled functions, which have no second
    derivative."""
    with sdpa_kernel(SDPBackend.MATH), compiling_with(None):
        yield


class Compiler:
    """Compiles functions of tensors, once for all that have the same key.

    What a function does to tensors is recorded first, so that PyTorch's
    compiler sees no Python of Keras, and is then compiled with its gradient:
    by a C++ compiler for CPUs, by Triton for accelerators.
    """

    def __init__(self):
        self.compiled = {}

    def __call__(self, key, function):
        def run(*tensors):
            kinds = tuple((t.shape, t.dtype, t.device) for t in tensors)
            full_key = (key, kinds, torch.is_grad_enabled())
            if full_key not in self.compiled:
                record = make_fx(function, pre_dispatch=True)
                graph = record(*(t.detach() for t in tensors))
                self.compiled[full_key] = torch.compile(graph, dynamic=False)
            return self.compiled[full_key](*tensors)

        return run


def fused_attention(query, key, value, mask, causal, dropout_rate):
    """Attention of heads `(B, H, N, d)`; dropout draws from PyTorch's own
    generator."""
    return torch.nn.functional.scaled_dot_product_attention(
        query, key, value, mask, dropout_rate, causal
    )


def compile_function(model, function):
    """`function` without gradients; PyTorch runs it eagerly."""
    return torch.no_grad()(function)


def compile_loop(body):
    """`loop(start, stop, state, inputs)`, which runs the state through
    `body(step, state, inputs)`.

    The body is recorded at the first step with tensors of new shapes, and
    played back at all others: Keras' own work in Python takes longer than a
    small model's products. So it may depend on tensors only through its
    arguments and the model's variables.
    """
    recordings = {}

    def record(structure, step, *leaves):
        def flat_body(step, *leaves):
            state = body(step, *tree_unflatten(leaves, structure))
            return tree_flatten(state)[0]

        return make_fx(flat_body)(step, *leaves)

    def loop(start, stop, state, inputs):
        for step in range(start, stop):
            leaves, structure = tree_flatten((state, inputs))
            step = torch.full((), step, device=leaves[0].device)
            shapes = tuple((leaf.shape, leaf.dtype) for leaf in leaves)
            if shapes not in recordings:
                recordings[shapes] = record(structure, step, *leaves)
            leaves = recordings[shapes](step, *leaves)
            state = tree_unflatten(leaves, tree_flatten(state)[1])
        return state

    return loop


def pack_kernel(kernel):
    """A kernel `(inputs, units)` as `packed_matmul` takes it: on CPUs, as
    PyTorch's library for them prefers it for some 8 rows."""
    kernel = kernel.detach().t().contiguous()
    on_cpu = kernel.device.type == "cpu" and kernel.dtype == torch.float32
    if on_cpu and torch.backends.mkldnn.is_available():
        return torch.ops.mkldnn._reorder_linear_weight(kernel, 8)
    return kernel


def packed_matmul(x, kernel):
    """`x` `(B, 1, inputs)` times a kernel that was laid out:
    `(B, 1, units)`."""
    if kernel.is_mkldnn:
        product = torch.ops.mkldnn._linear_pointwise
        return product(x, kernel, None, "none", [], "")
    return torch.nn.functional.linear(x, kernel)

"""Train step operations on PyTorch: autograd, executed eagerly."""

import contextlib

import keras
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from keras_larp.backend import compat, torch_replicas
from keras_larp.backend.compiled_functions import TRACING_LOCK
from keras_larp.backend.execution import compiling_with
from keras_larp.backend.torch_sharded_optimizer import is_absent


def register_dataclass(cls):
    """Class decorator; PyTorch needs no registration."""
    return cls


class StepDriver(compat.UncompiledTrainStep):
    """Keras' train and test step, executed eagerly. With `jit_compile=True`,
    blocks and losses are compiled.

    The order of a train step is in `keras_larp.training.step`; the methods
    are documented in `keras_larp.backend.jax_driver`.
    """

    @property
    def num_replicas(self):
        return torch_replicas.num_replicas()

    def make_train_function(self, force=False):
        if force or self.train_function is None:
            self._compiler = Compiler() if self.jit_compile else None
        super().make_train_function(force)
        self._step_on_host = None

    def train_step(self, data):
        if self._step_on_host is None:
            # Read after the callbacks, which may have restored a checkpoint.
            self._step_on_host = int(self.training_state.step)
        with (
            torch_replicas.synchronized(),
            compiling_with(self._compiler),
            self._seeded_dropout(),
        ):
            logs = self.train_on(data)
        self._step_on_host += 1
        return logs

    @contextlib.contextmanager
    def _seeded_dropout(self):
        """Seeds PyTorch's global generator, which dropout draws from, by the
        model's seed and the step, so that a resumed run draws the same, and
        by the replica, so that they draw different masks."""
        device = self.training_state.step.value.device
        seed = int(self.seed_generator.state[0])  # In host memory.
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            # On CPU, only the lower 32 bits of the seed count.
            torch.manual_seed(
                seed * 1_000_003
                + self._step_on_host
                + 7_919 * torch_replicas.replica_index()
            )
            yield

    def test_step(self, data):
        with torch.no_grad():
            return self.test_on(data)

    def differentiate(self, function, variables):
        """Calls a function and prepares its gradient."""
        tensors, outputs = function()

        def vjp(cotangents):
            values = [v.value for v in variables]
            if not values:  # All layers are frozen.
                return []
            gradients = torch.autograd.grad(
                tensors, values, cotangents, allow_unused=True
            )
            return torch_replicas.average_gradients(gradients)

        return tensors, outputs, vjp

    def input_gradient(self, function, x, differentiable=False):
        """Gradient of a function with respect to its input."""
        x = x.detach().requires_grad_()
        with _plain() if differentiable else contextlib.nullcontext():
            scalar, outputs = function(x)
        (gradient,) = torch.autograd.grad(
            scalar, x, create_graph=differentiable
        )
        return gradient, outputs

    def conditionally(self, condition, function, variables, otherwise):
        """Calls a function if a condition, a Python boolean, holds."""
        return function() if condition else otherwise

    @torch.no_grad()
    def apply_if(self, condition, optimizer, gradients, variables):
        """Applies the optimizer's update if a condition holds."""
        if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            # It skips non-finite updates itself, and lowers its scale.
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
        """Like `apply_if`, without waiting for the accelerator: applies the
        update, and restores all state if the condition does not hold."""
        state = [v.value for v in [*variables, *optimizer.variables]]
        state = [t for t in state if not is_absent(t)]
        floats = [t for t in state if t.is_floating_point()]
        integers = [t for t in state if not t.is_floating_point()]
        old_floats = compat.copy_tensors(floats)
        old_integers = [t.clone() for t in integers]
        # The weighted sum below cannot remove NaN and infinity: 0 * NaN is
        # NaN. So they must not get into the state.
        gradients = [
            None if g is None else torch.where(condition, g, 0.0)
            for g in gradients
        ]
        optimizer.apply(gradients, variables)
        compat.interpolate_tensors(
            floats, old_floats, condition.to(torch.float32)
        )
        for tensor, old in zip(integers, old_integers, strict=True):
            tensor.copy_(torch.where(condition, tensor, old))

    def all_finite(self, tensors):
        """Whether all values of all tensors are finite, a boolean scalar;
        `None` entries are skipped."""
        tensors = [t.detach().float() for t in tensors if t is not None]
        sums = compat.sums_of_absolute_values(tensors)
        return torch.isfinite(torch.stack(sums)).all()

    def current_step(self):
        """The index of the current training step, a Python integer."""
        return self._step_on_host

    def metrics_over_replicas(self):
        """Context in which metrics are those of all replicas."""
        return torch_replicas.summed(self.metrics_variables)


@contextlib.contextmanager
def _plain():
    """Disables fused attention and compiled functions, which have no second
    derivative."""
    with sdpa_kernel(SDPBackend.MATH), compiling_with(None):
        yield


class Compiler:
    """Compiles functions of tensors, once per key and input signature.

    The operations of a function are traced first, so that PyTorch's compiler
    does not see Keras' Python code, and the trace is compiled together with
    its gradient: to C++ for CPUs, to Triton for accelerators.
    """

    def __init__(self):
        self.compiled = {}

    def __call__(self, key, function):
        def run(*tensors):
            signature = tuple((t.shape, t.dtype, t.device) for t in tensors)
            full_key = (key, signature, torch.is_grad_enabled())
            # PyTorch refuses to call compiled code while any thread traces.
            with TRACING_LOCK:
                if full_key not in self.compiled:
                    # `make_fx` does not support parameters with defaults.
                    trace = compat.make_fx(
                        lambda *tensors: function(*tensors), pre_dispatch=True
                    )
                    graph = trace(*(t.detach() for t in tensors))
                    self.compiled[full_key] = torch.compile(
                        graph, dynamic=False
                    )
                return self.compiled[full_key](*tensors)

        return run


def with_unknown_sizes(dataset):
    """Returns a data set of clips of several sizes: only TensorFlow needs to
    prepare it."""
    return dataset


def fused_attention(query, key, value, mask, causal, dropout_rate):
    """Scaled dot-product attention `(B, H, N, d)`; dropout draws from
    PyTorch's global generator."""
    return torch.nn.functional.scaled_dot_product_attention(
        query, key, value, mask, dropout_rate, causal
    )


def compile_function(model, function):
    """Disables gradients and autocast in a function, which PyTorch runs
    eagerly: the model's layers have their own dtype policies."""

    @torch.no_grad()
    def run(*args):
        with torch.autocast(args[0].device.type, enabled=False):
            return function(*args)

    return run


def compile_loop(body):
    """Makes a loop whose body is traced once; see `keras_larp.backend.loop`.

    The body is traced at the first step with tensors of new shapes, and the
    trace is replayed at all other steps: for small models, Keras' Python code
    takes longer than the matrix products. The body may therefore depend on
    tensors only through its arguments and the model's variables.
    """
    traces = {}

    def trace(structure, step, *leaves):
        def flat_body(step, *leaves):
            state = body(step, *compat.tree_unflatten(leaves, structure))
            return compat.tree_flatten(state)[0]

        graph = compat.make_fx(flat_body)(step, *leaves)
        # Not the module itself: another thread that traces replaces the
        # `__call__` of all modules.
        return graph.forward

    def loop(start, stop, state, inputs):
        for step in range(int(start), int(stop)):
            leaves, structure = compat.tree_flatten((state, inputs))
            step = torch.full((), step, device=leaves[0].device)
            shapes = tuple((leaf.shape, leaf.dtype) for leaf in leaves)
            if shapes not in traces:
                with TRACING_LOCK:
                    if shapes not in traces:
                        traces[shapes] = trace(structure, step, *leaves)
            leaves = traces[shapes](step, *leaves)
            state = compat.tree_unflatten(leaves, compat.tree_flatten(state)[1])
        return state

    return loop


def pack_kernel(kernel):
    """Packs a kernel `(inputs, units)` for `packed_matmul`: on CPU, in the
    layout that oneDNN prefers for about 8 rows."""
    kernel = kernel.detach().t().contiguous()
    on_cpu = kernel.device.type == "cpu" and kernel.dtype == torch.float32
    if on_cpu and torch.backends.mkldnn.is_available():
        return compat.mkldnn_pack(kernel, 8)
    return kernel


def packed_matmul(x, kernel):
    """Multiplies `x` `(B, 1, inputs)` by a packed kernel: `(B, 1, units)`."""
    if kernel.is_mkldnn:
        return compat.mkldnn_linear(x, kernel)
    return torch.nn.functional.linear(x, kernel)

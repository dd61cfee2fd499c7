"""Collective operations of a train step on PyTorch; see `replicas`."""

import contextlib
import contextvars

import torch
import torch.distributed as dist

# Gradients are reduced in buckets: one message for each parameter would wait
# for the network's latency hundreds of times.
BUCKET_BYTES = 25 * 2**20

_IS_SYNCHRONIZED = contextvars.ContextVar("is_synchronized", default=False)
# Whether data-parallel training is enabled in this process.
_is_enabled = False


def enable():
    """Makes train steps those of replicas, one for each process."""
    global _is_enabled
    _is_enabled = True


def is_enabled():
    """Whether the processes of this job are replicas."""
    return _is_enabled


@contextlib.contextmanager
def synchronized():
    """Context of a train step, which all replicas enter together.

    Elsewhere, such as in an evaluation, replicas process different numbers of
    batches, so that they must not wait for each other.
    """
    token = _IS_SYNCHRONIZED.set(_is_enabled)
    try:
        yield
    finally:
        _IS_SYNCHRONIZED.reset(token)


def num_replicas():
    return dist.get_world_size() if _IS_SYNCHRONIZED.get() else 1


def replica_index():
    return dist.get_rank() if _IS_SYNCHRONIZED.get() else 0


class _Mean(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        x = x.clone()
        dist.all_reduce(x)
        return x / dist.get_world_size()

    @staticmethod
    def backward(ctx, gradient):
        return _Mean.apply(gradient)


def mean(x):
    return _Mean.apply(x)


def sum(x):
    x = x.detach().clone()
    dist.all_reduce(x)
    return x


def global_size(count):
    return count * num_replicas()


def own_range(count):
    """Index and number of this replica's rows among `count` of all."""
    own = count // num_replicas()
    return replica_index() * own, own


@contextlib.contextmanager
def summed(variables):
    """Context in which float32 variables have the sum over all replicas."""
    if not _is_enabled:
        yield
        return
    values = [v.value for v in variables]
    old = torch.cat([value.reshape(-1) for value in values])
    _assign(values, sum(old))
    try:
        yield
    finally:
        _assign(values, old)


@torch.no_grad()
def _assign(tensors, flat):
    sizes = [tensor.numel() for tensor in tensors]
    for tensor, part in zip(tensors, flat.split(sizes), strict=True):
        tensor.copy_(part.view_as(tensor))


def average_gradients(gradients):
    """Replaces gradients by their mean over replicas.

    Args:
        gradients: List of tensors, or `None` for unused variables, which
            must be the same ones on all replicas.

    Returns:
        List of tensors and `None`.
    """
    if num_replicas() == 1:
        return gradients
    averaged = list(gradients)
    pending = []
    for indices in buckets(gradients):
        flat = torch.cat([gradients[i].reshape(-1) for i in indices])
        # Buckets are reduced while the next ones are filled.
        work = dist.all_reduce(flat, async_op=True)
        pending.append((indices, flat, work))
    for indices, flat, work in pending:
        work.wait()
        flat /= num_replicas()
        sizes = [gradients[i].numel() for i in indices]
        for i, part in zip(indices, flat.split(sizes), strict=True):
            averaged[i] = part.view_as(gradients[i])
    return averaged


def buckets(tensors):
    """Lists of indices of tensors of one dtype and about `BUCKET_BYTES`."""
    incomplete, sizes = {}, {}
    complete = []
    for i, tensor in enumerate(tensors):
        if tensor is None:
            continue
        dtype = tensor.dtype
        incomplete.setdefault(dtype, []).append(i)
        sizes[dtype] = sizes.get(dtype, 0) + tensor.nbytes
        if sizes[dtype] >= BUCKET_BYTES:
            complete.append(incomplete.pop(dtype))
            sizes[dtype] = 0
    return [*complete, *incomplete.values()]

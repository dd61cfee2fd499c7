"""Optimizer state that is split over the processes of a job on PyTorch.

As in ZeRO stage 1, each variable belongs to one process, which alone keeps its
slots (such as Adam's moments), updates it, and sends its new value to the
others. All else (gradients, clipping, accumulation, weight decay, averages of
weights) is the same in all processes, so that results are those of complete
optimizers, bit for bit.
"""

import contextlib

import torch
import torch.distributed as dist

from keras_larp.backend import compat, torch_replicas

# State that all processes keep, because each of them updates all of it.
_COMMON = ("average", "gradient_accumulator")


# Whether `shard` splits the state of optimizers.
_is_enabled = False


def enable():
    """Makes `shard` split the state of optimizers, if there are replicas."""
    global _is_enabled
    _is_enabled = True


def shard(optimizer):
    """Splits the state of an optimizer, if this was enabled."""
    if not (_is_enabled and torch_replicas.is_enabled()):
        return
    for part in compat.parts_of(optimizer):
        if _state_of(part) is not None:
            continue
        if part.built:
            raise ValueError(
                f"The state of the optimizer {part.name!r} exists already, so "
                "that it cannot be split over processes. Compile the model "
                "with a new optimizer."
            )
        part.__dict__["_sharded_state"] = _ShardedState(part)


@contextlib.contextmanager
def gathered(optimizer):
    """Context in which the optimizer of the first process has the complete
    state, to save it. All processes must enter it."""
    states = _states_of(optimizer)
    for state in states:
        state.gather()
    try:
        yield
    finally:
        for state in states:
            state.discard()


@contextlib.contextmanager
def loading(optimizer):
    """Context in which an optimizer accepts a complete state, of which each
    process keeps its part."""
    states = _states_of(optimizer)
    for state in states:
        state.allocate()
    try:
        yield
    finally:
        for state in states:
            state.discard()


def common_variables(optimizer):
    """The variables of an optimizer that are equal in all processes."""
    slots = {id(slot) for s in _states_of(optimizer) for slot, _ in s.slots}
    return [v for v in optimizer.variables if id(v) not in slots]


def is_absent(tensor):
    """Whether a tensor stands for state that another process keeps."""
    return tensor.numel() > 1 and not any(tensor.stride())


def _states_of(optimizer):
    states = [_state_of(part) for part in compat.parts_of(optimizer)]
    return [state for state in states if state is not None]


def _state_of(optimizer):
    return optimizer.__dict__.get("_sharded_state")


class _ShardedState:
    """The part of the state of an optimizer that this process keeps."""

    def __init__(self, optimizer):
        self.optimizer = optimizer
        self.slots = []  # Pairs of a variable and the process that keeps it.
        self.owners = {}  # Processes, by the ids of the model's variables.
        self.loads = [0] * dist.get_world_size()
        self.index = dist.get_rank()
        self.is_complete = False
        # Instead of a subclass, which could not be saved and loaded.
        replaced = {
            "add_variable_from_reference": self._add_slot,
            compat.UPDATE_STEP: self._update,
            "save_own_variables": self._save,
        }
        self.original = {name: getattr(optimizer, name) for name in replaced}
        optimizer.__dict__.update(replaced)

    def gather(self):
        for slot, owner in self.slots:
            value = slot.value.detach()
            if owner != self.index:
                value = torch.empty_like(
                    value, memory_format=torch.contiguous_format
                )
            dist.broadcast(value, owner)
            if self.index == 0 and owner != 0:
                compat.replace_value(slot, value.cpu())
        self.is_complete = self.index == 0

    def allocate(self):
        for slot, owner in self.slots:
            if owner != self.index:
                shape, dtype = slot.value.shape, slot.value.dtype
                compat.replace_value(slot, torch.zeros(shape, dtype=dtype))
        self.is_complete = True

    def discard(self):
        for slot, owner in self.slots:
            if owner != self.index:
                _make_absent(slot)
        self.is_complete = False

    def _owner(self, variable):
        """The process of a variable; new ones go to the least loaded one."""
        if id(variable) not in self.owners:
            owner = self.loads.index(min(self.loads))
            self.loads[owner] += variable.value.nbytes
            self.owners[id(variable)] = owner
        return self.owners[id(variable)]

    def _add_slot(self, reference_variable, name=None, initializer="zeros"):
        add = self.original["add_variable_from_reference"]
        slot = add(reference_variable, name=name, initializer=initializer)
        if name not in _COMMON:
            owner = self._owner(reference_variable)
            self.slots.append((slot, owner))
            if owner != self.index:
                _make_absent(slot)
        return slot

    def _update(self, gradients, variables, learning_rate):
        own = [
            (gradient, variable)
            for gradient, variable in zip(gradients, variables, strict=True)
            if self._owner(variable) == self.index
        ]
        if own:
            self.original[compat.UPDATE_STEP](
                *map(list, zip(*own, strict=True)), learning_rate
            )
        for owner in range(len(self.loads)):
            values = [v.value for v in variables if self._owner(v) == owner]
            for indices in torch_replicas.buckets(values):
                _broadcast([values[i] for i in indices], owner)

    def _save(self, store):
        if not self.is_complete:
            raise RuntimeError(
                f"Each process has a part of the state of the optimizer "
                f"{self.optimizer.name!r}. Save it by "
                "`keras_larp.callbacks.Checkpoint`, or save the model without "
                "its optimizer, as a preset."
            )
        self.original["save_own_variables"](store)


@torch.no_grad()
def _broadcast(tensors, owner):
    """Replaces tensors by those of a process."""
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    dist.broadcast(flat, owner)
    sizes = [tensor.numel() for tensor in tensors]
    for tensor, part in zip(tensors, flat.split(sizes), strict=True):
        tensor.copy_(part.view_as(tensor))


def _make_absent(slot):
    """Replaces the value of a variable by zeros that take no memory."""
    value = slot.value
    zero = torch.zeros((), dtype=value.dtype, device=compat.get_device())
    compat.replace_value(slot, zero.expand(value.shape))

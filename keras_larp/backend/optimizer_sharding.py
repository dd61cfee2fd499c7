"""Optimizer state that is split over the processes of a job, on PyTorch; see
`torch_sharded_optimizer`. On other backends, optimizers are complete.

- `enable()`: makes `shard` split the state of optimizers;
- `shard(optimizer)`: splits the state of an optimizer that is not built yet,
  if this was enabled;
- `gathered(optimizer)`: context in which the first process has all of it;
- `loading(optimizer)`: context in which a complete state can be assigned;
- `common_variables(optimizer)`: the variables that all processes have.
"""

import contextlib

import keras

if keras.backend.backend() == "torch":
    from keras_larp.backend.torch_sharded_optimizer import (  # noqa: F401
        common_variables,
        enable,
        gathered,
        loading,
        shard,
    )
else:

    def enable():
        raise ValueError(
            "`shard_optimizer` is supported on PyTorch. On JAX, use "
            "`keras_larp.distribution.model_parallel`, which also splits "
            "weights and gradients. Received: shard_optimizer=True"
        )

    def shard(optimizer):
        del optimizer

    def gathered(optimizer):
        del optimizer
        return contextlib.nullcontext()

    loading = gathered

    def common_variables(optimizer):
        return optimizer.variables

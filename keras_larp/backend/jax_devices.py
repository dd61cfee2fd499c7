"""Data- and model-parallel training on JAX: `keras.distribution`.

Tensors of a step are global: XLA splits its computation over devices such that
results are those of one device.
"""

import jax
import keras
import numpy as np

from keras_larp.backend import compat, jax_processes

READS_OWN_PART = False
# The axes of the mesh of devices.
BATCH, MODEL = "batch", "model"
# The kernels that `model_parallel` splits, and how. The first product of an
# attention or MLP is split by its outputs and the second one by its inputs, so
# that only the sum of the latter needs all devices.
_LAYOUTS = {
    r"(.*/)?block_\d+/(qkv|mlp_in)/kernel": (None, MODEL),
    r"(.*/)?block_\d+/(qkv|mlp_in)/bias": (MODEL,),
    r"(.*/)?block_\d+/(projection|mlp_out)/kernel": (MODEL, None),
    r"(.*/)?(token|class)_embedding/embeddings": (None, MODEL),
    r"(.*/)?head/kernel": (None, MODEL),
}


def data_parallel(devices):
    devices = _check_devices(devices)
    _set_distribution(
        keras.distribution.DataParallel(
            devices=devices, auto_shard_dataset=False
        )
    )
    return len(devices)


def model_parallel(num_model_shards, devices):
    """Splits kernels over some devices, and batches over groups of these.

    Args:
        num_model_shards: Integer, the number of devices that share a copy of
            the model, or `None` for all devices.
        devices: Sequence of names of devices, or `None`.

    Returns:
        Integer, the number of devices.
    """
    if jax.process_count() > 1:
        # Keras would not save weights of which a process has a part only.
        raise NotImplementedError(
            "`model_parallel` is supported in one process, with all devices "
            "of a machine. For several processes, use "
            "`keras_larp.distribution.data_parallel`. Received: "
            f"{jax.process_count()} processes"
        )
    devices = _check_devices(devices)
    shards = num_model_shards or len(devices)
    if len(devices) % shards:
        raise ValueError(
            "`num_model_shards` must divide the number of devices. Received: "
            f"num_model_shards={shards}, with {len(devices)} devices"
        )
    mesh = keras.distribution.DeviceMesh(
        (len(devices) // shards, shards), (BATCH, MODEL), devices
    )
    layout_map = keras.distribution.LayoutMap(mesh)
    for pattern, axes in _LAYOUTS.items():
        layout_map[pattern] = axes
    _set_distribution(
        _ModelParallel(
            layout_map=layout_map,
            batch_dim_name=BATCH,
            auto_shard_dataset=False,
        )
    )
    return len(devices)


def num_devices():
    return jax.device_count()


def is_data_parallel():
    return keras.distribution.distribution() is not None


def check_is_enabled():
    if jax_processes.process_count() > 1 and not is_data_parallel():
        raise RuntimeError(
            f"There are {jax_processes.process_count()} processes, but each "
            "would train a model of its own. Call "
            "`keras_larp.distribution.data_parallel()` before the model is "
            "created."
        )


class _ModelParallel(keras.distribution.ModelParallel):
    """Replicates variables that the number of model shards does not divide,
    such as the head of a discriminator."""

    def get_variable_layout(self, variable):
        layout = super().get_variable_layout(variable)
        _, shards = self.device_mesh.shape
        sizes = zip(layout.axes, variable.shape, strict=True)
        if any(axis == MODEL and size % shards for axis, size in sizes):
            return keras.distribution.TensorLayout(
                [None] * len(variable.shape), self.device_mesh
            )
        return layout


def _set_distribution(distribution):
    compat.replace_distributed_iterator(_one_batch_ahead)
    compat.replace_distribution_of_values()
    keras.distribution.set_distribution(distribution)


def _check_devices(devices):
    """The names of all devices if `devices` is `None`, or the given ones."""
    available = keras.distribution.list_devices()
    if devices is None:
        return available
    if jax.process_count() > 1:
        raise ValueError(
            "With several processes, all of their devices are used. Received: "
            f"devices={list(devices)}"
        )
    # On a machine with accelerators, its CPUs may be named too.
    known = {*available, *keras.distribution.list_devices("cpu")}
    unknown = [name for name in devices if name not in known]
    if unknown or not devices or len({*devices}) < len(devices):
        raise ValueError(
            "`devices` must be different names of "
            f"{', '.join(available)}. Received: devices={list(devices)}"
        )
    return list(devices)


def _one_batch_ahead(batches, distribution, are_local):
    """Starts the transfer of each batch to the devices one step ahead."""
    next_batch = None
    for batch in batches:
        batch, next_batch = (
            next_batch,
            _distribute(batch, distribution, are_local),
        )
        if batch is not None:
            yield batch
    if next_batch is not None:
        yield next_batch


def _distribute(batch, distribution, is_local):
    """Distributes a batch over devices.

    Args:
        batch: Structure of arrays `(B, ...)`.
        distribution: `keras.distribution.Distribution`.
        is_local: Boolean. Whether the batch is this process's part of the
            global batch; otherwise all processes have the global batch.

    Returns:
        The structure of global arrays. A batch that cannot be divided by the
        number of devices, such as an incomplete last batch, is replicated:
        results are the same, and each device computes all of it.
    """
    shards = distribution.num_model_replicas

    def distribute(x):
        if x is None:
            return None
        x = np.asarray(x)
        rows = x.shape[0]
        if is_local and jax.process_count() > 1:
            _check_local_rows(rows, shards)
            layout = distribution.get_data_layout(x.shape).backend_layout
            return jax.make_array_from_process_local_data(layout, x)
        axes = [BATCH] if rows % shards == 0 else []
        layout = jax.sharding.NamedSharding(
            distribution.device_mesh.backend_mesh,
            jax.sharding.PartitionSpec(*axes),
        )
        return jax.make_array_from_callback(x.shape, layout, lambda i: x[i])

    return keras.tree.map_structure(distribute, batch)


def _check_local_rows(rows, shards):
    count = jax.process_count()
    if rows * count % shards:
        raise ValueError(
            "`batch_size` of data that is sharded by process must be "
            f"divisible by the number of devices, {shards}. Received: "
            f"batch_size={rows * count}, {rows} in each of {count} processes"
        )

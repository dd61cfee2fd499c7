from collections.abc import Sequence

from keras_larp.backend import devices as backend_devices
from keras_larp.backend import optimizer_sharding
from keras_larp.utils.checks import check_boolean, check_names


def data_parallel(
    devices: Sequence[str] | None = None, shard_optimizer: bool = False
) -> int:
    """Trains on several devices, each with a part of the global batch.

    Call it before any model or layer is created. Afterwards, `fit` splits
    batches over devices, and `batch_size` is that of the global batch. Results
    do not depend on the number of devices beyond rounding (apart from
    dropout): statistics of batches, such as those of batch normalization, of
    the codebook and of LeCam, are those of the global batch.

    - JAX: all devices of all processes, by `keras.distribution.DataParallel`.
    - PyTorch: one device per process; see `initialize`. Gradients are
      averaged by `torch.distributed`.
    - TensorFlow: the devices of this process, by
      `tf.distribute.MirroredStrategy`.

    Args:
        devices: Sequence of names of devices, such as `["gpu:0", "gpu:1"]`,
            on JAX and TensorFlow. Defaults to `None`, all of them.
        shard_optimizer: Boolean, on PyTorch. Whether each process keeps only
            its part of the optimizer's state, such as Adam's moments, and
            updates the weights of that part, as in stage 1 of ZeRO. Results
            are the same, in less memory: for Adam, 8 bytes per weight are
            divided by the number of processes. Defaults to `False`.

    Returns:
        Integer, the number of devices of all processes.

    Raises:
        ValueError: If `devices` is given on PyTorch or has unknown names, or
            `shard_optimizer` is true on another backend.

    Example:

    ```python
    keras_larp.distribution.initialize()
    keras_larp.distribution.data_parallel()
    tokenizer = keras_larp.models.LARPTokenizer(num_frames=8, image_size=32)
    ```

    Reference:
        Rajbhandari et al., "ZeRO: Memory Optimizations Toward Training
        Trillion Parameter Models", SC 2020 (`shard_optimizer`).
    """
    if devices is not None:
        check_names("devices", devices)
    if check_boolean("shard_optimizer", shard_optimizer):
        optimizer_sharding.enable()
    return backend_devices.data_parallel(devices)

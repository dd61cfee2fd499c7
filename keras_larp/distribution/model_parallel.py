from collections.abc import Sequence

from keras_larp.backend import devices as backend_devices
from keras_larp.utils.checks import check_integer, check_names


def model_parallel(
    num_model_shards: int | None = None,
    devices: Sequence[str] | None = None,
) -> int:
    """Splits the weights of large models over devices, on JAX.

    Use it for models that do not fit the memory of one device, such as the
    largest sizes of `ARVideoGenerator`; otherwise, `data_parallel` is faster.
    Call it before any model or layer is created. Groups of `num_model_shards`
    devices share one copy of the model, and each group trains on a part of
    the global batch. `batch_size` is that of the global batch.

    The kernels of attention and MLP of all transformer blocks are split, and
    so are embeddings of tokens and classes, the vocabulary head, and the state
    of the optimizer. A kernel whose size `num_model_shards` does not divide is
    replicated. Results equal those of one device up to rounding. Presets and
    checkpoints do not depend on the layout.

    Args:
        num_model_shards: Integer. Number of devices that share one copy of
            the model; must divide the number of devices. Defaults to `None`,
            all devices.
        devices: Sequence of names of devices, such as `["gpu:0", "gpu:1"]`.
            Defaults to `None`, all of them.

    Returns:
        Integer, the number of devices.

    Raises:
        NotImplementedError: On PyTorch and TensorFlow, and with several
            processes.
        ValueError: If `num_model_shards` does not divide the number of
            devices, or `devices` has unknown names.

    Example:

    ```python
    keras_larp.distribution.model_parallel(num_model_shards=1)
    generator = keras_larp.models.ARVideoGenerator(
        vocab_size=128, num_tokens=24, num_classes=5,
        hidden_dim=64, num_layers=2, num_heads=4,
    )
    ```
    """
    if num_model_shards is not None:
        check_integer("num_model_shards", num_model_shards, 1)
    if devices is not None:
        check_names("devices", devices)
    if backend_devices.model_parallel is None:
        raise NotImplementedError(
            "`model_parallel` is supported on JAX: set KERAS_BACKEND=jax. On "
            "other backends, use `keras_larp.distribution.data_parallel`, "
            "which keeps a copy of the model on each device."
        )
    return backend_devices.model_parallel(num_model_shards, devices)

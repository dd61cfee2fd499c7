"""Training on several devices; the public interface is
`keras_larp.distribution`.

Each backend's module defines

- `data_parallel(devices)`: makes each device train on a part of the global
  batch, and returns the number of devices;
- `num_devices()`: the number of devices that `data_parallel(None)` would use;
- `is_data_parallel()`: whether `data_parallel` was called;
- `check_is_enabled()`: raises `RuntimeError` if there are several processes
  and `data_parallel` was not called;
- `READS_OWN_PART`: whether each process trains on its own part of the data;
- on JAX, `model_parallel(num_model_shards, devices)`: splits kernels too.
"""

import importlib

import keras

_backend = importlib.import_module(
    f"keras_larp.backend.{keras.backend.backend()}_devices"
)
data_parallel = _backend.data_parallel
num_devices = _backend.num_devices
is_data_parallel = _backend.is_data_parallel
check_is_enabled = _backend.check_is_enabled
READS_OWN_PART = _backend.READS_OWN_PART
model_parallel = getattr(_backend, "model_parallel", None)

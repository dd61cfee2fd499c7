"""The processes of a distributed job; the public interface is
`keras_larp.distribution`.

On PyTorch and JAX. All functions but `process_count` and `process_index` must
be called by all processes together.
"""

import contextlib
import importlib

import keras
import numpy as np

_backend_name = keras.backend.backend()
# On JAX, variables are arrays of all processes, which none of them can assign.
CAN_BROADCAST = _backend_name == "torch"
_backend = (
    importlib.import_module(f"keras_larp.backend.{_backend_name}_processes")
    if _backend_name in ("jax", "torch")
    else None
)


def start_processes(address, count, index, local_index, timeout):
    """Connects this process to the others.

    Args:
        address: String, `"host:port"` of the first process, or `None` if the
            backend finds the others by itself.
        count: Integer, or `None`.
        index: Integer, or `None`.
        local_index: Integer, the index among the processes of this machine,
            or `None` if it is the only one, which uses all devices on JAX.
        timeout: Float, in seconds.
    """
    if _backend is None:
        raise NotImplementedError(
            "Several processes are supported on JAX and PyTorch. On "
            "TensorFlow, `fit` of Keras fails under "
            "`tf.distribute.MultiWorkerMirroredStrategy`: it cannot reduce "
            "scalar metrics over workers. Use several devices of one process: "
            "omit the launcher and `keras_larp.distribution.initialize`, and "
            "call `keras_larp.distribution.data_parallel`."
        )
    _backend.start(address, count, index, local_index, timeout)
    # So that initial weights are equal everywhere.
    seed = np.array([np.random.SeedSequence().entropy % 2**31], "int64")
    keras.utils.set_random_seed(int(_backend.gather(seed)[0, 0]))


def process_count():
    """The number of processes of the job; 1 before it was started."""
    return 1 if _backend is None else _backend.process_count()


def process_index():
    """The index of this process in the job."""
    return 0 if _backend is None else _backend.process_index()


def any_process(flag):
    """Whether a boolean is `True` in any process."""
    if process_count() == 1:
        return bool(flag)
    return bool(_backend.gather(np.array([flag], "uint8")).any())


def gather_texts(text):
    """The strings of all processes, in their order."""
    if process_count() == 1:
        return [text]
    data = np.frombuffer(text.encode(), "uint8")
    sizes = _backend.gather(np.array([len(data)], "int32"))[:, 0]
    padded = np.zeros(max(sizes.max(), 1), "uint8")
    padded[: len(data)] = data
    rows = _backend.gather(padded)
    return [
        row[:size].tobytes().decode()
        for row, size in zip(rows, sizes, strict=True)
    ]


def broadcast(x):
    """The array of the first process."""
    return x if process_count() == 1 else _backend.broadcast(x)


def name_lost_processes():
    """Context in which the failure of another process is an error that names
    it. On JAX, the coordinator itself ends the job with such an error."""
    if _backend_name != "torch":
        return contextlib.nullcontext()
    return _backend.name_lost_processes()


def wait_for_all():
    """Returns when all processes have called it."""
    any_process(False)

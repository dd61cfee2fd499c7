"""What the processes of a distributed job check when training starts."""

import hashlib
import importlib.metadata
import json

import keras
import numpy as np

from keras_larp.backend import devices, optimizer_sharding, processes
from keras_larp.utils.differences import describe_differences
from keras_larp.version import __version__


def check_distribution(x, validation_data):
    """Checks that a call of `fit` is ready for the processes of its job.

    Args:
        x: The data, as given to `fit`.
        validation_data: The validation data, as given to `fit`.

    Raises:
        RuntimeError: If there are several processes, but
            `keras_larp.distribution.data_parallel` was not called.
        ValueError: If each process would read all of the data.
    """
    devices.check_is_enabled()
    if processes.process_count() == 1 or not devices.READS_OWN_PART:
        return
    for name, data in (("x", x), ("validation_data", validation_data)):
        if data is None or getattr(data, "is_sharded_by_process", False):
            continue
        raise ValueError(
            f"In a job of several processes, `{name}` must be a data set that "
            "gives each process its part of each batch: create it by "
            "`keras_larp.data.video_dataset` or `token_dataset` after "
            f"`keras_larp.distribution.initialize`. Received: "
            f"{type(data).__name__}"
        )
    if not x.repeats:
        raise ValueError(
            "In a job of several processes, the training data must repeat, so "
            "that each process has equally many batches. Create them with "
            "`repeat=True`."
        )


class SynchronizeProcesses(keras.callbacks.Callback):
    """Makes all processes of a job start from equal states.

    A new run starts with the weights of the first process. A resumed run is
    refused if processes restored different states.
    """

    def on_train_begin(self, logs=None):
        if processes.process_count() == 1:
            return
        model = self.model
        _check_equal("software or settings", _settings(model))
        step = int(model.training_state.step)
        _check_equal("checkpoint", {"step": step})
        variables = [*model.variables, *model.seed_states()]
        if not step and processes.CAN_BROADCAST:
            for variable in variables:
                value = keras.ops.convert_to_numpy(variable)
                variable.assign(processes.broadcast(value))
            return
        variables += optimizer_sharding.common_variables(model.optimizer)
        _check_equal("weights", {"sha256": _digest(variables)})


def _settings(model):
    """Versions, and digests of all that was configured."""
    backend = keras.backend.backend()
    package = "tensorflow" if backend == "tensorflow" else backend
    configs = {
        "model": model.get_config(),
        "compile": model.get_compile_config(),
        "optimizer": model.optimizer.get_config(),
    }
    return {
        "keras_larp": __version__,
        "keras": keras.__version__,
        package: importlib.metadata.version(package),
        **{
            f"{name} configuration": hashlib.sha256(
                json.dumps(config, sort_keys=True, default=repr).encode()
            ).hexdigest()[:12]
            for name, config in configs.items()
        },
    }


def _digest(variables):
    digest = hashlib.sha256()
    for variable in variables:
        value = keras.ops.convert_to_numpy(variable)
        digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()[:12]


def _check_equal(what, values):
    """Checks that a dictionary is equal in all processes."""
    texts = processes.gather_texts(json.dumps(values))
    first = json.loads(texts[0])
    for index, text in enumerate(texts):
        found = json.loads(text)
        if found != first:
            labels = "process 0", f"process {index}"
            raise RuntimeError(
                f"All processes of a job must have the same {what}: install "
                "the same packages, run the same command, and use a folder "
                "that all of them share. Received: "
                f"{describe_differences(first, found, labels)}"
            )

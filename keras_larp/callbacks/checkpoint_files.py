"""Files of a checkpoint: weights, optimizers, seeds and metrics."""

import pathlib
import tempfile

import numpy as np
from keras import ops

from keras_larp.utils.array_files import (
    explain_damage,
    hdf5_shapes,
    npz_shapes,
    read_npz,
)
from keras_larp.utils.differences import describe_mismatch
from keras_larp.utils.files import check_free_space
from keras_larp.utils.json_files import (
    fields,
    integer,
    mapping,
    number,
    optional,
    read_json,
    text,
)

WEIGHTS = "model.weights.h5"
METRICS = "metrics.npz"
STATE = "state.json"
_STATE_SCHEMA = {
    "epoch": integer(),
    "epoch_step": integer(),
    "steps_per_epoch": optional(integer(1)),
    "step": integer(),
    "data": optional(mapping),
    "monitor": optional(text),
    "best": optional(fields({"value": number, "step": integer()})),
}


def checkpoint_name(step):
    return f"step_{step:08d}"


def list_checkpoints(folder):
    """Returns the paths of the checkpoints in a folder, oldest first."""
    paths = pathlib.Path(folder).glob("step_*")
    return sorted(path for path in paths if path.is_dir())


def read_state(folder):
    """Returns the content of the `state.json` of a checkpoint.

    Raises:
        ValueError: If the file is missing or damaged.
    """
    remedy = _remedy(folder)
    try:
        return read_json(folder / STATE, _STATE_SCHEMA, remedy)
    except FileNotFoundError as error:
        raise ValueError(
            f"The checkpoint {folder} has no {STATE}. {remedy}"
        ) from error


def weights_of_run(model):
    """The variables of a checkpoint, without metrics."""
    optimizer = model.optimizer
    return [*model.variables, *(optimizer.variables if optimizer else [])]


def write_variables(model, folder):
    """Writes the state that training steps update.

    Args:
        model: A compiled `keras.Model`.
        folder: Path. Gets `model.weights.h5` with weights, optimizers and
            seeds as Keras saves them, and `metrics.npz` with the state of the
            metrics.
    """
    model.save_weights(folder / WEIGHTS)
    arrays = {
        _metric_key(i, variable): ops.convert_to_numpy(variable)
        for i, variable in enumerate(model.metrics_variables)
    }
    np.savez(folder / METRICS, **arrays)


def read_variables(model, folder):
    """Loads weights, optimizers and seeds, and returns the metrics' state.

    Args:
        model: A compiled `keras.Model`.
        folder: Path that `write_variables` wrote to.

    Returns:
        List of arrays, the values of `model.metrics_variables`. `fit` resets
        metrics, so the caller has to assign them afterwards.

    Raises:
        ValueError: If variables are missing, extra or misshapen. The message
            names each of them.
    """
    if model.optimizer is not None and not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    # Keras ignores variables that are in the file but not in the model, and
    # optimizers that do not match. Compare with the files that this model
    # would write instead.
    with tempfile.TemporaryDirectory(
        prefix=".part-", dir=folder.parent
    ) as expected:
        expected = pathlib.Path(expected)
        check_free_space(expected, weights_of_run(model))
        write_variables(model, expected)
        problems = describe_mismatch(_shapes(folder), _shapes(expected))
    if problems:
        raise ValueError(
            f"The checkpoint {folder} does not match the model.\n{problems}\n"
            "Build and compile the model as in the run that saved it, or "
            "choose another folder."
        )
    remedy = _remedy(folder)
    # Other errors, such as a lack of memory, are not those of the file.
    errors = (KeyError, OSError, ValueError)
    with explain_damage(folder / WEIGHTS, remedy, errors):
        model.load_weights(folder / WEIGHTS)
    arrays = read_npz(folder / METRICS, remedy)
    return [
        arrays[_metric_key(i, variable)]
        for i, variable in enumerate(model.metrics_variables)
    ]


def _metric_key(index, variable):
    return f"metrics/{index}/{variable.path}"


def _shapes(folder):
    """Shapes of all arrays of a checkpoint, by name."""
    remedy = _remedy(folder)
    try:
        return {
            **hdf5_shapes(folder / WEIGHTS, remedy),
            **npz_shapes(folder / METRICS, remedy),
        }
    except FileNotFoundError as error:
        raise ValueError(
            f"The checkpoint {folder} is incomplete: {error}. {remedy}"
        ) from error


def _remedy(folder):
    return f"Remove the folder {folder} to resume from the previous checkpoint."

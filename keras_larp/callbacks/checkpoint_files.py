"""Files of a checkpoint: weights, optimizers, seeds and metrics."""

import pathlib
import tempfile

import h5py
import numpy as np
from keras import ops

from keras_larp.utils.differences import describe_mismatch
from keras_larp.utils.files import check_free_space

WEIGHTS = "model.weights.h5"
METRICS = "metrics.npz"


def checkpoint_name(step):
    return f"step_{step:08d}"


def list_checkpoints(folder):
    """Returns the paths of the checkpoints in a folder, oldest first."""
    paths = pathlib.Path(folder).glob("step_*")
    return sorted(path for path in paths if path.is_dir())


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
    model.load_weights(folder / WEIGHTS)
    with np.load(folder / METRICS, allow_pickle=False) as arrays:
        return [
            arrays[_metric_key(i, variable)]
            for i, variable in enumerate(model.metrics_variables)
        ]


def _metric_key(index, variable):
    return f"metrics/{index}/{variable.path}"


def _shapes(folder):
    """Shapes of all arrays of a checkpoint, by name."""
    shapes = {}

    def visit(name, entry):
        if isinstance(entry, h5py.Dataset):
            shapes[name.replace("/vars/", "/")] = entry.shape

    try:
        with h5py.File(folder / WEIGHTS) as content:
            content.visititems(visit)
        with np.load(folder / METRICS, allow_pickle=False) as arrays:
            shapes.update({name: arrays[name].shape for name in arrays.files})
    except (OSError, ValueError) as error:
        raise ValueError(
            f"The checkpoint {folder} cannot be read ({error}). Remove this "
            "folder to resume from the previous checkpoint."
        ) from error
    return shapes

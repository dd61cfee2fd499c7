"""Checkpoints on disk: a folder is there whole under its name, or not."""

import os
import pathlib
import shutil

import h5py
import numpy as np
from keras import ops

from keras_larp.presets.converters.larp_weights import describe_mismatch

WEIGHTS = "model.weights.h5"
METRICS = "metrics.npz"
_PART = ".part-"


def checkpoint_name(step):
    return f"step_{step:08d}"


def list_checkpoints(folder):
    """The whole checkpoints of a folder, oldest first."""
    return sorted(path for path in folder.glob("step_*") if path.is_dir())


def remove_leftovers(folder):
    """Removes what a killed run was writing or removing."""
    for path in folder.glob(f"{_PART}*"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def atomic_write(path, write):
    """Lets `write` fill a folder, which takes its name when it is on disk."""
    part = path.with_name(_PART + path.name)
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        write(part)
        for file in part.iterdir():
            _flush(file)
        if path.exists():
            atomic_rmtree(path)
        part.rename(path)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    _flush(path.parent)


def atomic_rmtree(path):
    """Removes a folder, which loses its name before it loses a file."""
    part = path.with_name(f"{_PART}old-{path.name}")
    path.rename(part)
    shutil.rmtree(part)


def point_to(link, name):
    """Makes `link` a relative link to `name`, at once."""
    part = link.with_name(_PART + link.name)
    part.unlink(missing_ok=True)
    part.symlink_to(name)
    os.replace(part, link)


def write_variables(model, folder):
    """Writes all that a train step carries: weights, optimizers and seeds as
    Keras does, and the running state of metrics."""
    model.save_weights(folder / WEIGHTS)
    arrays = {
        _metric_name(i, variable): ops.convert_to_numpy(variable)
        for i, variable in enumerate(model.metrics_variables)
    }
    np.savez(folder / METRICS, **arrays)


def read_variables(model, folder):
    """Loads weights, optimizers and seeds into the model.

    Returns:
        A list of arrays, the state of `model.metrics_variables`, for when
        `fit` has reset them.

    Raises:
        ValueError: If anything is missing, extra or misshapen; names it.
    """
    if model.optimizer is not None and not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    # Keras passes over what a file has too much, and over optimizers that do
    # not fit; what the model would write itself tells all.
    fitting = folder.with_name(f"{_PART}fitting")
    fitting.mkdir(exist_ok=True)
    try:
        write_variables(model, fitting)
        problems = describe_mismatch(_shapes(folder), _shapes(fitting))
    finally:
        shutil.rmtree(fitting)
    if problems:
        raise ValueError(
            f"The checkpoint {folder} does not fit the model.\n{problems}\n"
            "Build and compile the model as in the run that saved it, or "
            "choose another folder."
        )
    model.load_weights(folder / WEIGHTS)
    with np.load(folder / METRICS, allow_pickle=False) as arrays:
        return [
            arrays[_metric_name(i, variable)]
            for i, variable in enumerate(model.metrics_variables)
        ]


def _metric_name(index, variable):
    return f"metrics/{index}/{variable.path}"


def _shapes(folder):
    """Shapes of all arrays of a checkpoint, by their place in it."""
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
            "folder to go on from the checkpoint before it."
        ) from error
    return shapes


def _flush(path):
    """Waits until a file or the names in a folder are on disk."""
    handle = os.open(pathlib.Path(path), os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

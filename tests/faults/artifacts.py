"""What a command leaves on disk, in a form that can be compared."""

import csv
import hashlib
import json
import os
import pathlib

import h5py
import numpy as np

# Columns of `log.csv`, and keys of `config.json`, that two runs may differ in.
_MEASURED = {"clips_per_second"}
_INVOCATION = {"output", "resume", "save_every_steps"}
# Resumed runs compile other programs than uninterrupted ones, which may round
# differently.
_RTOL, _ATOL = 1e-5, 1e-6


def read(folder, ignored=()):
    """Returns the contents of all files of a folder, by relative path.

    Arrays and tables are parsed. All other files are hashed, except for the
    curves of a run, which show its speed.

    Args:
        folder: Path.
        ignored: Tuple of strings. Top-level names to leave out.
    """
    folder = pathlib.Path(folder)
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if name.parts[0] in ignored or (
            path.is_dir() and not path.is_symlink()
        ):
            continue
        try:
            found[str(name)] = _content(path)
        except Exception as error:  # An incomplete file raises any error.
            found[str(name)] = f"cannot be read: {error}"
    return found


def differences(expected, received):
    """Returns the names of artifacts that are missing, extra or different."""
    found = [f"{name} is missing" for name in expected.keys() - received.keys()]
    found += [f"{name} is extra" for name in received.keys() - expected.keys()]
    return sorted(found) + changed(expected, received)


def changed(expected, received):
    """Returns the names of artifacts that are in both, and different."""
    return [
        f"{name} differs"
        for name in sorted(expected.keys() & received.keys())
        if not _equal(expected[name], received[name])
    ]


def leftovers(folder):
    """Returns the names of temporary files and locks below a folder."""
    return sorted(
        str(path.relative_to(folder))
        for path in pathlib.Path(folder).rglob("*")
        if path.name.startswith((".part-", "tmp"))
        or path.name.endswith((".lock", ".partial"))
    )


def _content(path):
    if path.is_symlink():
        return os.readlink(path)
    if path.suffix == ".h5":
        return _read_h5(path)
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            return dict(arrays)
    if path.suffix == ".json":
        return _without_invocation(json.loads(path.read_text()))
    if path.suffix == ".csv":
        with path.open(newline="") as file:
            return [_row(row) for row in csv.DictReader(file)]
    if path.name == "curves.png":
        return path.read_bytes()[:8]
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _read_h5(path):
    arrays = {}

    def visit(name, entry):
        if isinstance(entry, h5py.Dataset):
            arrays[name] = entry[()]

    with h5py.File(path) as file:
        file.visititems(visit)
    return arrays


def _row(row):
    """Returns a row with parsed numbers."""
    parsed = {}
    for name, text in row.items():
        if name in _MEASURED:
            continue
        try:
            parsed[name] = np.float64(text)
        except ValueError:
            parsed[name] = text
    return parsed


def _without_invocation(content):
    if isinstance(content, dict) and "flags" in content:
        flags = content["flags"]
        kept = {k: v for k, v in flags.items() if k not in _INVOCATION}
        return {**content, "flags": kept}
    return content


def _equal(expected, received):
    if isinstance(expected, dict) and isinstance(received, dict):
        return expected.keys() == received.keys() and all(
            _equal(expected[key], received[key]) for key in expected
        )
    if isinstance(expected, list) and isinstance(received, list):
        return len(expected) == len(received) and all(
            map(_equal, expected, received)
        )
    is_number = isinstance(expected, np.ndarray | np.generic | float)
    if is_number and np.asarray(expected).dtype.kind == "f":
        return np.shape(expected) == np.shape(received) and np.allclose(
            expected, received, _RTOL, _ATOL, equal_nan=True
        )
    return np.array_equal(expected, received)

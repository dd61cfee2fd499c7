"""Shards of an evaluation: folders that only exist once they are complete.

Clips are split into batches once, in order. A shard is a range of batches, so
that every batch holds the same clips in any split and float32 models round
alike. A shard stores the measurements of each clip rather than sums: merging
concatenates the rows of all shards in order and only then aggregates, so that
results do not depend on the split. For 10,000 clips, I3D features take 2 x 16
MB.
"""

import contextlib
import json
import os
import pathlib
import re
import shutil
from collections.abc import Callable

import keras
import numpy as np
from absl import logging

from keras_larp.utils.array_files import read_npz
from keras_larp.utils.checks import check_integer
from keras_larp.utils.differences import describe_differences
from keras_larp.utils.files import (
    atomic_rmtree,
    name_full_disk,
    remove_abandoned,
)
from keras_larp.utils.json_files import (
    fields,
    integer,
    mapping_of,
    optional,
    read_json,
    text,
)
from keras_larp.utils.locks import lock_path

DESCRIPTION, ROWS = "shard.json", "rows.npz"
# Setting that holds paths, which may differ between shards.
PATHS = "paths"
_SCHEMA = {
    "settings": fields(
        {
            "codebook_size": optional(integer(1, 2**31)),
            "extractors": optional(mapping_of(text)),
        }
    ),
    "first_batch": integer(),
    "stop_batch": integer(1),
    "num_batches": integer(1),
    "skipped": mapping_of(integer()),
}
_NAME = re.compile(r"shard_\d{4,}_of_\d{4,}")


def shard_name(index: int, count: int) -> str:
    """Returns the folder name of one of `count` shards."""
    return f"shard_{index:04d}_of_{count:04d}"


def partial_path(path: pathlib.Path) -> pathlib.Path:
    """Returns the folder that a shard is written to before it is complete.

    Its name is fixed, so that rerunning a shard replaces what an interrupted
    run left behind.
    """
    return path.with_name(f"{path.name}.partial")


def parse_shard(text: str) -> tuple[int, int]:
    """Returns index and count of a string such as `"0/8"`.

    Raises:
        ValueError: If the format differs, or unless `0 <= index < count`.
    """
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    index, count = (int(n) for n in match.groups()) if match else (0, 0)
    if index >= count:
        raise ValueError(
            "A shard is i/n, with i from 0 to n - 1, such as 0/8. "
            f"Received: {text!r}"
        )
    return index, count


def check_shard(shard: tuple[int, int]) -> tuple[int, int]:
    """Checks the index of a shard and the number of shards.

    Raises:
        ValueError: Unless they are integers with `0 <= index < count`.
    """
    is_pair = isinstance(shard, list | tuple) and len(shard) == 2
    index, count = shard if is_pair else (None, None)
    count = check_integer("shard", count, 1) if is_pair else 0
    if not is_pair or not 0 <= check_integer("shard", index, 0) < count:
        raise ValueError(
            "`shard` must be an index and a number of shards, (index, count), "
            f"with 0 <= index < count. Received: shard={shard!r}"
        )
    return shard


def shard_batches(num_batches: int, index: int, count: int) -> range:
    """Returns the `range` of batches of a shard.

    Raises:
        ValueError: If there are more shards than batches.
    """
    if count > num_batches:
        raise ValueError(
            f"There are {num_batches} batches, and each shard needs at least "
            "one. Use fewer shards or processes, smaller batches or more "
            f"clips. Received: {count} shards"
        )
    return range(
        index * num_batches // count, (index + 1) * num_batches // count
    )


def write_shard(
    folder: str | os.PathLike,
    settings: dict,
    num_samples: int,
    batch_size: int,
    measure: Callable,
    shard: tuple[int, int] = (0, 1),
    overwrite: bool = False,
    verbose: int = 1,
    skipped: Callable[[], dict[str, int]] = dict,
) -> pathlib.Path:
    """Measures the clips of a shard and writes it atomically.

    Args:
        folder: Path. Folder of the evaluation.
        settings: Dictionary of everything that results depend on. It must be
            equal for all shards of the folder, except for `"paths"`.
        num_samples: Integer. Number of clips of the evaluation.
        batch_size: Integer.
        measure: Function of a list of ranges, the clip indices of each batch,
            and of a folder for files. Returns an iterator with one dictionary
            per batch, of arrays with one row per clip.
        shard: Pair of integers. Index of the shard and number of shards.
        overwrite: Boolean. Whether to repeat a shard that is complete.
        verbose: Integer. 0, or 1 for a progress bar.
        skipped: Function that returns a dictionary from each decoding error
            to the number of its occurrences.

    Returns:
        Path of the shard.

    Raises:
        BlockingIOError: If another process is writing the shard.
        ValueError: If there are more shards than batches, or the folder has
            shards with other settings. The message names them.
    """
    path = pathlib.Path(folder) / shard_name(*shard)
    num_batches = -(-num_samples // batch_size)
    batches = shard_batches(num_batches, *shard)
    description = {
        "settings": settings,
        "first_batch": batches.start,
        "stop_batch": batches.stop,
        "num_batches": num_batches,
    }
    # Compare with stored descriptions as JSON: tuples become lists.
    description = json.loads(json.dumps(description))
    others = read_descriptions(folder)
    if overwrite:
        others.pop(path.name, None)
    check_equal_settings({**others, "this run": description})
    with lock_path(path):
        if path.exists() and not overwrite:
            logging.info("%s is already complete", path)
            return path
        ranges = [
            range(i * batch_size, min((i + 1) * batch_size, num_samples))
            for i in batches
        ]
        with _partial_folder(path) as partial:
            _write(partial, description, ranges, measure, skipped, verbose)
    return path


def remove_shards(folder: str | os.PathLike, count: int) -> None:
    """Removes the shards of a folder that belong to a split into `count`."""
    for index in range(count):
        path = pathlib.Path(folder) / shard_name(index, count)
        if path.exists():
            atomic_rmtree(path)


@contextlib.contextmanager
def _partial_folder(path):
    """Yields an empty folder that replaces a shard on a normal exit."""
    remove_abandoned(path)
    partial = partial_path(path)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        with name_full_disk(path):
            yield partial
        if path.exists():
            atomic_rmtree(path)
        os.replace(partial, path)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _write(partial, description, ranges, measure, skipped, verbose):
    """Measures the batches of a shard, and writes it."""
    skipped_before = skipped()  # By previous shards in this process.
    rows = _measure_all(measure, ranges, partial, verbose)
    np.savez(partial / ROWS, **rows)
    new = {
        error: count - skipped_before.get(error, 0)
        for error, count in skipped().items()
    }
    description["skipped"] = {e: count for e, count in new.items() if count}
    text = json.dumps(description, indent=2)
    (partial / DESCRIPTION).write_text(text + "\n")


def _measure_all(measure, ranges, folder, verbose):
    """Returns the concatenated arrays of all batches, by name."""
    bar = keras.utils.Progbar(len(ranges), verbose=verbose)
    batches = []
    for i, rows in enumerate(measure(ranges, folder)):
        batches.append(rows)
        bar.update(i + 1)
    names = dict.fromkeys(name for rows in batches for name in rows)
    return {
        name: np.concatenate([rows[name] for rows in batches if name in rows])
        for name in names
    }


def read_descriptions(folder: str | os.PathLike) -> dict[str, dict]:
    """Returns the descriptions of the complete shards of a folder, by name.

    Raises:
        ValueError: If a description cannot be read. The message names it.
    """
    found = {}
    for path in sorted(pathlib.Path(folder).glob("shard_*")):
        if not _NAME.fullmatch(path.name):
            continue
        found[path.name] = _read_description(path)
    return found


def _read_description(path):
    remedy = f"Delete the shard {path} and run it again."
    try:
        description = read_json(path / DESCRIPTION, _SCHEMA, remedy)
    except FileNotFoundError as error:
        raise ValueError(
            f"{path} is not a complete shard: it has no {DESCRIPTION}. {remedy}"
        ) from error
    first, stop, count = (
        description[name]
        for name in ("first_batch", "stop_batch", "num_batches")
    )
    if not first < stop <= count:
        raise ValueError(
            f"{path / DESCRIPTION} is damaged: expected `first_batch` < "
            f"`stop_batch` <= `num_batches`. Received: {first}, {stop} and "
            f"{count}. {remedy}"
        )
    return description


def check_equal_settings(descriptions: dict[str, dict]) -> None:
    """Raises `ValueError` if the settings of shards differ.

    Args:
        descriptions: Dictionary from names of shards to their descriptions.
    """
    (first, description), *others = descriptions.items()
    expected = _without_paths(description["settings"])
    for name, description in others:
        settings = _without_paths(description["settings"])
        differences = describe_differences(
            expected, settings, labels=(f"{first} has", f"{name} has")
        )
        if differences:
            raise ValueError(
                "Shards of one evaluation must have the same settings. Choose "
                "another folder, or delete the other shards. Received: "
                f"{differences}"
            )


def _without_paths(settings):
    return {key: value for key, value in settings.items() if key != PATHS}


def read_rows(path: pathlib.Path, settings: dict) -> dict[str, np.ndarray]:
    """Returns the arrays of a shard, by name.

    Args:
        path: Path of the shard.
        settings: Dictionary of the settings in its description.

    Raises:
        ValueError: If the file is missing, damaged, or does not match the
            settings. The message names it.
    """
    remedy = f"Delete the shard {path} and run it again."
    file = path / ROWS
    try:
        rows = read_npz(file, remedy)
    except FileNotFoundError as error:
        raise ValueError(
            f"{path} is not a complete shard: it has no {ROWS}. {remedy}"
        ) from error
    features = {
        f"{kind}_{distance}"
        for distance in settings.get("extractors") or {}
        for kind in ("real", "generated")
    }
    for name, array in rows.items():
        rank = 2 if name in features or name == "token_ids" else None
        kinds = "iu" if name == "token_ids" else "biuf"
        if (
            array.ndim != (rank or max(1, array.ndim))
            or array.dtype.kind not in kinds
        ):
            problem = f"has shape {array.shape} and dtype {array.dtype}"
        elif name in features and not np.isfinite(array).all():
            problem = "has values that are not finite"
        elif name == "token_ids" and not _are_codes(array, settings):
            problem = f"has codes from {array.min()} to {array.max()}"
        else:
            continue
        raise ValueError(f"{file} is damaged: `{name}` {problem}. {remedy}")
    return rows


def _are_codes(token_ids, settings):
    size = settings.get("codebook_size")
    return size is not None and (
        not token_ids.size or 0 <= token_ids.min() <= token_ids.max() < size
    )

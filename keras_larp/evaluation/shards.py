"""Parts of an evaluation: each a folder that is there only when it is whole.

The clips of an evaluation are numbered, and cut into batches in their order,
once for all. A shard is a run of whole batches, so that each batch holds the
same clips in any split, and float32 models round alike. A shard stores what
was measured of each clip, not sums: merging puts the rows of all shards in
the order of their numbers and only then adds. So results do not depend on the
split at all. Of 10,000 clips, I3D's features take 2 x 16 MB.
"""

import json
import os
import pathlib
import re
import shutil

import keras
import numpy as np
from absl import logging

DESCRIPTION, ROWS = "shard.json", "rows.npz"
# The setting that says where files lie on a machine: shards of others merge.
PLACES = "places"
_PARTS = {
    "settings": dict,
    "first_batch": int,
    "stop_batch": int,
    "num_batches": int,
    "skipped": dict,
}
_NAME = re.compile(r"shard_\d{4,}_of_\d{4,}")


def shard_name(index, count):
    """The folder's name of one of `count` shards."""
    return f"shard_{index:04d}_of_{count:04d}"


def parse_shard(text):
    """Index and count, of a string such as `"0/8"`.

    Raises:
        ValueError: for another string, and unless 0 <= index < count.
    """
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    index, count = (int(n) for n in match.groups()) if match else (0, 0)
    if index >= count:
        raise ValueError(
            "A shard is written i/n with i from 0 to n - 1, such as 0/8. "
            f"Received: {text!r}"
        )
    return index, count


def shard_batches(num_batches, index, count):
    """The `range` of batches that a shard holds.

    Raises:
        ValueError: where there are more shards than batches.
    """
    if count > num_batches:
        raise ValueError(
            f"There are {num_batches} batches to share out, and a shard needs "
            "one. Take fewer shards, smaller batches or more clips. Received: "
            f"{count} shards"
        )
    return range(
        index * num_batches // count, (index + 1) * num_batches // count
    )


def write_shard(
    folder,
    settings,
    num_samples,
    batch_size,
    measure,
    shard=(0, 1),
    overwrite=False,
    verbose=1,
    skipped=dict,
):
    """Measures the clips of a shard, and writes the shard when it is whole.

    Args:
        folder: Path, of the whole evaluation.
        settings: Dictionary of what numbers depend on; has to be the same in
            all shards of the folder, but for what is in "places".
        num_samples: Integer, how many clips the whole evaluation has.
        batch_size: Integer.
        measure: Function of a list of ranges, the numbers of each batch's
            clips, and of a folder for files; returns a generator that yields
            for each batch a dictionary of arrays with a row for each clip.
        shard: Pair of integers, which one of how many.
        overwrite: Boolean, whether to do again a shard that is there.
        verbose: 0, or 1 for a progress bar.
        skipped: Function that returns a dictionary from the error of each
            video that was left out to how many times it was met.

    Returns:
        Path of the shard.

    Raises:
        ValueError: where there are more shards than batches, and where the
            folder has shards of other settings; names them.
    """
    folder = pathlib.Path(folder)
    name = shard_name(*shard)
    num_batches = -(-num_samples // batch_size)
    batches = shard_batches(num_batches, *shard)
    description = {
        "settings": settings,
        "first_batch": batches.start,
        "stop_batch": batches.stop,
        "num_batches": num_batches,
    }
    description = json.loads(json.dumps(description))
    others = read_descriptions(folder)
    if overwrite:
        others.pop(name, None)
    check_equal_settings({**others, "this run": description})
    place = folder / name
    if place.exists() and not overwrite:
        logging.info("%s is there and whole", place)
        return place
    part = folder / f"{name}.partial"
    # What a run that died has left.
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    ranges = [
        range(i * batch_size, min((i + 1) * batch_size, num_samples))
        for i in batches
    ]
    before = skipped()  # In shards that this process has done already.
    bar = keras.utils.Progbar(len(ranges), verbose=verbose)
    measured = []
    for i, rows in enumerate(measure(ranges, part)):
        measured.append(rows)
        bar.update(i + 1)
    names = {name: None for rows in measured for name in rows}
    arrays = {
        name: np.concatenate([rows[name] for rows in measured if name in rows])
        for name in names
    }
    np.savez(part / ROWS, **arrays)
    counts = {
        error: count - before.get(error, 0)
        for error, count in skipped().items()
    }
    description["skipped"] = {e: n for e, n in counts.items() if n}
    text = json.dumps(description, indent=2)
    (part / DESCRIPTION).write_text(text + "\n")
    if place.exists():
        shutil.rmtree(place)
    os.replace(part, place)
    return place


def read_descriptions(folder):
    """What each whole shard of a folder is, by the shard's name.

    Raises:
        ValueError: where a description does not read; names the file.
    """
    found = {}
    for path in sorted(pathlib.Path(folder).glob("shard_*")):
        if not _NAME.fullmatch(path.name):
            continue
        try:
            description = json.loads((path / DESCRIPTION).read_text())
            _check_parts(description)
        except (OSError, ValueError) as error:
            raise ValueError(
                f"{path} is no whole shard: {DESCRIPTION} in it does not read "
                f"({error}). Delete the shard and run it again."
            ) from error
        found[path.name] = description
    return found


def _check_parts(description):
    if not isinstance(description, dict):
        raise ValueError(f"a {type(description).__name__}, no dictionary")
    for name, kind in _PARTS.items():
        if not isinstance(description.get(name), kind):
            raise ValueError(f"{name!r} is missing, or no {kind.__name__}")


def check_equal_settings(descriptions):
    """Raises where shards differ in a setting; names both and the setting."""
    names = list(descriptions)
    for name in names[1:]:
        first = descriptions[names[0]]["settings"]
        other = descriptions[name]["settings"]
        differing = [
            f"{key} is {first.get(key)!r} in {names[0]} and "
            f"{other.get(key)!r} in {name}"
            for key in sorted({*first, *other} - {PLACES})
            if first.get(key) != other.get(key)
        ]
        if differing:
            raise ValueError(
                "Shards of one evaluation must have the same settings. Choose "
                "another folder, or delete the shards of the other one. "
                f"Received: {'; '.join(differing)}"
            )


def read_rows(path):
    """The arrays of a shard, by name.

    Raises:
        ValueError: where the file does not read; names it.
    """
    try:
        with np.load(path / ROWS, allow_pickle=False) as arrays:
            return dict(arrays)
    # A broken zip file raises errors of many kinds.
    except Exception as error:
        raise ValueError(
            f"{path / ROWS} does not read ({error}). Delete the shard and run "
            "it again."
        ) from error

import dataclasses
import itertools
import json
import os

import numpy as np

from keras_larp.evaluation.motion_rows import PARTIAL_ROWS
from keras_larp.evaluation.shards import (
    check_equal_settings,
    partial_path,
    read_descriptions,
    read_rows,
    shard_name,
)
from keras_larp.metrics import (
    CodeStatistics,
    FeatureStatistics,
    frechet_distance,
)
from keras_larp.utils.checks import check_path
from keras_larp.utils.files import atomic_write_text
from keras_larp.utils.locks import lock_path

# Statistics accumulate chunks of rows of this size, whatever the sizes of the
# shards, so that rounding does not depend on the split.
_CHUNK_SIZE = 1024
# Length of the list of missing shards in an error message.
_MAX_NAMES = 100


def merge(folder: str | os.PathLike) -> tuple[dict, dict]:
    """Merges the shards of an evaluation into its results.

    It also writes `results.json`, with the results and settings, and the
    `FeatureStatistics` of real and generated clips for each Fréchet distance,
    such as `real_gFVD.npz`. Results do not depend on the number of shards.

    Args:
        folder: String or path. Folder of the evaluation.

    Returns:
        Two dictionaries, results and settings.

    Raises:
        FileNotFoundError: If shards are missing. The message names them.
        ValueError: If shards overlap or have different settings. The message
            names them.

    Example:

    ```python
    tokenizer = keras_larp.presets.load("larp_tiny_moving_shapes_tokenizer")
    source = keras_larp.data.MovingShapes(16, num_frames=16, image_size=32)
    clips = keras_larp.evaluation.EvaluationClips(source, 16, 32)
    for index in range(2):  # In parallel, with one process per shard.
        keras_larp.evaluation.evaluate_reconstruction(
            "runs/sharded", tokenizer, clips, shard=(index, 2)
        )
    results, settings = keras_larp.evaluation.merge("runs/sharded")
    ```
    """
    folder = check_path("folder", folder)
    evaluation = read_evaluation(folder)
    settings = evaluation.settings
    path = folder / "results.json"
    with lock_path(path, wait=True):
        results = _results(folder, evaluation.rows, settings)
        results["num_skipped_clips"] = evaluation.num_skipped_clips
        text = json.dumps({"results": results, "settings": settings}, indent=2)
        atomic_write_text(path, text + "\n")
    return results, settings


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The measurements of a complete evaluation.

    Attributes:
        rows: Dictionary of arrays with one row per clip, by name.
        settings: Dictionary of everything that results depend on.
        num_skipped_clips: Integer. Number of clips that did not decode, which
            have no rows.
    """

    rows: dict[str, np.ndarray]
    settings: dict
    num_skipped_clips: int


def read_evaluation(folder: str | os.PathLike) -> Evaluation:
    """Reads all shards of an evaluation, in the order of their clips.

    Raises:
        FileNotFoundError: See `merge`.
        ValueError: See `merge`.
    """
    folder = check_path("folder", folder)
    names, settings = _ordered_shards(folder)
    shards = {name: read_rows(folder / name, settings) for name in names}
    rows = {}
    for key in dict.fromkeys(k for shard in shards.values() for k in shard):
        arrays = {n: shard[key] for n, shard in shards.items() if key in shard}
        _check_row_shapes(folder, key, arrays)
        rows[key] = np.concatenate(list(arrays.values()))
    descriptions = read_descriptions(folder)
    num_skipped = sum(
        sum(descriptions[name]["skipped"].values()) for name in names
    )
    return Evaluation(rows, settings, num_skipped)


def _check_row_shapes(folder, key, arrays):
    """Checks that the rows of an array are equally long in all shards."""
    first, *others = arrays
    for name in others:
        if arrays[name].shape[1:] != arrays[first].shape[1:]:
            raise ValueError(
                f"The shards {first} and {name} in {folder} do not match: "
                f"`{key}` has shapes {arrays[first].shape} and "
                f"{arrays[name].shape}. Delete one of them and run it again."
            )


def _ordered_shards(folder):
    """Returns the shards' names in the order of batches, and the settings."""
    shards = read_descriptions(folder)
    if not shards:
        raise FileNotFoundError(
            f"There are no shards in {folder}. Run an evaluation to write them."
        )
    check_equal_settings(shards)
    names = sorted(shards, key=lambda name: shards[name]["first_batch"])
    next_batch, previous, gaps = 0, None, []
    for name in names:
        first, stop = shards[name]["first_batch"], shards[name]["stop_batch"]
        if first < next_batch:
            raise ValueError(
                f"Shards overlap: {previous} and {name} both hold batch "
                f"{first}. Delete one of them in {folder}."
            )
        if first > next_batch:
            gaps.append(f"{next_batch} to {first - 1}")
        next_batch, previous = stop, name
    num_batches = shards[previous]["num_batches"]
    if next_batch < num_batches:
        gaps.append(f"{next_batch} to {num_batches - 1}")
    if gaps:
        raise FileNotFoundError(
            f"Batches {', '.join(gaps)} of {num_batches} are missing in "
            f"{folder}{_missing_names(folder, names)}. Run the missing shards "
            "with the same settings, and merge again."
        )
    return names, shards[names[0]]["settings"]


def _missing_names(folder, names):
    """Names the missing shards if all shards belong to one split."""
    counts = {int(name.split("_")[-1]) for name in names}
    if len(counts) > 1:
        return f", which has {', '.join(names)}"
    count = counts.pop()
    missing = (
        name
        for i in range(count)
        if (name := shard_name(i, count)) not in names
    )
    texts = [
        f"{name} (started, not finished)"
        if partial_path(folder / name).exists()
        else name
        for name in itertools.islice(missing, _MAX_NAMES)
    ]
    if count > len(names) + _MAX_NAMES:
        texts.append("...")
    return f": {', '.join(texts)}"


def _results(folder, rows, settings):
    """Returns means of scalars, code statistics and Fréchet distances."""
    results = {}
    for key, values in rows.items():
        if key == "token_ids":
            codes = CodeStatistics(settings["codebook_size"])
            for start in range(0, len(values), _CHUNK_SIZE):
                codes.update_state(values[start : start + _CHUNK_SIZE])
            results |= {k: float(v) for k, v in codes.result().items()}
        elif values.ndim == 1:
            if key in PARTIAL_ROWS:
                values = values[~np.isnan(values)]
            # Without a value, such as PSNR of moving pixels of still clips,
            # there is no result.
            if len(values):
                results[key] = float(values.mean(dtype="float64"))
    for distance, extractor_name in (settings.get("extractors") or {}).items():
        pair = []
        for kind in ("real", "generated"):
            if f"{kind}_{distance}" not in rows:
                raise ValueError(
                    f"The shards in {folder} have no `{kind}_{distance}`, the "
                    f"features of the {distance}. Delete the shards and run "
                    "them again."
                )
            features = rows[f"{kind}_{distance}"]
            statistics = FeatureStatistics(extractor_name)
            for start in range(0, len(features), _CHUNK_SIZE):
                statistics.update(features[start : start + _CHUNK_SIZE])
            statistics.save(folder / f"{kind}_{distance}.npz")
            pair.append(statistics)
            results[f"num_{kind}_clips"] = statistics.count
        results[distance] = frechet_distance(*pair)
    return results

import dataclasses
import json
import os
import pathlib

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
from keras_larp.utils.files import atomic_write_text

# Statistics accumulate chunks of rows of this size, whatever the sizes of the
# shards, so that rounding does not depend on the split.
_CHUNK_SIZE = 1024


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
    folder = pathlib.Path(folder)
    evaluation = read_evaluation(folder)
    settings = evaluation.settings
    results = _results(folder, evaluation.rows, settings)
    results["num_skipped_clips"] = evaluation.num_skipped_clips
    text = json.dumps({"results": results, "settings": settings}, indent=2)
    atomic_write_text(folder / "results.json", text + "\n")
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
    folder = pathlib.Path(folder)
    names, settings = _ordered_shards(folder)
    shards = [read_rows(folder / name) for name in names]
    rows = {}
    for key in dict.fromkeys(key for shard in shards for key in shard):
        arrays = [shard[key] for shard in shards if key in shard]
        rows[key] = np.concatenate(arrays)
    descriptions = read_descriptions(folder)
    num_skipped = sum(
        sum(descriptions[name]["skipped"].values()) for name in names
    )
    return Evaluation(rows, settings, num_skipped)


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
    missing = [shard_name(i, count) for i in range(count)]
    texts = [
        f"{name} (started, not finished)"
        if partial_path(folder / name).exists()
        else name
        for name in missing
        if name not in names
    ]
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
    for distance, extractor_name in settings.get("extractors", {}).items():
        pair = []
        for kind in ("real", "generated"):
            features = rows[f"{kind}_{distance}"]
            statistics = FeatureStatistics(extractor_name)
            for start in range(0, len(features), _CHUNK_SIZE):
                statistics.update(features[start : start + _CHUNK_SIZE])
            statistics.save(folder / f"{kind}_{distance}.npz")
            pair.append(statistics)
            results[f"num_{kind}_clips"] = statistics.count
        results[distance] = frechet_distance(*pair)
    return results

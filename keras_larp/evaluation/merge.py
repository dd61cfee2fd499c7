import json
import os
import pathlib

import numpy as np

from keras_larp.evaluation.shards import (
    check_equal_settings,
    read_descriptions,
    read_rows,
    shard_name,
)
from keras_larp.metrics import (
    CodeStatistics,
    FeatureStatistics,
    frechet_distance,
)

# Rows that are added at once: of all shards together, whatever their sizes.
_CHUNK = 1024


def merge(folder):
    """Puts the shards of an evaluation together.

    Also writes `results.json`, with results and settings, and the
    `FeatureStatistics` of both sets of clips for each Fréchet distance, such
    as `real_gFVD.npz`.

    Args:
        folder: Path in which the shards are.

    Returns:
        A pair of dictionaries, results and settings.

    Raises:
        FileNotFoundError: where there are no shards, or some are missing;
            names those.
        ValueError: where shards overlap or have other settings; names them.

    Example:

    ```python
    for i in range(8):  # or each in a process of its own
        keras_larp.evaluation.evaluate_reconstruction(
            "runs/rfvd", tokenizer, clips, extractor, shard=(i, 8)
        )
    results, settings = keras_larp.evaluation.merge("runs/rfvd")
    results["rFVD"]
    ```
    """
    folder = pathlib.Path(folder)
    names, settings = _ordered_shards(folder)
    parts = [read_rows(folder / name) for name in names]
    rows = {}
    for key in dict.fromkeys(key for part in parts for key in part):
        rows[key] = np.concatenate([part[key] for part in parts if key in part])
    results = _results(folder, rows, settings)
    descriptions = read_descriptions(folder)
    results["num_skipped_clips"] = sum(
        sum(descriptions[name]["skipped"].values()) for name in names
    )
    text = json.dumps({"results": results, "settings": settings}, indent=2)
    part = folder / "results.json.partial"
    part.write_text(text + "\n")
    os.replace(part, folder / "results.json")
    return results, settings


def _ordered_shards(folder):
    """Names of the shards in the order of their batches, and the settings."""
    shards = read_descriptions(folder)
    if not shards:
        raise FileNotFoundError(
            f"There are no shards in {folder}. `evaluate` with `shard=` "
            "writes them."
        )
    check_equal_settings(shards)
    names = sorted(shards, key=lambda name: shards[name]["first_batch"])
    reached, before, gaps = 0, None, []
    for name in names:
        first, stop = shards[name]["first_batch"], shards[name]["stop_batch"]
        if first < reached:
            raise ValueError(
                f"Shards overlap: {before} and {name} both hold batch {first}. "
                f"Delete one of them in {folder}."
            )
        if first > reached:
            gaps.append(f"{reached} to {first - 1}")
        reached, before = stop, name
    total = shards[before]["num_batches"]
    if reached < total:
        gaps.append(f"{reached} to {total - 1}")
    if gaps:
        raise FileNotFoundError(
            f"Batches {', '.join(gaps)} of {total} are missing in {folder}"
            f"{_missing_names(folder, names)}. Run what is missing, with the "
            "same settings, and merge again."
        )
    return names, shards[names[0]]["settings"]


def _missing_names(folder, names):
    """Which shards are missing, where all are of one split."""
    counts = {int(name.split("_")[-1]) for name in names}
    if len(counts) > 1:
        return f", which has {', '.join(names)}"
    count = counts.pop()
    missing = [shard_name(i, count) for i in range(count)]
    texts = [
        f"{name} (begun and not ended)"
        if (folder / f"{name}.partial").exists()
        else name
        for name in missing
        if name not in names
    ]
    return f": {', '.join(texts)}"


def _results(folder, rows, settings):
    """Means of numbers, code statistics and Fréchet distances."""
    results = {}
    for key, values in rows.items():
        if key == "token_ids":
            codes = CodeStatistics(settings["codebook_size"])
            for start in range(0, len(values), _CHUNK):
                codes.update_state(values[start : start + _CHUNK])
            results |= {k: float(v) for k, v in codes.result().items()}
        elif values.ndim == 1:
            results[key] = float(values.mean(dtype="float64"))
    for distance, extractor in settings.get("extractors", {}).items():
        pair = []
        for kind in ("real", "generated"):
            features = rows[f"{kind}_{distance}"]
            statistics = FeatureStatistics(extractor)
            for start in range(0, len(features), _CHUNK):
                statistics.update(features[start : start + _CHUNK])
            statistics.save(folder / f"{kind}_{distance}.npz")
            pair.append(statistics)
            results[f"num_{kind}_clips"] = statistics.count
        results[distance] = frechet_distance(*pair)
    return results

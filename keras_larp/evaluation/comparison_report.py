"""Verdict, table and grid of clips of two evaluations."""

import math
import os
from collections.abc import Sequence

import numpy as np

from keras_larp import data
from keras_larp.evaluation.comparison import MetricComparison
from keras_larp.utils.checks import (
    check_instance,
    check_integer,
    check_names,
    check_path,
    check_sequence,
)


def comparison_verdict(
    comparisons: Sequence[MetricComparison], names: Sequence[str] = ("a", "b")
) -> str:
    """Says in words which evaluation is better in what.

    Args:
        comparisons: List that `compare_evaluations` returned.
        names: Pair of strings. What to call the evaluations. Defaults to
            `("a", "b")`.

    Returns:
        String, such as `"b is better in PSNR by 0.8 ± 0.2 dB; no difference
        in SSIM"`.

    Example:

    ```python
    comparison = keras_larp.evaluation.MetricComparison(
        "PSNR", 20.0, 20.8, 0.6, 1.0, num_clips=(64, 64), paired=True,
        larger_is_better=True, unit="dB",
    )
    keras_larp.evaluation.comparison_verdict([comparison])
    # "b is better in PSNR by 0.8 ± 0.2 dB"
    ```
    """
    comparisons, names = _check_arguments(comparisons, names)
    parts = []
    for key, name in zip(("b", "a"), reversed(names), strict=True):
        wins = [_by(c) for c in comparisons if c.better == key]
        if wins:
            parts.append(f"{name} is better in {', '.join(wins)}")
    ties = [c.name for c in comparisons if c.better is None]
    if ties:
        parts.append(f"no difference in {', '.join(ties)}")
    return "; ".join(parts)


def comparison_table(
    comparisons: Sequence[MetricComparison], names: Sequence[str] = ("a", "b")
) -> str:
    """Returns a Markdown table of comparisons, one row per metric.

    Args:
        comparisons: List that `compare_evaluations` returned.
        names: Pair of strings, as in `comparison_verdict`.

    Example:

    ```python
    comparison = keras_larp.evaluation.MetricComparison(
        "PSNR", 20.0, 20.8, 0.6, 1.0, num_clips=(64, 64), paired=True,
        larger_is_better=True, unit="dB",
    )
    print(keras_larp.evaluation.comparison_table([comparison]))
    ```
    """
    comparisons, (a, b) = _check_arguments(comparisons, names)
    by_key = {"a": a, "b": b, None: "-"}
    lines = [f"| metric | {a} | {b} | difference | interval | clips | better |"]
    lines += ["|---|---|---|---|---|---|---|"]
    for c in comparisons:
        counts = " and ".join(str(n) for n in dict.fromkeys(c.num_clips))
        kind = "the same" if c.paired else "resampled separately"
        lines.append(
            f"| {c.name} | {c.a:.6g} | {c.b:.6g} | {c.difference:+.3g} "
            f"| {c.low:+.3g} to {c.high:+.3g} | {counts}, {kind} "
            f"| {by_key[c.better]} |"
        )
    return "\n".join(lines) + "\n"


def comparison_grid(
    first: str | os.PathLike, second: str | os.PathLike, num_clips: int = 8
) -> np.ndarray | None:
    """Arranges the saved videos of two evaluations side by side.

    Args:
        first: String or path. Folder of an evaluation with saved videos.
        second: String or path. Folder of another one.
        num_clips: Integer. Maximum number of clips. Defaults to 8.

    Returns:
        uint8 array `(T, H, W, 3)`, with one row per clip, the first
        evaluation on the left. `None` if the evaluations have no saved clip
        in common, or their clips have different sizes.

    Example:

    ```python
    grid = keras_larp.evaluation.comparison_grid("runs/a", "runs/b")
    if grid is not None:
        keras_larp.data.write_video("comparison.gif", grid)
    ```
    """
    check_integer("num_clips", num_clips, 1)
    first, second = check_path("first", first), check_path("second", second)
    paths = [_saved_videos(folder) for folder in (first, second)]
    names = sorted(paths[0].keys() & paths[1].keys())[:num_clips]
    videos = [
        data.read_clip(found[name], num_frames=data.count_frames(found[name]))
        for name in names
        for found in paths
    ]
    if len({video.shape for video in videos}) != 1:
        return None
    return data.video_grid(np.stack(videos), 2)


def _check_arguments(comparisons, names):
    """Returns the comparisons as a list, and the two names."""
    comparisons = [
        check_instance("comparisons", comparison, MetricComparison)
        for comparison in check_sequence("comparisons", comparisons)
    ]
    names = check_names("names", names)
    if len(names) != 2:
        raise ValueError(
            f"`names` must be two names. Received: names={list(names)}"
        )
    return comparisons, names


def _saved_videos(folder):
    """Paths of the clips that an evaluation saved, by file name."""
    paths = folder.glob("shard_*/videos/*.mp4")
    return {path.name: path for path in paths}


def _by(comparison):
    """A metric, and by how much its values differ."""
    spread = (comparison.high - comparison.low) / 2.0
    # One digit of the spread, such as 0.8 ± 0.2.
    decimals = max(0, -math.floor(math.log10(spread))) if spread else 3
    text = f"{abs(comparison.difference):.{decimals}f} ± {spread:.{decimals}f}"
    return f"{comparison.name} by {text} {comparison.unit}".rstrip()

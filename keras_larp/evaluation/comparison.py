"""Comparison of two evaluations, with bootstrap intervals over clips."""

import dataclasses
import os
from collections.abc import Callable, Sequence

import numpy as np

from keras_larp.evaluation.merge import read_evaluation
from keras_larp.metrics import FeatureStatistics, frechet_distance
from keras_larp.utils.checks import check_integer, check_number, check_path

# Per-clip metrics of a model: whether larger is better, and the unit.
_METRICS = {
    "PSNR": (True, "dB"),
    "PSNR_of_moving_pixels": (True, "dB"),
    "PSNR_of_predicted_frames": (True, "dB"),
    "PSNR_of_predicted_moving_pixels": (True, "dB"),
    "SSIM": (True, ""),
    "MSE": (False, ""),
    "LPIPS": (False, ""),
    "still_flicker": (False, ""),
    "class_fidelity": (True, ""),
    "motion_class_fidelity": (True, ""),
}
# Each resample of a Fréchet distance decomposes four covariances.
_MAX_DISTANCE_RESAMPLES = 200


@dataclasses.dataclass(frozen=True)
class MetricComparison:
    """The values of a metric in two evaluations `a` and `b`.

    Attributes:
        name: String. Name of the metric, as in the results of `merge`.
        a: Float. Value in the first evaluation.
        b: Float. Value in the second evaluation.
        low: Float. Lower bound of the interval of `b - a`.
        high: Float. Upper bound of it.
        num_clips: Pair of integers. Numbers of clips of the evaluations.
        paired: Boolean. Whether both have the same clips.
        larger_is_better: Boolean.
        unit: String. `"dB"` or empty.

    Example:

    ```python
    comparison = keras_larp.evaluation.MetricComparison(
        "PSNR", 20.0, 20.8, 0.6, 1.0, num_clips=(64, 64), paired=True,
        larger_is_better=True, unit="dB",
    )
    comparison.better  # "b"
    ```
    """

    name: str
    a: float
    b: float
    low: float
    high: float
    num_clips: tuple[int, int]
    paired: bool
    larger_is_better: bool
    unit: str

    @property
    def difference(self) -> float:
        """Float. `b - a`."""
        return self.b - self.a

    @property
    def better(self) -> str | None:
        """`"a"` or `"b"`, or `None` if the interval contains 0."""
        if self.low <= 0.0 <= self.high:
            return None
        return "b" if (self.low > 0.0) == self.larger_is_better else "a"


def compare_evaluations(
    first: str | os.PathLike,
    second: str | os.PathLike,
    confidence: float = 0.95,
    num_resamples: int = 2000,
    seed: int = 0,
) -> list[MetricComparison]:
    """Compares two evaluations by bootstrap intervals over their clips.

    For each metric with one value per clip, clips are resampled with
    replacement, and the interval is that of the difference of the means. If
    both evaluations reconstruct or predict the same clips, the same clips are
    drawn for both, which removes the variation between clips. Clips without a
    value in one of them, such as PSNR of moving pixels of a still clip, are
    left out.

    Fréchet distances are computed from resampled features, at most 200 times.
    Resamples repeat clips and so have larger distances; the intervals of all
    metrics are therefore centered: the spread of the resampled differences
    around their mean, added to the observed difference.

    The intervals cover the choice of clips. They do not cover the seeds of
    training: two runs with the same settings differ as well.

    Args:
        first: String or path. Folder of a complete evaluation.
        second: String or path. Folder of another one of the same kind.
        confidence: Float in (0, 1). Defaults to 0.95.
        num_resamples: Integer. Defaults to 2000.
        seed: Integer. Seed of the resampling. Defaults to 0.

    Returns:
        List of `MetricComparison`.

    Raises:
        FileNotFoundError: If shards are missing.
        ValueError: If the kinds of the evaluations differ, or they have no
            metric in common.

    Example:

    ```python
    tokenizer = keras_larp.presets.load("larp_tiny_moving_shapes_tokenizer")
    source = keras_larp.data.MovingShapes(16, num_frames=16, image_size=32)
    clips = keras_larp.evaluation.EvaluationClips(source, 16, 32)
    for run in ("runs/a", "runs/b"):
        keras_larp.evaluation.evaluate_reconstruction(run, tokenizer, clips)
    comparisons = keras_larp.evaluation.compare_evaluations("runs/a", "runs/b")
    keras_larp.evaluation.comparison_verdict(comparisons)
    # "no difference in PSNR, PSNR_of_moving_pixels, SSIM, ..."
    ```
    """
    check_number("confidence", confidence, "(0, 1)")
    check_integer("num_resamples", num_resamples, 2)
    check_integer("seed", seed, 0)
    check_path("first", first)
    check_path("second", second)
    evaluations = [read_evaluation(folder) for folder in (first, second)]
    kinds = [e.settings["kind"] for e in evaluations]
    if kinds[0] != kinds[1]:
        raise ValueError(
            "Expected two evaluations of the same kind. Received: "
            f"{kinds[0]} in {first} and {kinds[1]} in {second}"
        )
    paired = _same_clips(*evaluations)
    options = confidence, num_resamples, seed
    found = _compare_rows(evaluations, paired, *options)
    found += _compare_distances(evaluations, paired, *options)
    if not found:
        raise ValueError(
            f"{first} and {second} have no metric in common that is measured "
            "for at least 2 clips. Evaluate both with the same flags."
        )
    return found


def _same_clips(first, second):
    """Whether row i of both evaluations is the same clip, for all rows."""
    if first.settings["kind"] == "generation":
        return False
    names = first.rows.keys() & second.rows.keys()
    # Tokenizers of two sizes may be compared on the same clips.
    clips = [
        {**e.settings["clips"], "image_size": None} for e in (first, second)
    ]
    return (
        clips[0] == clips[1]
        # Clips that do not decode have no row.
        and not first.num_skipped_clips + second.num_skipped_clips
        and all(len(first.rows[n]) == len(second.rows[n]) for n in names)
    )


def _compare_rows(evaluations, paired, confidence, num_resamples, seed):
    """Compares the means of metrics with one value per clip."""
    found = []
    for name, (larger_is_better, unit) in _METRICS.items():
        if not all(name in e.rows for e in evaluations):
            continue
        values = [e.rows[name].astype("float64") for e in evaluations]
        values = _defined(values, paired)
        if min(map(len, values)) < 2:
            continue
        a, b = (float(np.mean(v)) for v in values)
        labels = ("clips", "clips") if paired else ("a", "b")
        samples = _resample(
            [[(label, v)] for label, v in zip(labels, values, strict=True)],
            np.mean,
            num_resamples,
            seed,
        )
        low, high = _interval(samples, b - a, confidence)
        counts = len(values[0]), len(values[1])
        found.append(
            MetricComparison(
                name, a, b, low, high, counts, paired, larger_is_better, unit
            )
        )
    return found


def _defined(values, paired):
    """Removes NaN; of pairs, both values."""
    defined = [~np.isnan(v) for v in values]
    if paired:
        defined = [defined[0] & defined[1]] * 2
    return [v[d] for v, d in zip(values, defined, strict=True)]


def _compare_distances(evaluations, paired, confidence, num_resamples, seed):
    """Compares Fréchet distances of the same feature extractor."""
    extractors = [e.settings.get("extractors", {}) for e in evaluations]
    found = []
    for name, extractor in extractors[0].items():
        if extractor != extractors[1].get(name):
            continue
        groups = [
            [
                (label, e.rows[f"{kind}_{name}"])
                for kind, label in _feature_labels(e, side, paired).items()
            ]
            for e, side in zip(evaluations, ("a", "b"), strict=True)
        ]
        if min(len(x) for group in groups for _, x in group) < 2:
            continue
        a, b = (_distance(*(x for _, x in group)) for group in groups)
        num_resamples = min(num_resamples, _MAX_DISTANCE_RESAMPLES)
        samples = _resample(groups, _distance, num_resamples, seed)
        low, high = _interval(samples, b - a, confidence)
        counts = len(groups[0][1][1]), len(groups[1][1][1])
        found.append(
            MetricComparison(
                name, a, b, low, high, counts, paired, False, unit=""
            )
        )
    return found


def _feature_labels(evaluation, side, paired):
    """Which features are resampled together: those with the same label."""
    if evaluation.settings["kind"] == "generation":
        # The same real clips, unless some of them do not decode.
        clips = evaluation.settings["real_clips"]
        real = f"real {side if evaluation.num_skipped_clips else clips}"
        return {"real": real, "generated": f"generated {side}"}
    # A clip and its reconstruction stay together.
    return dict.fromkeys(("real", "generated"), "clips" if paired else side)


def _distance(real, generated):
    pair = []
    for features in (real, generated):
        statistics = FeatureStatistics()
        statistics.update(features)
        pair.append(statistics)
    return frechet_distance(*pair)


def _resample(
    groups: Sequence[Sequence[tuple[str, np.ndarray]]],
    statistic: Callable,
    num_resamples: int,
    seed: int,
) -> np.ndarray:
    """Returns differences of a statistic of resampled clips, second - first.

    Args:
        groups: For each of two evaluations, a list of pairs of a label and an
            array with one row per clip. The same rows are drawn of arrays
            with the same label.
        statistic: Function of the arrays of an evaluation.
        num_resamples: Integer.
        seed: Integer.
    """
    generator = np.random.default_rng(seed)
    differences = []
    for _ in range(num_resamples):
        drawn, values = {}, []
        for group in groups:
            arrays = []
            for label, x in group:
                if label not in drawn:
                    drawn[label] = generator.integers(len(x), size=len(x))
                arrays.append(x[drawn[label]])
            values.append(statistic(*arrays))
        differences.append(values[1] - values[0])
    return np.array(differences)


def _interval(samples, difference, confidence):
    """The centered bootstrap interval of a difference."""
    tail = (1.0 - confidence) / 2.0
    spread = np.quantile(samples - samples.mean(), [tail, 1.0 - tail])
    return tuple(float(difference + s) for s in spread)

"""Comparing evaluations whose values are known."""

import math

import numpy as np
import pytest

from keras_larp import data, evaluation
from keras_larp.evaluation.shards import write_shard

pytestmark = pytest.mark.once

CLIPS = {"names_sha256": "abc"}


def write(folder, rows, kind="reconstruction", skipped=dict, **settings):
    """Writes an evaluation with these rows, as two shards."""
    settings = {"kind": kind, "clips": CLIPS, "extractors": {}, **settings}
    count = max(map(len, rows.values()))

    def measure(ranges, _):
        for r in ranges:
            yield {name: x[r.start : r.stop] for name, x in rows.items()}

    for i in (1, 0):
        write_shard(
            folder, settings, count, 2, measure, (i, 2), verbose=0,
            skipped=skipped,
        )  # fmt: skip
    return folder


def values(count=64, seed=0, mean=20.0):
    return np.random.default_rng(seed).normal(mean, 4.0, count)


def compare(tmp_path, first, second, **options):
    a = write(tmp_path / "a", first, **options)
    b = write(tmp_path / "b", second, **options)
    return {c.name: c for c in evaluation.compare_evaluations(a, b)}


def test_paired_interval_is_that_of_the_differences(tmp_path):
    noise = values(mean=0.8, seed=1) / 4
    found = compare(tmp_path, {"PSNR": values()}, {"PSNR": values() + noise})
    psnr = found["PSNR"]
    assert psnr.paired and psnr.num_clips == (64, 64)
    assert psnr.difference == pytest.approx(noise.mean())
    error = 1.96 * noise.std() / 8
    assert psnr.low == pytest.approx(noise.mean() - error, abs=0.1 * error)
    assert psnr.high == pytest.approx(noise.mean() + error, abs=0.1 * error)


def test_other_clips_are_resampled_separately(tmp_path):
    a = write(tmp_path / "a", {"PSNR": values()})
    b = write(
        tmp_path / "b", {"PSNR": values(36, 1)}, clips={"names_sha256": "d"}
    )
    (psnr,) = evaluation.compare_evaluations(a, b)
    assert not psnr.paired and psnr.num_clips == (64, 36)
    error = 1.96 * math.sqrt(values().var() / 64 + values(36, 1).var() / 36)
    assert psnr.high - psnr.low == pytest.approx(2 * error, rel=0.1)


def test_skipped_clips_and_generated_clips_are_not_paired(tmp_path):
    skipped = iter([{}, {"does not decode": 1}] * 4)
    found = compare(
        tmp_path,
        {"PSNR": values()},
        {"PSNR": values()},
        skipped=lambda: next(skipped),
    )
    assert not found["PSNR"].paired
    found = compare(
        tmp_path / "generation",
        {"class_fidelity": values() > 20},
        {"class_fidelity": values() > 18},
        kind="generation",
    )
    assert not found["class_fidelity"].paired


@pytest.mark.parametrize(
    "name, sign", [("PSNR", 1), ("SSIM", 1), ("MSE", -1), ("still_flicker", -1)]
)
def test_direction_of_the_metrics(name, sign, tmp_path):
    found = compare(tmp_path, {name: values()}, {name: values() + 1})[name]
    assert found.better == ("b" if sign > 0 else "a")


def test_clips_without_motion_are_left_out_as_pairs(tmp_path):
    name = "PSNR_of_moving_pixels"
    first, second = values(4), values(4) + 1
    first[0] = second[3] = np.nan
    found = compare(tmp_path, {name: first}, {name: second})[name]
    assert found.num_clips == (2, 2)
    assert found.difference == pytest.approx(1.0)


def test_interval_of_a_frechet_distance(tmp_path):
    generator = np.random.default_rng(0)
    real = generator.normal(size=(60, 2))
    rows = [
        {"real_d": real, "generated_d": real + shift} for shift in (2.0, 1.0)
    ]
    extractors = {"d": "the same"}
    found = compare(tmp_path, *rows, extractors=extractors)["d"]
    assert (found.a, found.b) == pytest.approx((8.0, 2.0))
    # A clip and its reconstruction are drawn together: nothing varies.
    assert found.high - found.low < 1e-6
    assert found.better == "b"


def test_distances_of_other_extractors_are_left_out(tmp_path):
    rows = {"PSNR": values(4), "real_d": np.eye(4), "generated_d": np.eye(4)}
    a = write(tmp_path / "a", rows, extractors={"d": "one"})
    b = write(tmp_path / "b", rows, extractors={"d": "another"})
    found = evaluation.compare_evaluations(a, b)
    assert [c.name for c in found] == ["PSNR"]


def test_generated_clips_of_a_distance_vary_separately(tmp_path):
    generator = np.random.default_rng(0)
    rows = [
        {f"{kind}_d": generator.normal(size=(40, 2)) for kind in kinds}
        for kinds in [("real", "generated")] * 2
    ]
    options = {"extractors": {"d": "the same"}, "kind": "generation"}
    found = compare(tmp_path, *rows, real_clips=CLIPS, **options)["d"]
    assert found.better is None
    assert found.high - found.low > 0.01


def test_other_kinds_and_other_metrics_are_rejected(tmp_path):
    a = write(tmp_path / "a", {"PSNR": values(4)})
    b = write(tmp_path / "b", {"PSNR": values(4)}, kind="frame-prediction")
    with pytest.raises(ValueError, match="reconstruction in .*a and frame-pr"):
        evaluation.compare_evaluations(a, b)
    c = write(tmp_path / "c", {"SSIM": values(4)})
    with pytest.raises(ValueError, match="no metric in common"):
        evaluation.compare_evaluations(a, c)


def comparison(name, difference, spread, larger_is_better=True, unit=""):
    return evaluation.MetricComparison(
        name, 20.0, 20.0 + difference, difference - spread,
        difference + spread, (64, 64), True, larger_is_better, unit,
    )  # fmt: skip


def test_verdict_in_words():
    comparisons = [
        comparison("PSNR", 0.8, 0.2, unit="dB"),
        comparison("MSE", -0.0123, 0.0021, larger_is_better=False),
        comparison("LPIPS", 0.31, 0.04, larger_is_better=False),
        comparison("SSIM", 0.1, 0.2),
    ]
    assert evaluation.comparison_verdict(comparisons) == (
        "b is better in PSNR by 0.8 ± 0.2 dB, MSE by 0.012 ± 0.002; "
        "a is better in LPIPS by 0.31 ± 0.04; no difference in SSIM"
    )
    table = evaluation.comparison_table(comparisons, ("old", "new"))
    assert "| PSNR | 20 | 20.8 | +0.8 | +0.6 to +1 | 64, the same | new |" in (
        table
    )


def test_grid_has_both_evaluations_side_by_side(tmp_path):
    for name, level in (("a", 0.0), ("b", 1.0)):
        for i in range(3):
            path = tmp_path / name / "shard_0000_of_0001/videos" / f"{i}.mp4"
            data.write_video(path, np.full((2, 16, 32, 3), level))
    grid = evaluation.comparison_grid(tmp_path / "a", tmp_path / "b", 2)
    assert grid.shape == (2, 2 * 18 + 2, 2 * 34 + 2, 3)
    assert grid[:, 2:18, 2:34].mean() < 20 < 235 < grid[:, 2:18, 36:68].mean()
    assert evaluation.comparison_grid(tmp_path / "a", tmp_path / "c") is None

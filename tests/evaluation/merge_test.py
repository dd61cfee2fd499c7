"""Merging shards, and rejecting shards that do not match."""

import concurrent.futures
import csv
import json

import numpy as np
import pytest

from keras_larp.evaluation import append_to_report, merge
from keras_larp.evaluation.shards import parse_shard, shard_batches, write_shard
from keras_larp.metrics import FeatureStatistics
from keras_larp.utils.locks import lock_path

pytestmark = pytest.mark.once

SETTINGS = {"kind": "trial", "extractors": {"distance": "rows"}}


def measure(ranges, _):
    for indices in ranges:
        rows = np.array(indices, "float64")
        features = np.stack([rows, rows**2], axis=1)
        yield {
            "index": rows,
            "real_distance": features,
            "generated_distance": features + 1,
        }


def write(folder, *shards, settings=SETTINGS):
    for shard in shards:
        write_shard(folder, settings, 20, 2, measure, shard, verbose=0)


def test_rows_are_concatenated_in_order(tmp_path):
    write(tmp_path, (2, 3), (0, 3), (1, 3))
    results, settings = merge(tmp_path)
    assert settings == SETTINGS
    assert results["index"] == 9.5
    assert results["num_real_clips"] == 20
    assert results["distance"] == pytest.approx(2.0)
    statistics = FeatureStatistics.load(tmp_path / "real_distance.npz")
    assert (statistics.count, statistics.extractor) == (20, "rows")


def test_clips_without_a_value_are_left_out_of_means(tmp_path):
    nan = float("nan")

    def measure(ranges, _):
        for _ in ranges:
            yield {
                "PSNR_of_moving_pixels": np.array([nan, 30.0, 20.0]),
                "median_frame_PSNR_of_moving_pixels": np.full(3, nan),
                "PSNR": np.array([nan, 30.0, 20.0]),
            }

    settings = {"kind": "trial"}
    write_shard(tmp_path, settings, 3, 3, measure, verbose=0)
    results, _ = merge(tmp_path)
    assert results["PSNR_of_moving_pixels"] == 25.0
    assert "median_frame_PSNR_of_moving_pixels" not in results
    assert np.isnan(results["PSNR"])  # A model returned NaN.


def test_matching_shards_of_two_splits_merge(tmp_path):
    write(tmp_path, (0, 2), (2, 4), (3, 4))
    assert merge(tmp_path)[0]["index"] == 9.5


@pytest.mark.parametrize(
    "shards, error, message",
    [
        ([], FileNotFoundError, "no shards"),
        ([(0, 3), (2, 3)], FileNotFoundError, "shard_0001_of_0003"),
        ([(1, 2)], FileNotFoundError, "Batches 0 to 4 of 10.*shard_0000_of_00"),
        ([(0, 2)], FileNotFoundError, "Batches 5 to 9 of 10"),
        (
            [(0, 2), (1, 2), (1, 3)],
            ValueError,
            "shard_0000_of_0002 and shard_0001_of_0003 both hold batch 3",
        ),
        ([(0, 2), (3, 4)], FileNotFoundError, "Batches 5 to 6.*which has"),
    ],
)
def test_missing_and_overlapping_shards_are_named(
    shards, error, message, tmp_path
):
    write(tmp_path, *shards)
    with pytest.raises(error, match=message):
        merge(tmp_path)


def test_shards_with_other_settings_are_named(tmp_path):
    write(tmp_path, (0, 2), (1, 2))
    path = tmp_path / "shard_0001_of_0002" / "shard.json"
    description = json.loads(path.read_text())
    description["settings"]["extractors"]["distance"] = "others"
    path.write_text(json.dumps(description))
    with pytest.raises(
        ValueError, match="extractors: shard_0.*'rows'.*shard_0"
    ):
        merge(tmp_path)


@pytest.mark.parametrize("name", ["shard.json", "rows.npz"])
def test_corrupt_files_are_named(name, tmp_path):
    write(tmp_path, (0, 1))
    (tmp_path / "shard_0000_of_0001" / name).write_bytes(b"corrupt")
    with pytest.raises(ValueError, match=f"shard_0000_of_0001.*{name}"):
        merge(tmp_path)


@pytest.mark.parametrize(
    "name", ["settings", "first_batch", "stop_batch", "num_batches", "skipped"]
)
def test_incomplete_descriptions_are_named(name, tmp_path):
    write(tmp_path, (0, 1))
    path = tmp_path / "shard_0000_of_0001" / "shard.json"
    description = json.loads(path.read_text())
    del description[name]
    path.write_text(json.dumps(description))
    with pytest.raises(
        ValueError, match=f"0001/shard.json is damaged: `{name}`"
    ):
        merge(tmp_path)


def test_shards_with_other_paths_merge(tmp_path):
    for i, path in enumerate(("/data", "/mnt/data")):
        settings = {**SETTINGS, "paths": {"data": path}}
        write(tmp_path, (i, 2), settings=settings)
    results, settings = merge(tmp_path)
    assert results["index"] == 9.5
    assert settings["paths"] == {"data": "/data"}


def test_every_batch_is_in_one_shard():
    for count in range(1, 8):
        shards = [shard_batches(7, i, count) for i in range(count)]
        assert [b for shard in shards for b in shard] == list(range(7))
        assert min(map(len, shards)) >= 1


def test_parse_shard():
    assert parse_shard("3/8") == (3, 8)
    for text in ("8/8", "1", "-1/2", "a/b", "0/0"):
        with pytest.raises(ValueError, match=f"Received: '{text}'"):
            parse_shard(text)


def test_evaluations_are_appended_to_a_report(tmp_path):
    report = tmp_path / "reports" / "v1.0"
    first = {"kind": "generation", "real": {"seed": 3}, "data": ["a", "b"]}
    second = {"kind": "reconstruction", "text": "a | b"}
    append_to_report(report, {"gFVD": 0.1 + 0.2}, first)
    append_to_report(report, {"MSE": 0.5}, second)
    append_to_report(report, {"MSE": 0.5}, second)
    with (tmp_path / "reports" / "v1.0.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2
    assert float(rows[0]["gFVD"]) == 0.1 + 0.2
    assert rows[0]["real.seed"] == "3" and rows[0]["data"] == '["a", "b"]'
    assert rows[1]["MSE"] == "0.5" and rows[1]["gFVD"] == ""
    page = (tmp_path / "reports" / "v1.0.md").read_text()
    assert page.count("## ") == 2
    assert "| gFVD | 0.3 |" in page and "| text | a \\| b |" in page


def test_report_is_completed_after_a_kill_between_its_files(tmp_path):
    report = tmp_path / "report"
    settings = {"kind": "generation"}
    append_to_report(report, {"gFVD": 1.0}, settings)
    page = (tmp_path / "report.md").read_text()
    append_to_report(report, {"gFVD": 2.0}, settings)
    complete = (tmp_path / "report.md").read_text()
    (tmp_path / "report.md").write_text(page)
    append_to_report(report, {"gFVD": 2.0}, settings)
    assert (tmp_path / "report.md").read_text() == complete


def test_concurrent_evaluations_share_a_report(tmp_path):
    def append(i):
        append_to_report(tmp_path / "report", {"i": i}, {"kind": "trial"})

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(append, range(16)))
    with (tmp_path / "report.csv").open(newline="") as file:
        found = [int(row["i"]) for row in csv.DictReader(file)]
    assert sorted(found) == list(range(16))
    assert (tmp_path / "report.md").read_text().count("## trial") == 16
    assert len(list(tmp_path.iterdir())) == 2


def test_failed_shard_leaves_nothing_behind(tmp_path):
    def fail(ranges, folder):
        (folder / "video.mp4").write_text("")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="shard_0000_of_0001"):
        write_shard(tmp_path, SETTINGS, 20, 2, fail, verbose=0)
    assert list(tmp_path.iterdir()) == []


def test_merging_waits_for_another_process(tmp_path):
    write(tmp_path, (0, 1))
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        with lock_path(tmp_path / "results.json"):
            merged = pool.submit(merge, tmp_path)
            with pytest.raises(TimeoutError):
                merged.result(0.2)
        assert merged.result(10)[0]["index"] == 9.5

"""Shards, reports and logs that are damaged."""

import json

import numpy as np
import pytest
from damaged_files import (
    assert_reads_or_names,
    damaged_bytes,
    damaged_json,
    quick,
    time_limit,
)
from hypothesis import given
from hypothesis import strategies as st

from keras_larp.evaluation import append_to_report, merge, plot_run
from keras_larp.evaluation.shards import write_shard

pytestmark = pytest.mark.once

SETTINGS = {
    "kind": "trial",
    "codebook_size": 8,
    "extractors": {"distance": "rows"},
}
SHARD = "shard_0000_of_0001"


def measure(ranges, _):
    for indices in ranges:
        rows = np.array(indices, "float64")
        features = np.stack([rows, rows**2], axis=1)
        yield {
            "index": rows,
            "token_ids": np.zeros((len(rows), 2), "int32"),
            "real_distance": features,
            "generated_distance": features + 1,
        }


def write(folder, shard=(0, 1)):
    write_shard(folder, SETTINGS, 8, 2, measure, shard, verbose=0)
    return folder / f"shard_{shard[0]:04d}_of_{shard[1]:04d}"


def change_rows(path, **changes):
    rows = dict(np.load(path / "rows.npz"))
    rows = {**rows, **changes}
    np.savez(
        path / "rows.npz", **{k: v for k, v in rows.items() if v is not None}
    )


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"index": np.array(1.0)}, "rows.npz.*`index` has shape"),
        ({"index": np.array(["a"])}, "rows.npz.*`index` has shape"),
        ({"token_ids": np.zeros((8, 2))}, "rows.npz.*`token_ids` has shape"),
        ({"token_ids": np.full((8, 2), 8)}, "codes from 8 to 8"),
        ({"token_ids": np.full((8, 2), -1)}, "codes from -1 to -1"),
        ({"real_distance": np.zeros(8)}, "`real_distance` has shape"),
        ({"real_distance": np.full((8, 2), np.nan)}, "not finite"),
        ({"real_distance": None}, "no `real_distance`"),
    ],
)
def test_rows_that_do_not_match_are_named(changes, message, tmp_path):
    change_rows(write(tmp_path), **changes)
    with pytest.raises(ValueError, match=f"{tmp_path}.*{message}"):
        merge(tmp_path)


def test_shards_of_unequal_shapes_are_named(tmp_path):
    write(tmp_path, (0, 2))
    change_rows(write(tmp_path, (1, 2)), token_ids=np.zeros((4, 3), "int32"))
    with pytest.raises(ValueError, match="0_of_0002 and .*1_of_0002.*token_id"):
        merge(tmp_path)


def test_impossible_batches_are_named(tmp_path):
    path = write(tmp_path) / "shard.json"
    description = json.loads(path.read_text())
    path.write_text(json.dumps({**description, "stop_batch": 5}))
    with pytest.raises(ValueError, match="shard.json.*`stop_batch`"):
        merge(tmp_path)


def test_huge_number_of_missing_shards_does_not_hang(tmp_path):
    path = write(tmp_path, (1, 2))
    path.rename(tmp_path / "shard_0001_of_999999999999")
    with time_limit(5), pytest.raises(FileNotFoundError, match=r", \.\.\.\."):
        merge(tmp_path)


@quick
@given(st.data())
def test_damaged_shards_raise_clear_errors(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("evaluation")
    path = write(folder) / data.draw(
        st.sampled_from(["shard.json", "rows.npz"])
    )
    content = path.read_bytes()
    if path.suffix == ".json" and data.draw(st.booleans()):
        text = data.draw(damaged_json(json.loads(content)))
        path.write_text(text)
    else:
        path.write_bytes(data.draw(damaged_bytes(content)))
    assert_reads_or_names(lambda: merge(folder), folder)


@pytest.mark.parametrize(
    "content", [b"kind,a\nx,1,2\n", b"\xff", b"kind,kind\nx,y\n"]
)
def test_damaged_reports_are_named_and_kept(content, tmp_path):
    path = tmp_path / "report.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="report.csv"):
        append_to_report(tmp_path / "report", {"PSNR": 1.0}, {"kind": "x"})
    assert path.read_bytes() == content


@pytest.mark.parametrize("content", [b"epoch,loss\n0,1,2\n", b"\xff\xfe"])
def test_damaged_logs_are_named(content, tmp_path):
    (tmp_path / "log.csv").write_bytes(content)
    with pytest.raises(ValueError, match="log.csv"):
        plot_run(tmp_path / "log.csv", tmp_path / "curves.png")

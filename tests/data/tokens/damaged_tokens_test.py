"""Token data sets whose files are damaged."""

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

from keras_larp import data
from keras_larp.data.tokens.token_records import (
    pack_record,
    shard_names,
    unpack_record,
)

pytestmark = pytest.mark.once

DESCRIPTION = {
    "version": 1,
    "tokenizer": "ab" * 32,
    "source": "cd" * 32,
    "geometry": None,
    "vocab_size": 300,
    "num_tokens": 4,
    "class_names": ["a", "b"],
    "num_clips": 3,
    "clips_per_shard": 2,
    "sampling": "first",
    "seed": 0,
    "flips": False,
    "num_condition_frames": None,
}


def record(token_ids=(0, 1, 2, 299), label=1, vocab_size=300):
    return pack_record(
        np.array(token_ids), label, 0, False, "a.mp4", vocab_size
    )


def write(folder, records=None, **changes):
    """Writes a data set of three clips in two shards."""
    module = pytest.importorskip("array_record.python.array_record_module")
    records = [record()] * 3 if records is None else records
    folder.mkdir(exist_ok=True)
    for i, name in enumerate(shard_names(DESCRIPTION)):
        writer = module.ArrayRecordWriter(str(folder / name), "group_size:1")
        for item in records[2 * i : 2 * i + 2]:
            writer.write(item)
        writer.close()
    text = json.dumps({**DESCRIPTION, **changes})
    (folder / "tokens.json").write_text(text)
    return folder


def read(folder):
    tokens = data.TokenSource(folder)
    return [tokens[i] for i in range(len(tokens))]


def test_valid_data_set_is_read(tmp_path):
    assert [item["label"] for item in read(write(tmp_path))] == [1, 1, 1]


@pytest.mark.parametrize(
    "name, value",
    [
        ("version", "1"),
        ("tokenizer", "../../etc"),
        ("vocab_size", 0),
        ("vocab_size", 2**31),
        ("num_tokens", 4.0),
        ("class_names", "ab"),
        ("class_names", [1]),
        ("num_clips", -3),
        ("num_clips", float("nan")),
        ("clips_per_shard", 0),
        ("num_condition_frames", "5"),
    ],
)
def test_invalid_fields_of_the_description_are_named(name, value, tmp_path):
    write(tmp_path, **{name: value})
    with pytest.raises(ValueError, match=f"tokens.json.*`{name}"):
        data.TokenSource(tmp_path)


@pytest.mark.parametrize(
    "changes", [{"num_clips": 10**12}, {"clips_per_shard": 1}]
)
def test_huge_number_of_clips_does_not_hang(changes, tmp_path):
    write(tmp_path, **{"num_clips": 10**12, **changes})
    with time_limit(5), pytest.raises(ValueError, match="tokens.json"):
        data.TokenSource(tmp_path)
    for path in tmp_path.glob("*.array_record"):
        path.unlink()
    with time_limit(5), pytest.raises(FileNotFoundError, match="are missing"):
        data.TokenSource(tmp_path)


@pytest.mark.parametrize(
    "damaged, message",
    [
        (record((0, 1, 2, 300), vocab_size=301), "token 300.*below 300"),
        (record((0, 1, 2)), "shape .3,"),
        (record(label=2), "label 2"),
        (record(label=-2), "label -2"),
        (b"", "no record"),
        (b"\xff" * 100, "no record"),
    ],
)
def test_records_that_do_not_match_are_named(damaged, message, tmp_path):
    tokens = data.TokenSource(write(tmp_path, [record(), damaged, record()]))
    assert tokens[0]["name"] == "a.mp4"
    with pytest.raises(ValueError, match=f"Record 1 of .*{message}"):
        tokens[1]


@quick
@given(st.data())
def test_damaged_descriptions_raise_clear_errors(tmp_path_factory, data):
    folder = write(tmp_path_factory.mktemp("tokens"))
    text = data.draw(damaged_json(DESCRIPTION))
    (folder / "tokens.json").write_text(text)
    assert_reads_or_names(lambda: read(folder), folder)


@quick
@given(st.data())
def test_damaged_records_raise_clear_errors(data):
    damaged = data.draw(damaged_bytes(record()))
    try:
        unpack_record(damaged, DESCRIPTION)
    except ValueError as error:
        assert str(error).startswith("it ")


@quick
@given(st.data())
def test_damaged_shards_raise_clear_errors(tmp_path_factory, data):
    folder = write(tmp_path_factory.mktemp("tokens"))
    path = folder / shard_names(DESCRIPTION)[0]
    # A record takes a block of 64 KiB, most of which is empty.
    content = path.read_bytes()
    path.write_bytes(data.draw(damaged_bytes(content)))
    assert_reads_or_names(lambda: read(folder), folder)

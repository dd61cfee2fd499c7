"""Checks of JSON, CSV and array files by their declared content."""

import json
import os
import zipfile

import h5py
import numpy as np
import pytest
import safetensors.numpy
from damaged_files import (
    assert_reads_or_names,
    damaged_bytes,
    quick,
    time_limit,
)
from hypothesis import given
from hypothesis import strategies as st

from keras_larp.utils import json_files
from keras_larp.utils.array_files import (
    hdf5_shapes,
    npz_shapes,
    read_npz,
    read_safetensors,
)
from keras_larp.utils.csv_files import read_csv
from keras_larp.utils.json_files import read_json, read_text

pytestmark = pytest.mark.once

SCHEMA = {
    "count": json_files.integer(1, 100),
    "rate": json_files.number,
    "name": json_files.text,
    "names": json_files.texts,
    "digest": json_files.sha256,
    "is_done": json_files.boolean,
    "sizes": json_files.mapping_of(json_files.integer()),
    "best": json_files.optional(
        json_files.fields({"value": json_files.number})
    ),
}
VALID = {
    "count": 3,
    "rate": 0.5,
    "name": "a",
    "names": ["a", "b"],
    "digest": "0" * 64,
    "is_done": False,
    "sizes": {"a": 1},
}


def test_valid_fields_are_returned(tmp_path):
    path = tmp_path / "file.json"
    for content in (VALID, {**VALID, "best": {"value": 1}, "other": None}):
        path.write_text(json.dumps(content))
        assert read_json(path, SCHEMA, "Restore it.") == content


@pytest.mark.parametrize(
    "name, value",
    [
        ("count", "3"),
        ("count", 3.0),
        ("count", True),
        ("count", 101),
        ("count", 10**400),
        ("rate", float("nan")),
        ("rate", 10**400),
        ("rate", "0.5"),
        ("name", 1),
        ("names", "ab"),
        ("names", [1]),
        ("digest", "0" * 63),
        ("is_done", 0),
        ("sizes", {"a": "1"}),
        ("best", {"value": None}),
        ("best", []),
    ],
)
def test_invalid_fields_are_named(name, value, tmp_path):
    path = tmp_path / "file.json"
    path.write_text(json.dumps({**VALID, name: value}))
    with pytest.raises(ValueError, match=f"file.json.*`{name}.*Restore it."):
        read_json(path, SCHEMA, "Restore it.")


def test_missing_fields_are_named(tmp_path):
    path = tmp_path / "file.json"
    path.write_text(json.dumps({k: v for k, v in VALID.items() if k != "rate"}))
    with pytest.raises(ValueError, match="file.json.*`rate`"):
        read_json(path, SCHEMA, "Restore it.")


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"[1]", "must hold a JSON object"),
        (b"[" * 100_000, "not valid JSON"),
        (b"\xff{}", "UTF-8"),
        (b"1" * 10_000, "not valid JSON"),
    ],
)
def test_other_content_than_json_names_the_file(content, message, tmp_path):
    path = tmp_path / "file.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"file.json.*{message}"):
        read_json(path, {}, "Restore it.")


def test_named_pipes_are_not_opened(tmp_path):
    path = tmp_path / "file.json"
    os.mkfifo(path)
    with time_limit(5), pytest.raises(ValueError, match="file.json.*pipe"):
        read_text(path)


def test_folders_and_missing_files_are_named(tmp_path):
    with pytest.raises(IsADirectoryError, match=str(tmp_path)):
        read_text(tmp_path)
    with pytest.raises(FileNotFoundError, match="other.json"):
        read_text(tmp_path / "other.json")


def test_rows_of_csv_files(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("a,b\n1,2\n3\n")
    names, rows = read_csv(path)
    assert names == ["a", "b"]
    assert rows == [{"a": "1", "b": "2"}, {"a": "3", "b": None}]


@pytest.mark.parametrize(
    "content, message",
    [
        (b"a,a\n1,2\n", "two columns"),
        (b"a\n1,2\n", "more than 1 values"),
        (b"a\n\xff\n", "UTF-8"),
        (b"a\n" + b"1" * 200_000, "not CSV"),
    ],
)
def test_damaged_csv_files_are_named(content, message, tmp_path):
    path = tmp_path / "log.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"log.csv.*{message}"):
        read_csv(path)


def test_compressed_arrays_are_refused_before_they_are_read(
    tmp_path, monkeypatch
):
    path = tmp_path / "bomb.npz"
    np.savez_compressed(path, x=np.zeros((2000, 2000)))
    assert path.stat().st_size < 100_000
    monkeypatch.setattr(np, "load", None)
    with pytest.raises(ValueError, match=r"bomb.npz.*32,000,000 bytes"):
        read_npz(path, "Restore it.")


def test_declared_shapes_are_compared_with_the_file(tmp_path):
    path = tmp_path / "bomb.npz"
    header = {"descr": "<f8", "fortran_order": False, "shape": (10**6, 10**6)}
    with zipfile.ZipFile(path, "w") as archive:
        with archive.open("x.npy", "w") as file:
            np.lib.format.write_array_header_1_0(file, header)
    with pytest.raises(ValueError, match="bomb.npz.*8,000,000,000,000 bytes"):
        read_npz(path, "Restore it.")


def test_pickled_arrays_are_refused(tmp_path):
    path = tmp_path / "pickle.npz"
    np.savez(path, x=np.array([{}]))
    with pytest.raises(ValueError, match="pickle.npz.*x.npy.*object"):
        npz_shapes(path, "Restore it.")


def test_hdf5_shapes_are_compared_with_the_file(tmp_path):
    path = tmp_path / "bomb.weights.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("x", (10**6, 10**6), "float32", chunks=(100, 100))
    with pytest.raises(ValueError, match="bomb.weights.h5.*4,000,000,000,000"):
        hdf5_shapes(path, "Restore it.")


def test_hdf5_arrays_in_other_files_are_refused(tmp_path):
    path, other = tmp_path / "x.weights.h5", tmp_path / "secret"
    other.write_bytes(b"0" * 400)
    with h5py.File(path, "w") as file:
        file.create_dataset(
            "x", (100,), "float32", external=[(str(other), 0, 400)]
        )
    with pytest.raises(ValueError, match="x.weights.h5.*another file"):
        hdf5_shapes(path, "Restore it.")


@quick
@given(st.data())
def test_damaged_npz_files_raise_clear_errors(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("npz") / "arrays.npz"
    np.savez(path, extractor=np.array("x"), count=3, sum=np.arange(5.0))
    path.write_bytes(data.draw(damaged_bytes(path.read_bytes())))
    assert_reads_or_names(lambda: read_npz(path, "Restore it."), path)


@quick
@given(st.data())
def test_damaged_safetensors_raise_clear_errors(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("st") / "x.safetensors"
    content = safetensors.numpy.save({"x": np.zeros((2, 3)), "y": np.ones(4)})
    path.write_bytes(data.draw(damaged_bytes(content)))
    assert_reads_or_names(lambda: read_safetensors(path, "Restore it."), path)


@quick
@given(st.data())
def test_damaged_hdf5_files_raise_clear_errors(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("h5") / "x.weights.h5"
    with h5py.File(path, "w") as file:
        file["layers/dense/vars/0"] = np.zeros((3, 4))
        file["layers/dense/vars/1"] = np.zeros(4)
    path.write_bytes(data.draw(damaged_bytes(path.read_bytes())))
    assert_reads_or_names(lambda: hdf5_shapes(path, "Restore it."), path)


@quick
@given(text=st.text(max_size=60))
def test_any_text_is_csv_or_a_clear_error(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("csv") / "log.csv"
    path.write_text(f"epoch,loss\n{text}", encoding="utf-8", newline="")
    assert_reads_or_names(lambda: read_csv(path), path)

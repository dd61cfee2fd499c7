"""Labels and columns of CSV lists."""

import contextlib
import pathlib
import string
import tempfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_larp import data

pytestmark = pytest.mark.once


def make_list(folder, header, *rows, **options):
    """Writes a list whose `{}` is replaced by the path of an existing file."""
    folder = pathlib.Path(folder)
    for i in range(len(rows)):
        (folder / f"{i}.mp4").touch()
    rows = [row.replace("{}", f"{i}.mp4") for i, row in enumerate(rows)]
    path = folder / "list.csv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return data.VideoList(path, **options)


def labels(source):
    return [source.label(i) for i in range(len(source))]


@pytest.mark.parametrize(
    "texts",
    [
        ["-1", "0", "2", "10"],
        ["-1.0", "0.0", "2.0", "10.0"],
        ["", "0", "2.", "+10"],
    ],
)
def test_integers_and_integral_floats_are_class_ids(tmp_path, texts):
    rows = [f"{{}},{text}" for text in texts]
    source = make_list(tmp_path, "path,label", *rows)
    assert labels(source) == [-1, 0, 2, 10]
    assert source.class_names == tuple(str(i) for i in range(11))


def test_minus_one_is_no_class_in_lists_of_names(tmp_path):
    source = make_list(tmp_path, "path,label", "{},run", "{},-1", "{},")
    assert labels(source) == [0, -1, -1]
    assert source.class_names == ("run",)


def test_lists_without_classes(tmp_path):
    source = make_list(tmp_path, "path,label", "{},-1", "{},")
    assert labels(source) == [-1, -1] and source.class_names == ()
    assert "no classes" in source.summary()


@pytest.mark.parametrize("names", [None, ["jump", "run"]])
@pytest.mark.parametrize(
    "texts", [["run", "1"], ["1", "run"], ["0", "1.5"], ["nan", "0.0"]]
)
def test_mixtures_of_ids_and_names_are_errors(tmp_path, texts, names):
    rows = ["{},"] + [f"{{}},{text}" for text in texts]
    message = f"mixes.*'{texts[0]}' in line 3 and '{texts[1]}' in line 4"
    with pytest.raises(ValueError, match=message):
        make_list(tmp_path, "path,label", *rows, class_names=names)


@pytest.mark.parametrize("text", ["-2", "-1.5e3", "20231127"])
def test_numbers_that_are_no_class_ids_are_errors(tmp_path, text):
    with pytest.raises(ValueError, match="line 3"):
        make_list(tmp_path, "path,label", "{},0", f"{{}},{text}")


@pytest.mark.parametrize(
    "header", ["path, label", " Path ,LABEL", "\ufeffpath,Label", "PATH,Action"]
)
def test_case_and_spaces_of_headers_do_not_matter(tmp_path, header):
    source = make_list(tmp_path, header, "{}, run", '{}, "a, b"')
    assert source.class_names == ("a, b", "run")
    assert labels(source) == [1, 0]


@pytest.mark.parametrize(
    "header",
    [
        "path,class",
        "path,labels",
        "path;label",
        ",path",
        "path,path",
        "path,Path",
        "file,label",
    ],
)
def test_unknown_headers_are_errors(tmp_path, header):
    with pytest.raises(ValueError, match=r"`path`.*`label`.*`action`.*`id`"):
        make_list(tmp_path, header, "{},0")


@pytest.mark.parametrize(
    "header, row, message",
    [
        ("path,label", "my video, part 2.mp4,run", "Line 3.* has 3 values"),
        ("path,label", "{}", "Line 3.* has 1 values"),
        ("path,label", ",run", "Line 3.* no path"),
        ("path,action,label", "{},run,", "Line 3.* 'run' but no label"),
        ("path,action,label", "{},run,0", "names class 0 'run'.*'jump'"),
        ("path,action,label", "{},jump,1", "label 0 in line 2.*1 in line 3"),
    ],
)
def test_ambiguous_rows_are_errors(tmp_path, header, row, message):
    first = "{},jump,0" if "action" in header else "{},jump"
    with pytest.raises(ValueError, match=message):
        make_list(tmp_path, header, first, row)


def test_empty_rows_are_ignored(tmp_path):
    source = make_list(tmp_path, "path,label", "{},0", "", " , ")
    assert len(source) == 1


def test_encodings_other_than_utf8_are_errors(tmp_path):
    path = tmp_path / "list.csv"
    path.write_text("path,label\na.mp4,0\n", encoding="utf-16")
    with pytest.raises(ValueError, match="list.csv is not.*UTF-8"):
        data.VideoList(path)


@pytest.mark.parametrize("names", [["1", "0"], ["1", "2"]])
def test_class_names_that_are_other_ids_are_errors(tmp_path, names):
    with pytest.raises(
        ValueError, match="class 0 is '0'.*'1' in `class_names`"
    ):
        make_list(tmp_path, "path,label", "{},1", class_names=names)


def test_class_names_must_agree_with_the_list(tmp_path):
    table = "path,label,action", "{},0,run", "{},1,jump"
    with pytest.raises(ValueError, match="class 0 is 'run'.*'jump'"):
        make_list(tmp_path, *table, class_names=["jump", "run"])
    names = ["run", "jump", "swim"]
    source = make_list(tmp_path, *table, class_names=names)
    assert source.class_names == tuple(names)
    with pytest.raises(ValueError, match="duplicates"):
        make_list(tmp_path, *table, class_names=["run", "jump", "run"])


def test_summary_reports_the_mapping_of_labels(tmp_path):
    source = make_list(tmp_path, "path,label", "{},1.0", "{},", "{},1.0")
    assert source.summary().splitlines() == [
        "3 videos, labels are class ids, 2 classes by id (videos): "
        "0 '0' (0), 1 '1' (2)",
        "  1 without a class: 1.mp4",
    ]
    rows = "{},run", "nowhere.mp4,run"
    source = make_list(tmp_path, "path,label", *rows, on_error="skip")
    assert source.summary().splitlines() == [
        "1 video, labels are class names, 1 class by id (videos): 0 'run' (1)",
        "  left out 1 (missing): nowhere.mp4",
    ]
    assert [file.reason for file in source.skipped] == ["missing"]


_SPACES = st.text(" \t", max_size=2)
_IDS = st.integers(-1, 30).flatmap(
    lambda i: st.sampled_from([f"{i}", f"{i}.0", f"{i}."])
)
_NAMES = st.text(string.ascii_letters + " _,\"'é", min_size=1, max_size=6).map(
    lambda text: "n" + text.strip()
)


def _quoted(text):
    return '"' + text.replace('"', '""') + '"'


@given(st.lists(st.tuples(_IDS, _SPACES, _SPACES), min_size=1, max_size=12))
@settings(max_examples=50, deadline=None)
def test_class_ids_are_read_as_written(cells):
    rows = [f"{{}},{before}{text}{after}" for text, before, after in cells]
    expected = [int(float(text)) for text, _, _ in cells]
    with tempfile.TemporaryDirectory() as folder:
        source = make_list(folder, "path,label", *rows)
    assert labels(source) == expected
    assert len(source.class_names) == max(expected) + 1


@given(st.lists(_NAMES, min_size=1, max_size=12))
@settings(max_examples=50, deadline=None)
def test_class_names_are_read_as_written(names):
    rows = [f"{{}},{_quoted(name)}" for name in names]
    with tempfile.TemporaryDirectory() as folder:
        source = make_list(folder, "path,label", *rows)
    assert [source.class_names[i] for i in labels(source)] == names
    assert list(source.class_names) == sorted(set(names))


@given(st.binary(max_size=80))
@settings(max_examples=100, deadline=None)
def test_any_bytes_are_read_or_refused(content):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "list.csv"
        path.write_bytes(b"path,label\n" + content)
        with contextlib.suppress(ValueError, FileNotFoundError):
            data.VideoList(path)


@pytest.mark.parametrize("name", [300 * "x" + ".mp4", "a\0b.mp4"])
def test_file_names_that_no_file_system_accepts(tmp_path, name):
    path = tmp_path / "list.csv"
    (tmp_path / "a.mp4").touch()
    path.write_text(f"path\na.mp4\n{name}\n")
    with pytest.raises(FileNotFoundError, match="Line 3.*does not exist"):
        data.VideoList(path)
    assert len(data.VideoList(path, on_error="skip")) == 1

"""Lists of videos and classes that are damaged, and too many clips."""

import pytest
from damaged_files import assert_reads_or_names, quick, time_limit
from hypothesis import given
from hypothesis import strategies as st

from keras_larp import data
from keras_larp.cli import data_flags

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    "label", ["99999999999", "-99999999999", "9" * 5000, "1" * 5000 + ".0"]
)
def test_huge_labels_neither_hang_nor_allocate(label, tmp_path):
    (tmp_path / "a.mp4").touch()
    path = tmp_path / "list.csv"
    path.write_text(f"path,label\na.mp4,{label}\n")
    with time_limit(5), pytest.raises(ValueError, match="line 2 of .*list.csv"):
        data.VideoList(path)


@pytest.mark.parametrize("source", ["MovingShapes", "AtariGameplay"])
def test_too_many_computed_clips_are_refused(source):
    if source == "AtariGameplay":
        pytest.importorskip("ale_py")
    make = getattr(data, source)
    with time_limit(5), pytest.raises(ValueError, match="num_clips.*10000000"):
        make(10**12)
    with time_limit(5), pytest.raises(ValueError, match="num_frames=1000000"):
        make(1, num_frames=10**6, image_size=64)
    assert len(make(10**8)) == 10**8


def test_pipelines_of_the_largest_source_start_at_once():
    source = data.MovingShapes(10**8, num_frames=2, image_size=8)
    with time_limit(20):
        dataset = data.video_dataset(source, 2, 8, batch_size=1)
        assert next(iter(dataset))[0].shape == (1, 2, 8, 8, 3)


def write_ucf101(folder):
    path = folder / "Archery/v_Archery_g08_c01.avi"
    path.parent.mkdir()
    path.touch()
    return folder / "trainlist01.txt"


@pytest.mark.parametrize("content", [b"\xff\xfe\n", b"\x00\x80"])
def test_split_lists_that_are_not_text_are_named(content, tmp_path):
    write_ucf101(tmp_path).write_bytes(content)
    with pytest.raises(ValueError, match="trainlist01.txt.*UTF-8"):
        data.UCF101(tmp_path)


def test_class_names_that_are_not_text_are_named(tmp_path):
    path = tmp_path / "names.txt"
    path.write_bytes(b"\xe9\n")
    with pytest.raises(ValueError, match="names.txt.*UTF-8"):
        data_flags.load_class_names(str(path))
    with pytest.raises(FileNotFoundError, match="other.txt"):
        data_flags.load_class_names(str(tmp_path / "other.txt"))


@quick
@given(text=st.text(max_size=80))
def test_any_list_is_read_or_a_clear_error(tmp_path_factory, text):
    folder = tmp_path_factory.mktemp("list")
    (folder / "a.mp4").touch()
    path = folder / "list.csv"
    path.write_text(f"path,label\na.mp4,{text}", encoding="utf-8", newline="")
    assert_reads_or_names(lambda: data.VideoList(path), path)


@quick
@given(text=st.text(max_size=80))
def test_any_split_list_is_read_or_a_clear_error(tmp_path_factory, text):
    folder = tmp_path_factory.mktemp("ucf")
    path = write_ucf101(folder)
    path.write_text(text, encoding="utf-8")
    assert_reads_or_names(lambda: data.UCF101(folder), path, folder)

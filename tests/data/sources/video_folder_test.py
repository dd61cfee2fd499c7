"""Which files of a folder are videos, and their classes."""

import pathlib
import string
import tempfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_larp import data
from keras_larp.data.sources.video_files import EXTENSIONS, is_hidden

pytestmark = pytest.mark.once


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def labels(source):
    """Class names by name of the video; `None` for no class."""
    return {
        source.name(i): source.class_names[source.label(i)]
        if source.label(i) >= 0
        else None
        for i in range(len(source))
    }


def skipped(source, root):
    return {
        pathlib.Path(file.path).relative_to(root).as_posix(): file.reason
        for file in source.skipped
    }


def test_videos_at_any_depth_belong_to_the_class_of_the_subfolder(tmp_path):
    names = "cats/2024/may/1.mp4", "dogs/1.mp4", "dogs/old/2.mp4"
    source = data.VideoFolder(touch(tmp_path, *names))
    assert source.class_names == ("cats", "dogs")
    assert labels(source) == dict(
        zip(names, ["cats", "dogs", "dogs"], strict=True)
    )


def test_hidden_and_system_files_are_left_out(tmp_path):
    hidden = (
        "__MACOSX/cats/1.mp4",
        ".thumbnails/1.mp4",
        "@eaDir/1.mp4",
        "cats/._1.mp4",
        "cats/.x/1.mp4",
        "cats/Thumbs.db",
        ".DS_Store",
    )
    source = data.VideoFolder(touch(tmp_path, "cats/1.mp4", *hidden))
    assert labels(source) == {"cats/1.mp4": "cats"}
    assert skipped(source, tmp_path) == dict.fromkeys(
        [
            "__MACOSX",
            ".thumbnails",
            "@eaDir",
            "cats/._1.mp4",
            "cats/.x",
            "cats/Thumbs.db",
            ".DS_Store",
        ],
        "hidden or system file",
    )


def test_a_hidden_root_is_read(tmp_path):
    source = data.VideoFolder(touch(tmp_path / ".cache", "cats/1.mp4"))
    assert len(source) == 1


@pytest.mark.parametrize(
    "suffix",
    ".gif .3gp .ts .mts .m2ts .wmv .flv .ogv .webm .MP4 .MoV .AVI".split(),
)
def test_extensions_of_videos(tmp_path, suffix):
    source = data.VideoFolder(touch(tmp_path, f"cats/1{suffix}"))
    assert labels(source) == {f"cats/1{suffix}": "cats"}


def test_videos_next_to_class_folders_have_no_class(tmp_path, caplog):
    touch(tmp_path, "intro.mp4", "cats/1.mp4")
    source = data.VideoFolder(tmp_path)
    assert labels(source) == {"cats/1.mp4": "cats", "intro.mp4": None}
    assert "1 without a class: intro.mp4" in source.summary()
    assert "have no class" in caplog.text


def test_folders_without_videos_are_not_classes_but_reported(tmp_path):
    touch(tmp_path, "a/readme.txt", "b/1.mp4")
    source = data.VideoFolder(tmp_path)
    assert source.class_names == ("b",)
    assert skipped(source, tmp_path) == {
        "a/readme.txt": "other file extension",
        "a": "folder without videos",
    }


def test_links_to_parent_folders_and_broken_links_are_left_out(tmp_path):
    touch(tmp_path, "a/1.mp4")
    (tmp_path / "a/loop").symlink_to(tmp_path)
    (tmp_path / "a/2.mp4").symlink_to(tmp_path / "nowhere.mp4")
    source = data.VideoFolder(tmp_path)
    assert list(labels(source)) == ["a/1.mp4"]
    assert skipped(source, tmp_path) == {
        "a/2.mp4": "broken link or not a file",
        "a/loop": "link to a parent folder",
    }


def test_summary_of_a_folder(tmp_path):
    names = "cats/1.mp4", "dogs/1.mp4", "dogs/2.mp4", "dogs/._2.mp4"
    source = data.VideoFolder(touch(tmp_path, *names, "notes.txt"))
    assert source.summary().splitlines() == [
        "3 videos, 2 classes by id (videos): 0 'cats' (1), 1 'dogs' (2)",
        "  left out 1 (hidden or system file): dogs/._2.mp4",
        "  left out 1 (other file extension): notes.txt",
    ]


def test_summaries_of_many_classes_are_short(tmp_path):
    names = [f"{i:03d}/{j}.mp4" for i in range(50) for j in range(2)]
    summary = data.VideoFolder(touch(tmp_path, *names)).summary()
    assert "50 classes" in summary and "..., 49 '049' (2)" in summary
    assert len(summary) < 250


def test_class_names_need_subfolders_and_are_unique(tmp_path):
    touch(tmp_path, "1.mp4")
    with pytest.raises(ValueError, match="no videos in subfolders"):
        data.VideoFolder(tmp_path, ["cats"])
    touch(tmp_path, "cats/1.mp4")
    with pytest.raises(ValueError, match="duplicates"):
        data.VideoFolder(tmp_path, ["cats", "dogs", "cats"])


_PARTS = st.one_of(
    st.text(string.ascii_letters + "._ é", min_size=1, max_size=4),
    st.sampled_from(["__MACOSX", ".git", "@eaDir", "cats", "Cats"]),
).filter(lambda part: part.strip(".") and "/" not in part)
_ENDINGS = st.sampled_from([*EXTENSIONS, ".MP4", ".Gif", ".txt", ".mp3", ""])


@given(
    st.sets(
        st.tuples(st.lists(_PARTS, max_size=3), _PARTS, _ENDINGS).map(
            lambda parts: "/".join([*parts[0], parts[1] + parts[2]])
        ),
        max_size=8,
    )
)
@settings(max_examples=60, deadline=None)
def test_every_file_is_a_video_or_reported(names):
    with tempfile.TemporaryDirectory() as folder:
        root = touch(pathlib.Path(folder), "class/1.mp4")
        for name in names:
            try:
                touch(root, name)
            except OSError:  # The name of a file is the folder of another.
                continue
        source = data.VideoFolder(root)
        found, left_out = labels(source), skipped(source, root)
        for path in root.rglob("*"):
            if path.is_dir():
                continue
            path = path.relative_to(root)
            first, name = path.parts[0], path.as_posix()
            is_video = path.suffix.lower() in EXTENSIONS
            if is_video and not any(map(is_hidden, path.parts)):
                expected = first if len(path.parts) > 1 else None
                assert found.pop(name) == expected
            else:
                parents = map(str, [path, *path.parents])
                assert any(parent in left_out for parent in parents)
        assert not found


def test_ucf101_ignores_case_and_hidden_files(tmp_path):
    source = data.UCF101(
        touch(
            tmp_path,
            "Archery/v_Archery_g01_c01.AVI",
            "YoYo/v_yoyo_g01_c01.avi",
            "YoYo/._v_YoYo_g01_c01.avi",
            "__MACOSX/YoYo/._v_YoYo_g01_c01.avi",
            "YoYo/v_YoYo_g01_c02.mp4",
        ),
        "all",
    )
    assert [source.label(i) for i in range(len(source))] == [2, 100]
    assert skipped(source, tmp_path) == {
        "YoYo/._v_YoYo_g01_c01.avi": "hidden or system file",
        "__MACOSX": "hidden or system file",
        "YoYo/v_YoYo_g01_c02.mp4": "not an .avi file",
    }


def test_ucf101_reads_nested_folders_and_refuses_copies(tmp_path):
    name = "Archery/v_Archery_g01_c01.avi"
    source = data.UCF101(touch(tmp_path, f"UCF-101/{name}"), "all")
    assert source.label(0) == 2
    touch(tmp_path, f"copy/{name}")
    with pytest.raises(ValueError, match="same video twice"):
        data.UCF101(tmp_path, "all")


def test_ucf101_reports_missing_listed_files(tmp_path):
    touch(tmp_path, "Archery/v_Archery_g01_c01.avi")
    lines = "Archery/v_Archery_g01_c01.avi\nYoYo/v_YoYo_g01_c01.avi\n"
    (tmp_path / "testlist01.txt").write_text(lines)
    source = data.UCF101(tmp_path, "test", on_error="skip")
    assert source.num_missing == 1
    assert skipped(source, tmp_path)["YoYo/v_YoYo_g01_c01.avi"] == "missing"

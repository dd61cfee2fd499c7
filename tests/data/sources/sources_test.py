"""The files and labels of sources."""

import numpy as np
import pytest

from keras_larp import data

pytestmark = pytest.mark.once

NAMES = [
    "Archery/v_Archery_g01_c01.avi",
    "Archery/v_Archery_g08_c01.avi",
    "HandstandPushups/v_HandStandPushups_g08_c01.avi",
    "YoYo/v_YoYo_g15_c02.avi",
]


@pytest.fixture
def ucf101_root(tmp_path):
    root = tmp_path / "UCF-101"
    for name in NAMES:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def names(source):
    return [source.name(i).rpartition("/")[2] for i in range(len(source))]


def labels(source):
    return [source.label(i) for i in range(len(source))]


def test_ucf101_class_ids_index_all_101_names(ucf101_root):
    source = data.UCF101(ucf101_root, split="all")
    assert len(source.class_names) == 101
    assert labels(source) == [2, 2, 36, 100]


def test_ucf101_class_ids_follow_ascii_order():
    names = data.UCF101.class_names
    assert list(names) == sorted(names)
    assert names.index("HammerThrow") < names.index("Hammering")


@pytest.mark.parametrize(
    "fold, test", [(1, [0]), (2, [1, 2]), (3, [3])], ids=["1", "2", "3"]
)
def test_ucf101_splits_by_group_without_lists(ucf101_root, fold, test):
    expected = [n.rpartition("/")[2] for n in NAMES]
    source = data.UCF101(ucf101_root, split="test", fold=fold)
    assert names(source) == [expected[i] for i in test]
    source = data.UCF101(ucf101_root, split="train", fold=fold)
    assert names(source) == [n for i, n in enumerate(expected) if i not in test]


@pytest.mark.parametrize("list_folder", [".", "ucfTrainTestlist", "../lists"])
def test_ucf101_follows_the_official_lists(ucf101_root, list_folder):
    folder = ucf101_root / list_folder
    folder.mkdir(exist_ok=True)
    lines = f"{NAMES[3]} 101\n{NAMES[0]} 3\n"
    (folder / "trainlist02.txt").write_text(lines)
    split_lists = folder if list_folder == "../lists" else None
    source = data.UCF101(ucf101_root, "train", fold=2, split_lists=split_lists)
    assert names(source) == ["v_YoYo_g15_c02.avi", "v_Archery_g01_c01.avi"]


def test_ucf101_reports_missing_files_of_a_list(ucf101_root):
    lines = f"{NAMES[0]}\nBiking/v_Biking_g01_c01.avi\n"
    (ucf101_root / "testlist01.txt").write_text(lines)
    with pytest.raises(FileNotFoundError, match="1 of the 2.*v_Biking_g01"):
        data.UCF101(ucf101_root, split="test")
    source = data.UCF101(ucf101_root, split="test", on_error="skip")
    assert names(source) == ["v_Archery_g01_c01.avi"]


def test_ucf101_refuses_other_files(ucf101_root):
    (ucf101_root / "Archery/cat.avi").touch()
    with pytest.raises(ValueError, match="cat.avi.*VideoFolder"):
        data.UCF101(ucf101_root)


def test_ucf101_without_videos_of_a_split(ucf101_root):
    for path in ucf101_root.glob("*/v_*_g0[1-7]_*.avi"):
        path.unlink()
    with pytest.raises(ValueError, match="test split.*split=.*VideoFolder"):
        data.UCF101(ucf101_root, split="test")


def test_ucf101_without_videos(tmp_path):
    with pytest.raises(ValueError, match="no videos in"):
        data.UCF101(tmp_path)
    with pytest.raises(FileNotFoundError, match="UCF101.rar"):
        data.UCF101(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "options", [{"split": "val"}, {"fold": 4}, {"on_error": "ignore"}]
)
def test_ucf101_refuses_invalid_options(ucf101_root, options):
    with pytest.raises(ValueError, match="Received"):
        data.UCF101(ucf101_root, **options)


def test_ucf101_requires_an_explicitly_given_list(ucf101_root, tmp_path):
    with pytest.raises(FileNotFoundError, match="trainlist01.txt"):
        data.UCF101(ucf101_root, split_lists=tmp_path)


def test_folder_of_classes(tmp_path):
    for name in ("dogs/2.MP4", "cats/1.webm", "cats/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    source = data.VideoFolder(tmp_path)
    assert source.class_names == ("cats", "dogs")
    assert names(source) == ["1.webm", "2.MP4"]
    assert labels(source) == [0, 1]
    source = data.VideoFolder(tmp_path, ["birds", "cats", "dogs"])
    assert labels(source) == [1, 2]
    with pytest.raises(ValueError, match="dogs"):
        data.VideoFolder(tmp_path, ["cats"])


def test_folder_without_classes(tmp_path):
    (tmp_path / "a.mkv").touch()
    source = data.VideoFolder(tmp_path)
    assert source.files == [data.VideoFile(str(tmp_path / "a.mkv"), -1)]


def test_folder_without_videos(tmp_path):
    (tmp_path / "readme.txt").touch()
    with pytest.raises(ValueError, match="no videos in"):
        data.VideoFolder(tmp_path)


def write_list(folder, *lines):
    for name in "ab":
        (folder / f"{name}.mp4").touch()
    path = folder / "list.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_list_with_class_names(tmp_path):
    path = write_list(tmp_path, "id,path,label", "0,b.mp4,run", '1,a.mp4,"a,b"')
    source = data.VideoList(path)
    assert source.class_names == ("a,b", "run")
    assert labels(source) == [1, 0]
    assert source.path(0) == str(tmp_path / "b.mp4")


def test_list_with_class_ids_and_a_root(tmp_path):
    path = write_list(tmp_path, "path,label", "a.mp4,5", "b.mp4,")
    source = data.VideoList(path, root=str(tmp_path))
    assert labels(source) == [5, -1]
    assert source.class_names == ("0", "1", "2", "3", "4", "5")


@pytest.mark.parametrize(
    "lines, message",
    [
        (["a.mp4,0"], "column `path`"),
        (["path,label"], "lists no video"),
        (["path,label", "a.mp4,0", "c.mp4,0"], "Line 3.*c.mp4"),
    ],
)
def test_invalid_lists_are_refused(tmp_path, lines, message):
    path = write_list(tmp_path, *lines)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        data.VideoList(path)


def test_labels_of_a_list_must_be_known_classes(tmp_path):
    path = write_list(tmp_path, "path,label", "a.mp4,jump")
    with pytest.raises(ValueError, match="'jump' in line 2"):
        data.VideoList(path, class_names=["run"])
    path = write_list(tmp_path, "path,label", "a.mp4,1")
    with pytest.raises(ValueError, match="'1' in line 2"):
        data.VideoList(path, class_names=["run"])


def write_reference_list(folder, *rows):
    for _, path, _, _ in rows:
        file = folder / "videos" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    lines = [f"{i},data/k600/{p},{a},{n}" for i, p, a, n in rows]
    path = folder / "list.csv"
    path.write_text("\n".join(["id,path,action,label", *lines]) + "\n")
    return path


def test_lists_of_the_reference_implementation(tmp_path):
    rows = (7, "val/b.mp4", "zumba", 2), (9, "val/a.mp4", "abseiling", 0)
    path = write_reference_list(tmp_path, *rows)
    source = data.VideoList(path, tmp_path / "videos")
    assert source.class_names == ("abseiling", "", "zumba")
    assert names(source) == ["b.mp4", "a.mp4"]
    assert labels(source) == [2, 0]


def test_missing_files_of_a_list_are_errors_or_skipped(tmp_path):
    rows = (1, "val/a.mp4", "abseiling", 0), (2, "val/b.mp4", "zumba", 1)
    path = write_reference_list(tmp_path, *rows)
    root = tmp_path / "videos"
    (root / "val/a.mp4").unlink()
    with pytest.raises(FileNotFoundError, match="Line 2.*val/a.mp4"):
        data.VideoList(path, root)
    source = data.VideoList(path, root, on_error="skip")
    assert labels(source) == [1]
    (root / "val/b.mp4").unlink()
    with pytest.raises(FileNotFoundError, match="None of the 2 files"):
        data.VideoList(path, root, on_error="skip")


def test_kinetics_has_600_classes(tmp_path):
    path = write_reference_list(tmp_path, (1, "val/a.mp4", "zumba", 0))
    with pytest.raises(ValueError, match="600 classes.*1 classes"):
        data.Kinetics600(tmp_path / "videos", path)
    path.write_text("path,label\nval/a.mp4,name 599\n")
    all_names = [f"name {i:03d}" for i in range(600)]
    source = data.Kinetics600(tmp_path / "videos", path, all_names)
    assert source.label(0) == 599 and len(source.class_names) == 600


def test_concatenation_has_the_clips_and_classes_of_all_sources(tmp_path):
    (tmp_path / "a.mkv").touch()
    shapes, folder = data.MovingShapes(13, 1, 8), data.VideoFolder(tmp_path)
    source = data.ConcatSource([shapes, folder, shapes], repeats=[1, 3, 2])
    assert len(source) == 13 + 3 + 26 and len(source.class_names) == 24
    own = [i % 12 for i in range(13)]
    expected = own + [-1] * 3 + [12 + i for i in own] * 2
    assert labels(source) == expected
    assert source.num_frames(0) == 1
    assert source.path(12) is None and source.path(15) == folder.path(0)
    assert source.name(15) == "1/a.mkv"
    first_frame = np.array([0])
    np.testing.assert_array_equal(
        source.read(41, first_frame), shapes.read(12, first_frame)
    )
    with pytest.raises(IndexError):
        source.label(42)
    assert source.flip_changes_label
    assert source.default_num_frames == 16 and source.default_image_size == 128


def test_concatenation_has_the_common_clip_size():
    shapes = data.MovingShapes(3, 2, 8), data.MovingShapes(2, 2, 8, seed=1)
    dataset = data.video_dataset(data.ConcatSource(shapes), batch_size=5)
    video, class_ids = next(iter(dataset))
    assert video.shape == (5, 2, 8, 8, 3)
    assert sorted(class_ids) == [0, 1, 2, 12, 13]


@pytest.mark.parametrize("arguments", [([],), ([data.MovingShapes(1)], [1, 1])])
def test_invalid_concatenations_are_refused(arguments):
    with pytest.raises(ValueError, match="Received"):
        data.ConcatSource(*arguments)


def test_names_of_files_do_not_depend_on_the_root(tmp_path, monkeypatch):
    for root in ("a", "b"):
        for name in ("cats/1.mp4", "dogs/1.mp4"):
            (tmp_path / root / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / root / name).touch()
    monkeypatch.chdir(tmp_path)
    expected = ["cats/1.mp4", "dogs/1.mp4"]
    for root in (tmp_path / "a", tmp_path / "b", "a", "./b/"):
        source = data.VideoFolder(root)
        assert [source.name(i) for i in range(2)] == expected
    files = data.FileSource(source.files)
    assert [files.name(i) for i in range(2)] == expected
    assert data.FileSource(source.files[:1]).name(0) == "1.mp4"


def test_file_source_needs_files():
    with pytest.raises(ValueError, match="at least one file"):
        data.FileSource([])


@pytest.fixture
def wide_video(shared_dir, tmp_path):
    """A folder with a file of 640x360 pixels that players show as 1280x360."""
    path = tmp_path / "videos/Archery/v_Archery_g01_c01.avi"
    path.parent.mkdir(parents=True)
    path.symlink_to(shared_dir / "data/odd/sar_2x1.mp4")
    (tmp_path / "list.csv").write_text(f"path,action\n{path},Archery\n")
    return tmp_path, ["Archery", *(f"name {i}" for i in range(599))]


@pytest.mark.parametrize(
    "make_source",
    [
        lambda root, _, **options: data.VideoFolder(root / "videos", **options),
        lambda root, _, **options: data.VideoList(root / "list.csv", **options),
        lambda root, _, **options: data.UCF101(root, "all", **options),
        lambda root, names, **options: data.Kinetics600(
            root, root / "list.csv", names, **options
        ),
    ],
    ids=["folder", "list", "ucf101", "kinetics600"],
)
def test_geometry_of_files(wide_video, make_source):
    for options, width in (({}, 1280), ({"geometry": "stored"}, 640)):
        source = make_source(*wide_video, **options)
        assert source.read(0, [0]).shape == (1, 360, width, 3)
        cached = data.CachedSource(source, image_size=8)
        assert cached.geometry == source.geometry
    with pytest.raises(ValueError, match="`geometry` must be one of"):
        make_source(*wide_video, geometry="square")


def test_geometry_of_concatenations(tmp_path):
    (tmp_path / "a.mkv").touch()
    shapes = data.MovingShapes(1, 1, 8)
    display = data.VideoFolder(tmp_path)
    stored = data.VideoFolder(tmp_path, geometry="stored")
    for sources, expected in (
        ([shapes, shapes], None),
        ([shapes, stored, stored], "stored"),
        ([shapes, stored, display], "none,stored,display"),
    ):
        assert data.ConcatSource(sources).geometry == expected

import os
import pathlib
import re

from keras_larp.data.sources.file_source import FileSource, VideoFile
from keras_larp.data.sources.video_files import (
    MISSING,
    SkippedFile,
    list_videos,
)
from keras_larp.utils.checks import check_choice, check_integer, check_path
from keras_larp.utils.json_files import read_text

_NAMES = pathlib.Path(__file__).with_name("ucf101_classes.txt")
_FILE_NAME = re.compile(r"v_([A-Za-z]+)_g(\d+)_c(\d+)\.avi", re.IGNORECASE)
_NOT_AVI = "not an .avi file"
# The files of a class form 25 groups (`gXX` in the file name). Seven of them
# are the test split of each of the three official folds.
_TEST_GROUPS = {
    1: range(1, 8),
    2: range(8, 15),
    3: range(15, 22),
}


class UCF101(FileSource):
    """The UCF101 data set, as it is distributed.

    `root` has one folder per class: `root/Archery/v_Archery_g01_c01.avi`, in
    upper or lower case and at any depth. Hidden and system files are ignored.

    The official lists (`trainlist01.txt`, `testlist01.txt`, ...) define the
    splits. They are searched in `split_lists`, or else in `root`, in its
    parent folder, and in folders named `ucfTrainTestlist` in either. If no
    list is found, the split uses the rule of the official lists: of
    the 25 groups of each class, groups 1-7, 8-14 or 15-21 are for testing.

    A class id is the position among all 101 class names in ASCII order, as in
    the reference implementation, even if the folder has only some classes.
    (The official `classInd.txt` ignores case: it swaps HammerThrow with
    Hammering and JumpRope with JumpingJack.)

    Args:
        root: String or path. The folder with one folder per class.
        split: String. `"train"`, `"test"`, or `"all"` for all files. Defaults
            to `"train"`.
        fold: Integer. The official fold, 1, 2 or 3. Defaults to 1.
        split_lists: String or path. The folder of the official lists.
            Defaults to `None`, which searches for them.
        on_error: String. What to do if listed files do not exist: `"raise"`
            or `"skip"`. Defaults to `"raise"`.
        geometry: String. `"display"` or `"stored"`; see `read_frames`.
            Defaults to `"display"`.

    Attributes:
        class_names: Tuple of the 101 class names.
        num_missing: Integer. Number of listed files that were skipped.
        skipped: List of `SkippedFile`, with a path and a reason each. Files of
            other splits are not among them.

    Raises:
        ValueError: If an argument is invalid, a video belongs to none of the
            classes or exists twice, or there is no video.
        FileNotFoundError: If `root` or a listed file does not exist.

    Example:

    ```python
    source = keras_larp.data.UCF101("UCF-101", split="train")
    len(source)  # 9537
    source.path(0), source.label(0)
    # ("UCF-101/ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi", 0)
    ```

    Reference:
        - [UCF101](https://www.crcv.ucf.edu/data/UCF101.php)
        - [LARP](https://arxiv.org/abs/2410.21264), section 4.1
    """

    class_names = tuple(_NAMES.read_text().split())

    def __init__(
        self,
        root: str | os.PathLike,
        split: str = "train",
        fold: int = 1,
        split_lists: str | os.PathLike | None = None,
        on_error: str = "raise",
        geometry: str = "display",
    ):
        check_choice("split", split, ("train", "test", "all"))
        check_integer("fold", fold, 1, 3)
        check_choice("on_error", on_error, ("raise", "skip"))
        root = check_path("root", root)
        if split_lists is not None:
            split_lists = check_path("split_lists", split_lists)
        found, skipped = _list_files(root)
        files, self.num_missing = found, 0
        if split != "all":
            split_list = _find_list(root, split, fold, split_lists)
            if split_list is None:
                files = [f for f in found if _split_of(f.path, fold) == split]
            else:
                files, missing = _listed_files(
                    split_list, found, root, on_error
                )
                self.num_missing = len(missing)
                skipped += [
                    SkippedFile(str(root / name), MISSING) for name in missing
                ]
        if not files:
            raise ValueError(
                f"None of the {len(found)} videos in {root} is in the "
                f'{split} split of fold {fold}. Pass `split="all"` for all, or '
                "read it as a `VideoFolder` (--data_format=folder in commands)."
            )
        super().__init__(files, root, self.class_names, skipped, geometry)


def _list_files(root):
    """All videos, sorted by class and name, and the skipped files."""
    if not root.is_dir():
        raise FileNotFoundError(
            f"The folder {root} does not exist. Pass the folder `UCF-101` "
            "that unpacking UCF101.rar creates, with one folder per class."
        )
    ids = {name.lower(): i for i, name in enumerate(UCF101.class_names)}
    files, by_name = [], {}
    paths, skipped = list_videos(root)
    for path in paths:
        if path.suffix.lower() != ".avi":
            skipped.append(SkippedFile(str(path), _NOT_AVI))
            continue
        match = _FILE_NAME.fullmatch(path.name)
        # The folder HandstandPushups has files named HandStandPushups.
        label = ids.get(match[1].lower()) if match else None
        if label is None:
            raise ValueError(
                f"{path} is not named like a file of UCF101, "
                "v_<Class>_g01_c01.avi with one of its 101 classes. Use "
                "`VideoFolder` for your own videos."
            )
        twin = by_name.setdefault(path.name.lower(), path)
        if twin is not path:
            raise ValueError(
                f"{root} has the same video twice: {twin} and {path}. Pass the "
                "folder of one copy of UCF101."
            )
        files.append(VideoFile(str(path), label))
    if not files:
        raise ValueError(
            f"There are no videos in {root}: expected one folder per class "
            "with files such as Archery/v_Archery_g01_c01.avi. Use "
            "`VideoFolder` for videos in other formats."
        )
    return files, skipped


def _find_list(root, split, fold, folder):
    """Path of an official list, or `None`."""
    name = f"{split}list{fold:02d}.txt"
    if folder is not None:
        path = pathlib.Path(folder) / name
        if not path.is_file():
            raise FileNotFoundError(
                f"There is no {name} in {folder}. It is part of "
                "UCF101TrainTestSplits-RecognitionTask.zip."
            )
        return path
    for parent in (root, root.resolve().parent):
        for path in (parent / name, parent / "ucfTrainTestlist" / name):
            if path.is_file():
                return path
    return None


def _listed_files(path, found, root, on_error):
    """The files in `found` that the list names, in the order of the list, and
    the listed names that are missing."""
    by_name = {pathlib.Path(file.path).name.lower(): file for file in found}
    # Lines are "Archery/v_Archery_g08_c01.avi", plus a class id in train lists.
    lines = [line.split() for line in read_text(path).splitlines()]
    paths = [line[0] for line in lines if line]
    names = [path.rpartition("/")[2].lower() for path in paths]
    missing = [p for p, n in zip(paths, names, strict=True) if n not in by_name]
    if missing and on_error == "raise":
        raise FileNotFoundError(
            f"{len(missing)} of the {len(names)} files of {path} are not in "
            f"{root}, for example {missing[0]}. Complete the folder, or pass "
            '`on_error="skip"` (--on_error=skip in commands) to skip them.'
        )
    return [by_name[name] for name in names if name in by_name], missing


def _split_of(path, fold):
    group = int(_FILE_NAME.fullmatch(pathlib.Path(path).name)[2])
    return "test" if group in _TEST_GROUPS[fold] else "train"

import pathlib
import re

from keras_larp.data.sources.video_file import VideoFile
from keras_larp.utils.checks import check_choice, check_integer

_NAMES = pathlib.Path(__file__).with_name("ucf101_classes.txt")
_FILE_NAME = re.compile(r"v_([A-Za-z]+)_g(\d+)_c(\d+)\.avi", re.IGNORECASE)
# Groups (the `gXX` of a file's name) 1 to 25 of a class; seven of them are the
# test part of each of the three official folds.
_TEST_GROUPS = {
    1: range(1, 8),
    2: range(8, 15),
    3: range(15, 22),
}


class UCF101:
    """The files of the UCF101 data set, as it is distributed.

    `root` holds a folder a class: `root/Archery/v_Archery_g01_c01.avi`. Which
    files are for training and which for testing is read from the official
    lists (`trainlist01.txt`, `testlist01.txt`, ...), which are looked for in
    `split_lists`, or else in `root`, beside it, and in folders named
    `ucfTrainTestlist` there. Where no list is found, the split is made by the
    rule that the official lists follow: of the 25 groups of each class, 1 to
    7, 8 to 14 or 15 to 21 are for testing.

    A class's id is its place among all 101 names in the order of their
    characters, as in the authors' code, whatever classes are in the folder.
    (The official `classInd.txt` orders without regard to case: it swaps
    HammerThrow with Hammering and JumpRope with JumpingJack.)

    Args:
        root: String or path, the folder with a folder a class.
        split: String, `"train"`, `"test"`, or `"all"` for every file.
        fold: Integer, which of the three official splits: 1, 2 or 3.
        split_lists: Optional string or path, the folder of the lists.
        on_error: String, what to do when files of a list are not in `root`:
            `"raise"`, or `"skip"` for those that are there.

    Attributes:
        class_names: Tuple of the 101 names.
        num_missing: Integer, files of the list that were left out.

    Raises:
        ValueError: If an argument is out of range, a folder is not that of a
            class, or there is no video.
        FileNotFoundError: If `root`, or a file of a list, is not there.

    Example:

    ```python
    source = keras_larp.data.UCF101("UCF-101", split="train")
    len(source)  # 9537
    source[0].path, source[0].label
    # ("UCF-101/ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi", 0)
    ```

    Reference:
        - [UCF101](https://www.crcv.ucf.edu/data/UCF101.php)
        - [LARP](https://arxiv.org/abs/2410.21264), section 4.1
    """

    class_names = tuple(_NAMES.read_text().split())
    flip_changes_label = False

    def __init__(
        self, root, split="train", fold=1, split_lists=None, on_error="raise"
    ):
        check_choice("split", split, ("train", "test", "all"))
        check_integer("fold", fold, 1, 3)
        check_choice("on_error", on_error, ("raise", "skip"))
        root = pathlib.Path(root)
        found = _list_files(root)
        self.num_missing = 0
        if split == "all":
            self.files = found
        else:
            lists = _find_list(root, split, fold, split_lists)
            if lists is None:
                self.files = [
                    file for file in found if _part(file.path, fold) == split
                ]
            else:
                self.files, self.num_missing = _listed(
                    lists, found, root, on_error
                )
        if not self.files:
            raise ValueError(
                f"None of the {len(found)} videos in {root} is in the "
                f'{split} part of fold {fold}. Pass `split="all"` for all, or '
                "read it as a `VideoFolder` (--data_format=folder in commands)."
            )

    def __len__(self):
        return len(self.files)

    def __getitem__(self, index):
        return self.files[index]


def _list_files(root):
    """All videos, in the order of their class and name."""
    if not root.is_dir():
        raise FileNotFoundError(
            f"There is no folder {root}. Pass the folder `UCF-101` that "
            "unpacking UCF101.rar gives, with a folder a class in it."
        )
    ids = {name.lower(): i for i, name in enumerate(UCF101.class_names)}
    files = []
    for path in sorted(root.glob("*/*.avi")):
        match = _FILE_NAME.fullmatch(path.name)
        # The folder HandstandPushups has files named HandStandPushups.
        label = ids.get(match[1].lower()) if match else None
        if label is None:
            raise ValueError(
                f"{path} is not named like a file of UCF101, "
                "v_<Class>_g01_c01.avi with one of its 101 classes. For "
                "videos of your own use `VideoFolder`."
            )
        files.append(VideoFile(str(path), label))
    if not files:
        raise ValueError(
            f"There are no videos in {root}: expected a folder a class with "
            "files such as Archery/v_Archery_g01_c01.avi."
        )
    return files


def _find_list(root, split, fold, folder):
    """Path of an official list, or `None`."""
    name = f"{split}list{fold:02d}.txt"
    if folder is not None:
        path = pathlib.Path(folder) / name
        if not path.is_file():
            raise FileNotFoundError(
                f"There is no {name} in {folder}. It is in "
                "UCF101TrainTestSplits-RecognitionTask.zip."
            )
        return path
    for place in (root, root.resolve().parent):
        for path in (place / name, place / "ucfTrainTestlist" / name):
            if path.is_file():
                return path
    return None


def _listed(path, found, root, on_error):
    """Of the files `found`, those that the list names, in its order; and how
    many it names that are not among them."""
    by_name = {pathlib.Path(file.path).name.lower(): file for file in found}
    # A line is "Archery/v_Archery_g08_c01.avi", and a number in train lists.
    lines = [line.split() for line in path.read_text().splitlines()]
    names = [line[0].rpartition("/")[2] for line in lines if line]
    absent = [name for name in names if name.lower() not in by_name]
    if absent and on_error == "raise":
        raise FileNotFoundError(
            f"{len(absent)} of the {len(names)} files of {path} are not in "
            f"{root}, the first being {absent[0]}. Complete the folder, or "
            'pass `on_error="skip"`, --on_error=skip in commands, to go on with '
            "what is there."
        )
    listed = [by_name[n.lower()] for n in names if n.lower() in by_name]
    return listed, len(absent)


def _part(path, fold):
    group = int(_FILE_NAME.fullmatch(pathlib.Path(path).name)[2])
    return "test" if group in _TEST_GROUPS[fold] else "train"

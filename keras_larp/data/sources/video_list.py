import csv
import pathlib

from keras_larp.data.sources.video_file import VideoFile
from keras_larp.utils.checks import check_choice


class VideoList:
    """The video files that a csv file lists, as people have for Kinetics.

    The first line names the columns. `path` is needed; `label` is optional
    and holds either class ids or class names; where it holds ids, `action`
    may hold the names. Other columns are ignored.

    The lists that come with the authors' code (`id,path,action,label`) have
    paths like `data/ucf101/YoYo/v_YoYo_g08_c01.avi`: leading folders are left
    out, the same number from all paths, where the files are in `root` without
    them.

    Args:
        csv_file: String or path.
        root: Optional string or path, the folder that paths are relative to;
            that of the csv file where `None`.
        class_names: Optional list of strings, all classes in the order of
            their ids. Where `None` and labels are names, the names in the
            file, sorted.
        on_error: String, what to do where a file is not there: `"raise"`, or
            `"skip"` it.

    Attributes:
        class_names: Tuple of strings, empty where no video has a class; ids
            as text where a list has nothing but ids, and "" for a class that
            no line of a list of ids and names has.
        num_missing: Integer, files of the list that were left out.

    Raises:
        FileNotFoundError: If the csv file or a file that it names is not
            there.
        ValueError: If a column or a label is not as said; names the line.

    Example:

    ```python
    # path,label
    # train/abc.mp4,arm wrestling
    source = keras_larp.data.VideoList("k600_train.csv", root="/data/k600")
    source[0].path, source[0].label  # ("/data/k600/train/abc.mp4", 0)
    ```
    """

    flip_changes_label = False

    def __init__(self, csv_file, root=None, class_names=None, on_error="raise"):
        csv_file = pathlib.Path(csv_file)
        check_choice("on_error", on_error, ("raise", "skip"))
        if not csv_file.is_file():
            raise FileNotFoundError(f"There is no file {csv_file}.")
        root = csv_file.parent if root is None else pathlib.Path(root)
        rows = _read(csv_file)
        texts = [(row.get("label") or "").strip() for _, row in rows]
        if class_names is None:
            class_names = _names(texts, [row for _, row in rows])
        self.class_names = tuple(class_names)
        self._ids = {name: i for i, name in enumerate(self.class_names)}
        paths = [pathlib.PurePath(row["path"] or "") for _, row in rows]
        left_out = _folders_to_leave_out(
            root, paths if on_error == "skip" else paths[:1]
        )
        self.files = []
        for (line, _), text, path in zip(rows, texts, paths, strict=True):
            label = self._label(text, f"line {line} of {csv_file}")
            path = root.joinpath(*path.parts[left_out:])
            if path.is_file():
                self.files.append(VideoFile(str(path), label))
            elif on_error == "raise":
                raise FileNotFoundError(
                    f"Line {line} of {csv_file} names {path}, which is not "
                    "there. Paths are relative to the folder of the list, or "
                    'to `root`. Pass `on_error="skip"`, --on_error=skip in '
                    "commands, to go on with those that are there."
                )
        if not self.files:
            raise FileNotFoundError(
                f"None of the {len(rows)} files of {csv_file} is in {root}."
            )
        self.num_missing = len(rows) - len(self.files)

    def _label(self, text, place):
        if not text:
            return -1
        if text in self._ids:
            return self._ids[text]
        label = int(text) if _is_number(text) else -1
        if label < 0 or (self.class_names and label >= len(self.class_names)):
            raise ValueError(
                "A label must be a class name or an id from 0 on, of those in "
                f"`class_names` where given. Received: {text!r} in {place}"
            )
        return label

    def __len__(self):
        return len(self.files)

    def __getitem__(self, index):
        return self.files[index]


def _read(csv_file):
    """Pairs of a line's number and its values by column."""
    with csv_file.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.DictReader(stream)
        columns = reader.fieldnames or []
        if "path" not in columns:
            raise ValueError(
                f"The first line of {csv_file} must name a column `path`. "
                f"Received: {columns}"
            )
        rows = [(reader.line_num, row) for row in reader]
    if not rows:
        raise ValueError(f"{csv_file} lists no video.")
    return rows


def _names(labels, rows):
    """The classes that a file names, in the order of their ids."""
    if not all(_is_number(label) for label in labels if label):
        return sorted(set(labels) - {""})
    names = {
        int(label): row["action"].strip()
        for label, row in zip(labels, rows, strict=True)
        if label and row.get("action")
    }
    count = max((int(label) for label in labels if label), default=-1) + 1
    if not names:
        return [str(i) for i in range(count)]
    # The authors' `k600_val.csv` has no video of class 293.
    return [names.get(i, "") for i in range(count)]


def _folders_to_leave_out(root, paths):
    """How many leading folders the first file that is found is without."""
    for path in paths:
        for count in range(len(path.parts)):
            if root.joinpath(*path.parts[count:]).is_file():
                return count
    return 0


def _is_number(text):
    return text.isascii() and text.isdigit()

import collections.abc
import csv
import os
import pathlib

from keras_larp.data.sources.file_source import FileSource, VideoFile
from keras_larp.utils.checks import check_choice


class VideoList(FileSource):
    """The video files listed in a CSV file, as is common for Kinetics.

    The first line names the columns. `path` is required. `label` is optional
    and holds class ids or class names. If it holds ids, the optional column
    `action` may hold the names. Other columns are ignored.

    The lists of the LARP reference implementation (`id,path,action,label`)
    have paths like `data/ucf101/YoYo/v_YoYo_g08_c01.avi`. Leading folders are
    removed, the same number from all paths, if the files are found in `root`
    without them.

    Args:
        csv_file: String or path. The list.
        root: String or path. The folder that paths are relative to. Defaults
            to the folder of the CSV file.
        class_names: List of strings. All class names, indexed by class id.
            Defaults to the names in the list, sorted.
        on_error: String. What to do if a listed file does not exist:
            `"raise"` or `"skip"`. Defaults to `"raise"`.

    Attributes:
        class_names: Tuple of strings, empty if no video has a class. If the
            list has ids but no names, the ids as strings. `""` for ids
            without a name if the list has both.
        num_missing: Integer. Number of listed files that were skipped.

    Raises:
        FileNotFoundError: If the CSV file or a listed file does not exist.
        ValueError: If a column is missing or a label is invalid; the message
            names the line.

    Example:

    ```python
    # path,label
    # train/abc.mp4,arm wrestling
    source = keras_larp.data.VideoList("k600_train.csv", root="/data/k600")
    source.path(0), source.label(0)  # ("/data/k600/train/abc.mp4", 0)
    ```
    """

    def __init__(
        self,
        csv_file: str | os.PathLike,
        root: str | os.PathLike | None = None,
        class_names: collections.abc.Iterable[str] | None = None,
        on_error: str = "raise",
    ):
        csv_file = pathlib.Path(csv_file)
        check_choice("on_error", on_error, ("raise", "skip"))
        if not csv_file.is_file():
            raise FileNotFoundError(f"The file {csv_file} does not exist.")
        root = csv_file.parent if root is None else pathlib.Path(root)
        rows = _read_rows(csv_file)
        labels = [(row.get("label") or "").strip() for _, row in rows]
        if class_names is None:
            class_names = _collect_names(labels, [row for _, row in rows])
        class_names = tuple(class_names)
        ids = {name: i for i, name in enumerate(class_names)}
        paths = [pathlib.PurePath(row["path"] or "") for _, row in rows]
        num_removed = _num_folders_to_remove(
            root, paths if on_error == "skip" else paths[:1]
        )
        files = []
        for (line, _), label, path in zip(rows, labels, paths, strict=True):
            label = _parse_label(label, ids, line, csv_file)
            path = root.joinpath(*path.parts[num_removed:])
            if path.is_file():
                files.append(VideoFile(str(path), label))
            elif on_error == "raise":
                raise FileNotFoundError(
                    f"Line {line} of {csv_file} names {path}, which does not "
                    "exist. Paths are relative to the folder of the list, or "
                    'to `root`. Pass `on_error="skip"` (--on_error=skip in '
                    "commands) to skip missing files."
                )
        if not files:
            raise FileNotFoundError(
                f"None of the {len(rows)} files of {csv_file} is in {root}."
            )
        self.num_missing = len(rows) - len(files)
        super().__init__(files, root, class_names)


def _read_rows(csv_file):
    """Pairs of a line number and a dictionary from column to value."""
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


def _collect_names(labels, rows):
    """The class names in a list, indexed by class id."""
    if not all(_is_id(label) for label in labels if label):
        return sorted(set(labels) - {""})
    names = {
        int(label): row["action"].strip()
        for label, row in zip(labels, rows, strict=True)
        if label and row.get("action")
    }
    count = max((int(label) for label in labels if label), default=-1) + 1
    if not names:
        return [str(i) for i in range(count)]
    # The reference implementation's `k600_val.csv` has no video of class 293.
    return [names.get(i, "") for i in range(count)]


def _parse_label(text, ids, line, csv_file):
    if not text:
        return -1
    if text in ids:
        return ids[text]
    label = int(text) if _is_id(text) else -1
    if label < 0 or (ids and label >= len(ids)):
        raise ValueError(
            "A label must be one of the class names, or a class id of at "
            f"least 0 and below their number. Received: {text!r} in line "
            f"{line} of {csv_file}"
        )
    return label


def _num_folders_to_remove(root, paths):
    """How many leading folders to remove so that the first file is found."""
    for path in paths:
        for count in range(len(path.parts)):
            if root.joinpath(*path.parts[count:]).is_file():
                return count
    return 0


def _is_id(text):
    return text.isascii() and text.isdigit()

import collections.abc
import csv
import dataclasses
import io
import os
import pathlib
import re

from keras_larp.data.sources.file_source import FileSource, VideoFile
from keras_larp.data.sources.video_files import MISSING, SkippedFile
from keras_larp.utils.checks import check_choice, check_names, check_path
from keras_larp.utils.json_files import read_text

_COLUMNS = ("path", "label", "action", "id")
# Integers, and floats such as `2.0` that pandas writes for integers if some
# labels are missing.
_INTEGER = re.compile(r"([+-]?\d+)(\.0*)?", re.ASCII)
# A label above this is no class id but, for example, a date.
_MAX_CLASS_ID = 999_999
_MAX_DIGITS = 100


class VideoList(FileSource):
    """The video files listed in a CSV file, as is common for Kinetics.

    The first line names the columns, in upper or lower case:

    - `path`: path of the video. Required.
    - `label`: class id or class name.
    - `action`: class name, if `label` holds class ids or does not exist.
    - `id`: ignored.

    Integers are class ids, also if written as floats (`2.0`); -1 and empty
    labels mean "no class". Other labels are class names. A list has either
    class ids or class names.

    The lists of the LARP reference implementation (`id,path,action,label`)
    have paths like `data/ucf101/YoYo/v_YoYo_g08_c01.avi`. Leading folders are
    removed, the same number from all paths, if the files are found in `root`
    without them.

    Args:
        csv_file: String or path. The list.
        root: String or path. The folder that paths are relative to. Defaults
            to the folder of the CSV file.
        class_names: List of strings. All class names, indexed by class id.
            Defaults to the names in the list, sorted unless the list has
            class ids.
        on_error: String. What to do if a listed file does not exist:
            `"raise"` or `"skip"`. Defaults to `"raise"`.
        geometry: String. `"display"` or `"stored"`; see `read_frames`.
            Defaults to `"display"`.

    Attributes:
        class_names: Tuple of strings, empty if no video has a class. If the
            list has ids but no names, the ids as strings. `""` for ids
            without a name if the list has both.
        num_missing: Integer. Number of listed files that were skipped.
        skipped: List of `SkippedFile`: the listed files that were skipped.

    Raises:
        FileNotFoundError: If the CSV file or a listed file does not exist.
        ValueError: If a column is unknown or missing, or a label is invalid,
            or the list mixes class ids and class names. The message names the
            line.

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
        geometry: str = "display",
    ):
        csv_file = check_path("csv_file", csv_file)
        check_choice("on_error", on_error, ("raise", "skip"))
        if not csv_file.exists():
            raise FileNotFoundError(f"The file {csv_file} does not exist.")
        root = csv_file.parent if root is None else check_path("root", root)
        rows = _read_rows(csv_file)
        self._has_ids = _has_ids(rows, csv_file)
        if self._has_ids:
            listed_names = _names_by_id(rows, csv_file)
        else:
            listed_names = sorted({row.label for row in rows if row.has_class})
        if class_names is None:
            class_names = listed_names
        else:
            class_names = check_names("class_names", class_names)
            _check_names(class_names, listed_names, self._has_ids, csv_file)
        ids = {name: i for i, name in enumerate(class_names)}
        paths = [pathlib.PurePath(row.path) for row in rows]
        num_removed = _num_folders_to_remove(
            root, paths if on_error == "skip" else paths[:1]
        )
        files, skipped = [], []
        for row, path in zip(rows, paths, strict=True):
            label = _class_id(row, ids, self._has_ids, csv_file)
            path = root.joinpath(*path.parts[num_removed:])
            if os.path.isfile(path):
                files.append(VideoFile(str(path), label))
            elif on_error == "skip":
                skipped.append(SkippedFile(str(path), MISSING))
            else:
                raise FileNotFoundError(
                    f"Line {row.line} of {csv_file} names {path}, which does "
                    "not exist. Paths are relative to the folder of the list, "
                    'or to `root`. Pass `on_error="skip"` (--on_error=skip in '
                    "commands) to skip missing files."
                )
        if not files:
            raise FileNotFoundError(
                f"None of the {len(rows)} files of {csv_file} is in {root}."
            )
        self.num_missing = len(skipped)
        super().__init__(files, root, class_names, skipped, geometry)

    def _describe_classes(self, sizes):
        if not self.class_names:
            return super()._describe_classes(sizes)
        kind = "class ids" if self._has_ids else "class names"
        return [f"labels are {kind}", *super()._describe_classes(sizes)]


@dataclasses.dataclass(frozen=True)
class _Row:
    """A row of a list. `label` may be a class name or id, or empty."""

    line: int
    path: str
    label: str
    action: str

    @property
    def integer(self):
        """The label as an integer, `None` if it is not one."""
        match = _INTEGER.fullmatch(self.label)
        if match is None:
            return None
        # Python refuses to convert thousands of digits.
        return int(match[1][:_MAX_DIGITS])

    @property
    def has_class(self):
        return self.label != "" and self.integer != -1


def _read_rows(csv_file):
    """List of `_Row`."""
    columns, rows = None, []
    text = read_text(csv_file).removeprefix("\ufeff")  # Byte order mark.
    reader = csv.reader(io.StringIO(text, newline=""), skipinitialspace=True)
    try:
        for cells in reader:
            cells = [cell.strip() for cell in cells]
            if not any(cells):
                continue
            if columns is None:
                columns = _check_columns(cells, csv_file)
                continue
            rows.append(_make_row(columns, cells, reader, csv_file))
    except csv.Error as error:
        raise ValueError(
            f"Line {reader.line_num} of {csv_file} is not CSV: {error}."
        ) from error
    if columns is None:
        _check_columns([], csv_file)
    if not rows:
        raise ValueError(f"{csv_file} lists no video.")
    return rows


def _check_columns(cells, csv_file):
    columns = [cell.casefold() for cell in cells]
    unknown = [c for c in columns if c not in _COLUMNS]
    if unknown or "path" not in columns or len({*columns}) < len(columns):
        raise ValueError(
            f"The first line of {csv_file} must name the column `path`, and "
            "may name `label` (class id or class name), `action` (class name) "
            "and `id` (ignored), separated by commas. Rename or remove other "
            f"columns. Received: {cells}"
        )
    return columns


def _make_row(columns, cells, reader, csv_file):
    if len(cells) != len(columns):
        raise ValueError(
            f"Line {reader.line_num} of {csv_file} has {len(cells)} values "
            f"for {len(columns)} columns. Quote values that contain commas, "
            f"and leave unknown labels empty. Received: {cells}"
        )
    values = dict(zip(columns, cells, strict=True))
    action = values.get("action", "")
    row = _Row(
        reader.line_num, values["path"], values.get("label", action), action
    )
    if not row.path:
        raise ValueError(f"Line {row.line} of {csv_file} has no path.")
    if row.action and not row.label:
        raise ValueError(
            f"Line {row.line} of {csv_file} has the action {row.action!r} but "
            "no label. Add the label, or use -1 for no class."
        )
    return row


def _has_ids(rows, csv_file):
    """Whether labels are class ids; raises if only some are."""
    rows = [row for row in rows if row.has_class]
    for row in rows[1:]:
        if (row.integer is None) != (rows[0].integer is None):
            raise ValueError(
                f"{csv_file} mixes class ids and class names: "
                f"{rows[0].label!r} in line {rows[0].line} and {row.label!r} "
                f"in line {row.line}. Use either for all videos."
            )
    for row in rows:
        if row.integer is not None and not 0 <= row.integer <= _MAX_CLASS_ID:
            raise ValueError(
                f"A class id must be from 0 to {_MAX_CLASS_ID}, or -1 for no "
                f"class. Received: {row.label!r} in line {row.line} of "
                f"{csv_file}"
            )
    return bool(rows) and rows[0].integer is not None


def _names_by_id(rows, csv_file):
    """The class names of a list of class ids, indexed by class id."""
    rows = [row for row in rows if row.has_class]
    ids = {row.integer for row in rows}
    names, lines = {}, {}
    for row in rows:
        # Without a column `label`, `action` holds the ids.
        if row.action in ("", row.label):
            continue
        if names.setdefault(row.integer, row.action) != row.action:
            raise ValueError(
                f"Line {row.line} of {csv_file} names class {row.label} "
                f"{row.action!r}, and an earlier line "
                f"{names[row.integer]!r}. A class id must have one name."
            )
        other = lines.setdefault(row.action, row)
        if other.integer != row.integer:
            raise ValueError(
                f"{csv_file} has the class {row.action!r} with label "
                f"{other.label} in line {other.line}, and with label "
                f"{row.label} in line {row.line}. A class must have one id."
            )
    if not names:
        return [str(i) for i in range(max(ids) + 1)]
    # The reference implementation's `k600_val.csv` has no video of class 293.
    return [names.get(i, "") for i in range(max(ids) + 1)]


def _check_names(class_names, listed_names, has_ids, csv_file):
    """Checks that `class_names` does not contradict the list."""
    names = [name for name in class_names if name]
    if len(set(names)) < len(names):
        raise ValueError(
            "`class_names` must not have duplicates. Received: "
            f"class_names={list(class_names)}"
        )
    if not has_ids:
        return
    for i, (name, listed) in enumerate(
        zip(class_names, listed_names, strict=False)
    ):
        number = _INTEGER.fullmatch(name[:_MAX_DIGITS])
        if listed in ("", str(i)):  # The list has no name for this class.
            is_contradiction = number is not None and int(number[1]) != i
        else:
            is_contradiction = name != listed
        if is_contradiction:
            raise ValueError(
                f"Labels of {csv_file} are class ids, and class {i} is "
                f"{listed!r} in the list but {name!r} in `class_names`. "
                "Correct `class_names`, or the column `label` or `action`."
            )


def _class_id(row, ids, has_ids, csv_file):
    if not row.has_class:
        return -1
    label = row.integer if has_ids else ids.get(row.label, -1)
    if not 0 <= label < len(ids):
        raise ValueError(
            "A label must be one of the class names, or a class id of at "
            f"least 0 and below their number. Received: {row.label!r} in line "
            f"{row.line} of {csv_file}"
        )
    return label


def _num_folders_to_remove(root, paths):
    """How many leading folders to remove so that the first file is found."""
    for path in paths:
        for count in range(len(path.parts)):
            if os.path.isfile(root.joinpath(*path.parts[count:])):
                return count
    return 0

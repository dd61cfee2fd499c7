import csv
import pathlib

from keras_larp.data.video_file import VideoFile


class VideoList:
    """The video files that a csv file lists, as people have for Kinetics.

    The first line names the columns. `path` is needed; `label` is optional
    and holds either class ids or class names; other columns are ignored.

    Args:
        csv_file: String or path.
        root: Optional string or path, the folder that paths are relative to;
            that of the csv file where `None`.
        class_names: Optional list of strings, all classes in the order of
            their ids. Where `None` and labels are names, the names in the
            file, sorted.

    Attributes:
        class_names: Tuple of strings, empty where labels are numbers or not
            there.

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

    has_direction = False

    def __init__(self, csv_file, root=None, class_names=None):
        csv_file = pathlib.Path(csv_file)
        if not csv_file.is_file():
            raise FileNotFoundError(f"There is no file {csv_file}.")
        root = csv_file.parent if root is None else pathlib.Path(root)
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

        texts = [(row.get("label") or "").strip() for _, row in rows]
        are_numbers = all(_is_number(text) for text in texts if text)
        if class_names is None and not are_numbers and any(texts):
            class_names = sorted(set(texts) - {""})
        self.class_names = tuple(class_names or ())
        self.files = []
        for (line, row), text in zip(rows, texts, strict=True):
            path = root / (row["path"] or "")
            if not path.is_file():
                raise FileNotFoundError(
                    f"Line {line} of {csv_file} names {path}, which is not "
                    "there. Paths are relative to the folder of the list, or "
                    "to `root`."
                )
            label = self._label(text, f"line {line} of {csv_file}")
            self.files.append(VideoFile(str(path), label))

    def _label(self, text, place):
        if not text:
            return -1
        if text in self.class_names:
            return self.class_names.index(text)
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


def _is_number(text):
    return text.isascii() and text.isdigit()

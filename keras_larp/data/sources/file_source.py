"""Base class of sources of video files."""

import collections
import collections.abc
import dataclasses
import os

import numpy as np
from absl import logging

from keras_larp.data.sources.video_files import SkippedFile
from keras_larp.data.sources.video_source import VideoSource
from keras_larp.data.video.video_reader import (
    GEOMETRIES,
    count_frames,
    read_frames,
)
from keras_larp.utils.checks import (
    check_choice,
    check_instance,
    check_integer,
    check_names,
    check_path,
    check_sequence,
)

# Largest class id: each class has a name and an embedding.
MAX_LABEL = 999_999
# Lengths of the lists in summaries.
_MAX_CLASSES, _MAX_EXAMPLES = 10, 3


@dataclasses.dataclass(frozen=True)
class VideoFile:
    """A video file and its class.

    Args:
        path: String. Path of the file.
        label: Integer. The class id, -1 for no class. Defaults to -1.

    Raises:
        TypeError: If `path` is not a string or path.
        ValueError: If `label` is not an integer from -1 to 999,999.
    """

    path: str
    label: int = -1

    def __post_init__(self):
        check_path("path", self.path)
        check_integer("label", self.label, -1, MAX_LABEL)


class FileSource(VideoSource):
    """Video files, decoded with PyAV.

    The base class of `UCF101`, `Kinetics600`, `VideoFolder` and `VideoList`.
    Use it directly for a list of files that none of them describes.

    Args:
        files: List of `VideoFile`.
        root: String or path. Names of videos are paths relative to this
            folder, so that they stay the same if the folder is moved.
            Defaults to the deepest folder that contains all files.
        class_names: List of strings. The class names, indexed by class id.
            Defaults to no classes.
        skipped: List of `SkippedFile`. Files that were found or listed but
            are not part of the source. Defaults to none.
        geometry: String. `"display"` reads frames as a player shows them,
            `"stored"` without rotation, mirroring and sample aspect ratio;
            see `read_frames`. Defaults to `"display"`.

    Attributes:
        files: List of `VideoFile`.
        class_names: Tuple of strings.
        skipped: List of `SkippedFile`, with a path and a reason each.
        geometry: String.

    Raises:
        ValueError: If `files` is empty or `geometry` is unknown.

    Example:

    ```python
    source = keras_larp.data.FileSource(
        [
            keras_larp.data.VideoFile("videos/cat.mp4", label=0),
            keras_larp.data.VideoFile("videos/dog.mp4", label=1),
        ],
        class_names=["cat", "dog"],
    )
    source.name(0), source.label(0)  # ("cat.mp4", 0)
    ```
    """

    def __init__(
        self,
        files: collections.abc.Iterable[VideoFile],
        root: str | os.PathLike | None = None,
        class_names: collections.abc.Iterable[str] = (),
        skipped: collections.abc.Iterable[SkippedFile] = (),
        geometry: str = "display",
    ):
        self.files = [
            check_instance("files", file, VideoFile)
            for file in check_sequence("files", files)
        ]
        self.skipped = [
            check_instance("skipped", file, SkippedFile)
            for file in check_sequence("skipped", skipped)
        ]
        if not self.files:
            raise ValueError(
                "A source needs at least one file. Received: files=[]"
            )
        if root is None:
            root = os.path.commonpath(
                [
                    os.path.dirname(os.path.abspath(file.path))
                    for file in self.files
                ]
            )
        self.root = os.path.abspath(check_path("root", root))
        self.class_names = check_names("class_names", class_names)
        self.geometry: str = check_choice("geometry", geometry, GEOMETRIES)
        logging.info("%s: %s", self.root, self.summary())

    def summary(self) -> str:
        """Describes the videos, the class ids, and the files left out.

        Returns:
            String. The first line has the number of videos and the names,
            ids and sizes of the classes. The following ones list the videos
            without a class and the skipped files by reason, if there are any.
        """
        labels = [self.label(i) for i in range(len(self))]
        sizes = collections.Counter(labels)
        num_unlabeled = sizes.pop(-1, 0)
        lines = [
            _count(len(self.files), "video"),
            *self._describe_classes(sizes),
        ]
        lines = [", ".join(lines)]
        if num_unlabeled and self.class_names:
            names = [self.name(i) for i, n in enumerate(labels) if n == -1]
            lines.append(f"{num_unlabeled} without a class: {_examples(names)}")
        reasons: dict[str, list[str]] = collections.defaultdict(list)
        for file in self.skipped:
            reasons[file.reason].append(self._relative(file.path))
        lines += [
            f"left out {len(names)} ({reason}): {_examples(names)}"
            for reason, names in reasons.items()
        ]
        return _printable("\n  ".join(lines))

    def _describe_classes(self, sizes):
        """Descriptions of the classes, given the number of videos by id."""
        if not self.class_names:
            return ["no classes"]
        classes = [
            f"{i} {name!r} ({sizes[i]})"
            for i, name in enumerate(self.class_names)
        ]
        if len(classes) > _MAX_CLASSES:
            classes[_MAX_CLASSES - 1 : -1] = ["..."]
        count = _count(len(self.class_names), "class", "classes")
        return [f"{count} by id (videos): {', '.join(classes)}"]

    def __len__(self) -> int:
        return len(self.files)

    def path(self, index: int) -> str:
        return os.fspath(self.files[index].path)

    def name(self, index: int) -> str:
        return self._relative(self.path(index))

    def _relative(self, path):
        path = os.path.abspath(path)
        path = path.removeprefix(os.path.join(self.root, ""))
        return path.replace(os.sep, "/")

    def label(self, index: int) -> int:
        return int(self.files[index].label)

    def num_frames(self, index: int) -> int:
        return count_frames(self.path(index))

    def read(
        self,
        index: int,
        frame_indices: np.ndarray,
        image_size: int | None = None,
    ) -> np.ndarray:
        return read_frames(
            self.path(index), frame_indices, image_size, self.geometry
        )


def _count(number, noun, plural=None):
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def _examples(names):
    more = ", ..." if len(names) > _MAX_EXAMPLES else ""
    return ", ".join(names[:_MAX_EXAMPLES]) + more


def _printable(text):
    """Escapes file names that are not valid UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")

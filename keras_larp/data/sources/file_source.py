"""Base class of sources of video files."""

import collections.abc
import dataclasses
import os

import numpy as np

from keras_larp.data.sources.video_source import VideoSource
from keras_larp.data.video.video_reader import (
    GEOMETRIES,
    count_frames,
    read_frames,
)
from keras_larp.utils.checks import check_choice


@dataclasses.dataclass(frozen=True)
class VideoFile:
    """A video file and its class.

    Args:
        path: String. Path of the file.
        label: Integer. The class id, -1 for no class. Defaults to -1.
    """

    path: str
    label: int = -1


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
        geometry: String. `"display"` reads frames as a player shows them,
            `"stored"` without rotation, mirroring and sample aspect ratio;
            see `read_frames`. Defaults to `"display"`. The attribute can be
            changed: `source.geometry = "stored"`.

    Attributes:
        files: List of `VideoFile`.
        class_names: Tuple of strings.
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
        geometry: str = "display",
    ):
        self.files = list(files)
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
        self.root = os.path.abspath(root)
        self.class_names = tuple(class_names)
        self.geometry = check_choice("geometry", geometry, GEOMETRIES)

    def __len__(self) -> int:
        return len(self.files)

    def path(self, index: int) -> str:
        return os.fspath(self.files[index].path)

    def name(self, index: int) -> str:
        path = os.path.abspath(self.path(index))
        path = path.removeprefix(os.path.join(self.root, ""))
        return path.replace(os.sep, "/")

    def label(self, index: int) -> int:
        return self.files[index].label

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

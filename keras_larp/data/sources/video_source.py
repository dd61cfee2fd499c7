import abc
import typing

import numpy as np


@typing.runtime_checkable
class VideoSource(typing.Protocol):
    """The interface of a video data set; every pipeline reads through it.

    `UCF101`, `Kinetics600`, `VideoFolder`, `VideoList`, `MovingShapes`,
    `AtariGameplay`, `CachedSource` and `ConcatSource` implement it. For data
    of any other kind, subclass it and implement `__len__`, `num_frames` and
    `read`, plus `label` and `class_names` if the videos have classes.

    Only `read` may be slow. The pipelines call the other methods for all
    videos, for example to list windows or labels.

    Attributes:
        class_names: Tuple of strings. The class names, indexed by class id;
            empty if the videos have no classes.
        flip_changes_label: Boolean. Whether mirroring a video changes its
            class, as for "moves left". Such sources cannot be used with
            `horizontal_flip` or `include_flips`.
        default_num_frames: Integer. Clip length that pipelines use if none is
            requested.
        default_image_size: Integer. Height and width that pipelines use if
            none is requested.
        geometry: String. How frames of video files are oriented and scaled;
            see `FileSource`. `None`, the default, for other videos. Token data
            sets and evaluations record it, because pixels depend on it.

    Example:

    ```python
    class ArraySource(keras_larp.data.VideoSource):
        class_names = ("dark", "bright")

        def __init__(self, videos, labels):
            self.videos = videos  # uint8 (N, T, H, W, 3)
            self.labels = labels

        def __len__(self):
            return len(self.videos)

        def label(self, index):
            return int(self.labels[index])

        def num_frames(self, index):
            return self.videos.shape[1]

        def read(self, index, frame_indices, image_size=None):
            return self.videos[index, frame_indices]


    videos = np.random.default_rng(0).integers(0, 256, (8, 20, 48, 64, 3))
    source = ArraySource(videos.astype("uint8"), np.arange(8) % 2)
    dataset = keras_larp.data.video_dataset(source, 16, 32, batch_size=4)
    ```
    """

    class_names: tuple[str, ...] = ()
    flip_changes_label: bool = False
    default_num_frames: int = 16
    default_image_size: int = 128
    geometry: str | None = None

    @abc.abstractmethod
    def __len__(self) -> int:
        """Returns the number of videos."""

    @abc.abstractmethod
    def num_frames(self, index: int) -> int:
        """Returns the number of frames of a video, at least 1.

        Raises:
            VideoDecodeError: If the video is not readable.
        """

    @abc.abstractmethod
    def read(
        self,
        index: int,
        frame_indices: np.ndarray,
        image_size: int | None = None,
    ) -> np.ndarray:
        """Reads frames of a video.

        Args:
            index: Integer. Index of the video.
            frame_indices: Integers `(T,)`. Indices of the frames, in any
                order; an index may occur several times.
            image_size: Integer. A hint: sources that can resize while
                decoding may return frames whose shorter side has this length.
                Defaults to `None`, which means the full resolution.

        Returns:
            uint8 array `(T, H, W, 3)`, RGB.

        Raises:
            VideoDecodeError: If the video is not readable.
        """

    def name(self, index: int) -> str:
        """Returns a name that identifies the video within the data set.

        Names must be the same on every machine and in every run. Token data
        sets store them and refuse to resume if they differ. Evaluation sorts
        by them before it samples clips. Defaults to the index.
        """
        return f"{index:06d}"

    def label(self, index: int) -> int:
        """Returns the class id of a video; -1, the default, for no class."""
        return -1

    def path(self, index: int) -> str | None:
        """Returns the path of a video file, `None` if it is not a file."""
        return None


def check_source(source: VideoSource) -> VideoSource:
    """Returns `source`, or raises `TypeError` if it is not a `VideoSource`."""
    if not isinstance(source, VideoSource):
        raise TypeError(
            "A source must be a `keras_larp.data.VideoSource`, such as "
            "`VideoFolder` or `UCF101`. Subclass `VideoSource` for other "
            f"data. Received: an object of type {type(source).__name__}"
        )
    return source

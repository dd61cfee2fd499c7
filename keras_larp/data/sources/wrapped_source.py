import numpy as np

from keras_larp.data.sources.video_source import VideoSource, check_source


class WrappedSource(VideoSource):
    """Base class of sources that change how another source is read.

    It forwards everything to the wrapped source; subclasses override what
    they change.

    Args:
        source: `VideoSource`.

    Raises:
        TypeError: If `source` is not a `VideoSource`.
    """

    def __init__(self, source: VideoSource):
        self.source = check_source(source)
        self.class_names = source.class_names
        self.flip_changes_label = source.flip_changes_label
        self.default_num_frames = source.default_num_frames
        self.default_image_size = source.default_image_size
        self.geometry = source.geometry

    def __len__(self) -> int:
        return len(self.source)

    def name(self, index: int) -> str:
        return self.source.name(index)

    def path(self, index: int) -> str | None:
        return self.source.path(index)

    def label(self, index: int) -> int:
        return self.source.label(index)

    def num_frames(self, index: int) -> int:
        return self.source.num_frames(index)

    def read(
        self,
        index: int,
        frame_indices: np.ndarray,
        image_size: int | None = None,
    ) -> np.ndarray:
        return self.source.read(index, frame_indices, image_size)

import numpy as np

from keras_larp.data.sources.video_source import VideoSource
from keras_larp.data.sources.wrapped_source import WrappedSource
from keras_larp.data.video.transforms import fit_clip
from keras_larp.utils.checks import check_integer


class CachedSource(WrappedSource):
    """Keeps the videos of another source in memory after reading them once.

    For small or slow data that is read many times: the first epoch takes as
    long as without the cache, later epochs almost no time. The cache stores
    all frames of a video as uint8 at the size of the clips. One minute of
    video at 30 frames per second and 64x64 pixels takes 22 MB.

    `video_dataset` returns the same batches as without the cache, except for
    random crops, which are taken from the cached frames, and
    `resize="ffmpeg"`, which has no effect. Each worker process would have its
    own cache, so do not combine it with `num_workers`.

    Args:
        source: `VideoSource`, such as `VideoFolder` or `AtariGameplay`.
        image_size: Integer. Height and width of the cached frames. Defaults
            to the `default_image_size` of the source.

    Attributes:
        num_bytes: Integer. The size of the cached videos.

    Raises:
        TypeError: If `source` is not a `VideoSource`.
        ValueError: If `image_size` is not a positive integer.

    Example:

    ```python
    source = keras_larp.data.CachedSource(
        keras_larp.data.MovingShapes(16, num_frames=8, image_size=32)
    )
    dataset = keras_larp.data.video_dataset(source)
    ```
    """

    def __init__(self, source: VideoSource, image_size: int | None = None):
        super().__init__(source)
        if image_size is None:
            image_size = source.default_image_size
        self.image_size = check_integer("image_size", image_size, 1)
        self.default_image_size = self.image_size
        self._videos: dict[int, np.ndarray] = {}

    @property
    def num_bytes(self) -> int:
        return sum(video.nbytes for video in self._videos.values())

    def read(
        self,
        index: int,
        frame_indices: np.ndarray,
        image_size: int | None = None,
    ) -> np.ndarray:
        # Two threads may read the same video at once, which is harmless.
        if index not in self._videos:
            indices = np.arange(int(self.source.num_frames(index)))
            video = fit_clip(self.source.read(index, indices), self.image_size)
            self._videos[index] = np.ascontiguousarray(video)
        return self._videos[index][frame_indices]

import numpy as np

from keras_larp.data.video.transforms import fit_clip
from keras_larp.data.video.video_reader import count_frames, read_frames
from keras_larp.utils.checks import check_integer


class CachedSource:
    """The videos of another source, each made once and then kept.

    For data that is small, or slow to make, and seen many times: the first
    epoch takes as long as without it, the others next to nothing. Videos are
    kept whole, as bytes in the size of the clips: a minute of 30 frames a
    second takes 22 MB in 64x64 pixels. `video_dataset` gives the same batches
    as without it, but for random crops, which are cut out of what is kept,
    and `resize="ffmpeg"`. Each of its workers would keep videos of its own:
    do without workers.

    Args:
        source: A source, such as `VideoFolder` or `AtariGameplay`.
        image_size: Integer, height and width of the frames that are kept; by
            default the source's own, 128 for files.

    Attributes:
        num_bytes: Integer, what the kept videos take.

    Raises:
        ValueError: If the size is not a positive integer.

    Example:

    ```python
    source = keras_larp.data.CachedSource(
        keras_larp.data.MovingShapes(16, num_frames=8, image_size=32)
    )
    dataset = keras_larp.data.video_dataset(source)
    ```
    """

    def __init__(self, source, image_size=None):
        if image_size is None:
            image_size = getattr(source, "image_size", 128)
        self.source = source
        self.image_size = check_integer("image_size", image_size, 1)
        # What the pipelines ask a source for.
        self.flip_changes_label = getattr(source, "flip_changes_label", False)
        for name in ("num_frames", "class_names"):
            if hasattr(source, name):
                setattr(self, name, getattr(source, name))
        self._kept = {}

    def __len__(self):
        return len(self.source)

    def __getitem__(self, index):
        index = range(len(self))[index]  # ends `for clip in source`
        # Two threads may make the same video, once, which harms nothing.
        if index not in self._kept:
            self._kept[index] = self._make(self.source[index])
        return self._kept[index]

    @property
    def num_bytes(self):
        return sum(item["video"].nbytes for item in self._kept.values())

    def _make(self, item):
        if isinstance(item, dict):
            video, label = np.asarray(item["video"]), item["label"]
        else:
            numbers = np.arange(count_frames(item.path))
            video, label = read_frames(item.path, numbers), item.label
        video = fit_clip(video, self.image_size)
        if video.dtype != np.uint8:
            video = np.round(255 * video).astype(np.uint8)
        return {"video": np.ascontiguousarray(video), "label": label}

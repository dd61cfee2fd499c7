import abc

import numpy as np

from keras_larp.data.sources.video_source import VideoSource
from keras_larp.utils.checks import check_integer

# Pipelines and fingerprints loop over the clips of a source.
_MAX_CLIPS = 10**8
# Values of one clip; 4 GiB in float32.
_MAX_CLIP_VALUES = 2**30


class ComputedSource(VideoSource):
    """Base class of sources that compute their clips from a seed.

    All clips have the same size. Clip `i` has class `i % len(class_names)`.

    Args:
        num_clips: Integer. Number of clips, at most 100 million.
        num_frames: Integer. Number of frames per clip.
        image_size: Integer. Height and width in pixels, at least 8.
        seed: Integer. Clips of different seeds differ.
    """

    flip_changes_label = True

    def __init__(
        self, num_clips: int, num_frames: int, image_size: int, seed: int
    ):
        self.num_clips = check_integer("num_clips", num_clips, 1, _MAX_CLIPS)
        self.image_size = check_integer("image_size", image_size, 8)
        self.seed = check_integer("seed", seed, 0)
        self.default_num_frames = check_integer("num_frames", num_frames, 1)
        self.default_image_size = self.image_size
        if 3 * num_frames * image_size**2 > _MAX_CLIP_VALUES:
            raise ValueError(
                f"A clip must have at most {_MAX_CLIP_VALUES:,} values. "
                f"Received: num_frames={num_frames}, image_size={image_size}, "
                f"{3 * num_frames * image_size**2:,} values"
            )

    @abc.abstractmethod
    def render(self, index: int) -> np.ndarray:
        """Computes a clip.

        Args:
            index: Integer. Index of the clip.

        Returns:
            float32 array `(num_frames, image_size, image_size, 3)` in [0, 1].

        Raises:
            IndexError: If there is no such clip.
        """

    @abc.abstractmethod
    def settings(self) -> dict:
        """Returns everything but the index that the clips depend on."""

    def __len__(self) -> int:
        return self.num_clips

    def name(self, index: int) -> str:
        index = self.check_index(index)
        settings = ",".join(
            f"{name}={value}" for name, value in self.settings().items()
        )
        # Names in the order of the indices: evaluation sorts by name.
        return f"{type(self).__name__}/{settings}/{index:06d}"

    def label(self, index: int) -> int:
        return self.check_index(index) % len(self.class_names)

    def num_frames(self, index: int) -> int:
        return self.default_num_frames

    def read(
        self,
        index: int,
        frame_indices: np.ndarray,
        image_size: int | None = None,
    ) -> np.ndarray:
        video = self.render(index)[frame_indices]
        return np.round(255 * video).astype(np.uint8)

    def check_index(self, index: int) -> int:
        """Returns `index`, or raises `IndexError` if there is no such clip."""
        index = check_integer("index", index, 0)
        if index >= self.num_clips:
            raise IndexError(
                f"The source has {self.num_clips} clips. "
                f"Received: index={index}"
            )
        return index

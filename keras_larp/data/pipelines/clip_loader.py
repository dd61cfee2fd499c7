import collections.abc

import numpy as np
from absl import logging

from keras_larp.data.sources.video_source import VideoSource, check_source
from keras_larp.data.video.frame_sampling import (
    SAMPLINGS,
    frame_indices,
    window_starts,
)
from keras_larp.data.video.transforms import (
    fit_clip,
    random_crop_box,
    stack_clips,
    to_unit_range,
)
from keras_larp.data.video.video_decode_error import VideoDecodeError
from keras_larp.utils.arrays import to_numpy
from keras_larp.utils.checks import (
    check_boolean,
    check_choice,
    check_integer,
    check_range,
)


class ClipLoader:
    """Loads clips from a source; the common part of all pipelines.

    Everything random about a clip (start, mirroring, crop, augmentation) is
    drawn from the seed, the epoch and the index of the clip. It does not
    depend on the order in which clips are loaded or on the process that loads
    them.

    Args:
        source: `VideoSource`.
        num_frames: Integer. Defaults to the source's `default_num_frames`.
        image_size: Integer. Defaults to the source's `default_image_size`.
        frame_sampling: String; see `video_dataset`.
        horizontal_flip: Boolean. Whether to mirror half of the clips.
        crop_scale: Pair of floats; see `video_dataset`.
        crop_ratio: Pair of floats; see `video_dataset`.
        augment: Function; see `video_dataset`.
        resize: String; see `video_dataset`.
        seed: Integer.
        on_error: String. `"raise"` or `"skip"`.

    Attributes:
        windows: List of pairs (index of the video, first frame), one per
            clip, if `frame_sampling="windows"`; otherwise `None`.
        skipped: Dictionary from the error message of each unreadable video to
            how often it occurred.
    """

    def __init__(
        self,
        source: VideoSource,
        num_frames: int | None = None,
        image_size: int | None = None,
        frame_sampling: str = "random",
        horizontal_flip: bool = False,
        crop_scale: tuple[float, float] | None = None,
        crop_ratio: tuple[float, float] = (3 / 4, 4 / 3),
        augment: collections.abc.Callable | None = None,
        resize: str = "pillow",
        seed: int = 0,
        on_error: str = "raise",
    ):
        self.source = check_source(source)
        if num_frames is None:
            num_frames = source.default_num_frames
        if image_size is None:
            image_size = source.default_image_size
        self.num_frames = check_integer("num_frames", num_frames, 1)
        self.image_size = check_integer("image_size", image_size, 1)
        self.frame_sampling = check_choice(
            "frame_sampling", frame_sampling, SAMPLINGS
        )
        self.seed = check_integer("seed", seed, 0)
        self.on_error = check_choice("on_error", on_error, ("raise", "skip"))
        if not len(source):
            raise ValueError("The source has no videos.")
        if check_boolean("horizontal_flip", horizontal_flip):
            check_flip(source)
        self.horizontal_flip = horizontal_flip
        self.crop_scale = crop_scale
        if crop_scale is not None:
            self.crop_scale = check_range("crop_scale", crop_scale, 1.0)
        self.crop_ratio = check_range("crop_ratio", crop_ratio)
        if augment is not None and not callable(augment):
            raise ValueError(
                "`augment` must be a function of a video and a seed. "
                f"Received: augment={augment!r}"
            )
        self.augment = augment
        self.resize = check_choice("resize", resize, ("pillow", "ffmpeg"))
        if resize == "ffmpeg" and crop_scale is not None:
            raise ValueError(
                "Random crops need frames of full resolution. Received: "
                f"resize='ffmpeg' with crop_scale={crop_scale}"
            )
        self.skipped: dict[str, int] = {}
        self._num_skipped_in_a_row = 0
        self.windows = None
        if frame_sampling == "windows":
            self.windows = self._list_windows()

    def __len__(self) -> int:
        return len(self.source if self.windows is None else self.windows)

    def load(
        self,
        epoch: int,
        index: int,
        clip_size: tuple[int, int] | None = None,
    ) -> dict | VideoDecodeError:
        """Loads a clip.

        Args:
            epoch: Integer. Random draws differ between epochs.
            index: Integer. Index of the clip.
            clip_size: Pair of integers: number of frames and image size.
                Defaults to those of the loader.

        Returns:
            Dictionary of `video`, `(num_frames, image_size, image_size, 3)`,
            uint8, or float32 in [0, 1] after augmentation, and the int32
            scalars `label` and `start`, the index of the first frame. (uint8
            is four times as fast to pass between processes.) If the video is
            not readable, the `VideoDecodeError`.
        """
        num_frames, image_size = clip_size or (self.num_frames, self.image_size)
        generator = np.random.default_rng([self.seed, epoch, index])
        video_index, start = self.video_index(index), self.start(index)
        try:
            if start is None:
                indices = frame_indices(
                    int(self.source.num_frames(video_index)),
                    num_frames,
                    self.frame_sampling,
                    generator,
                )
            else:
                indices = start + np.arange(num_frames)
            frames = self._read(video_index, indices, image_size)
        except VideoDecodeError as error:
            return error
        flip = self.horizontal_flip and generator.random() < 0.5
        box = None
        if self.crop_scale is not None:
            _, height, width, _ = frames.shape
            box = random_crop_box(
                height, width, self.crop_scale, self.crop_ratio, generator
            )
        video = fit_clip(frames, image_size, flip, box)
        if self.augment is not None:
            seed = int(generator.integers(2**31))
            video = to_numpy(self.augment(to_unit_range(video), seed))
        return {
            "video": video,
            "label": np.int32(self.label(index)),
            "start": np.int32(indices[0]),
        }

    def video_index(self, index: int) -> int:
        """Returns the index in the source of the video of a clip."""
        return index if self.windows is None else self.windows[index][0]

    def start(self, index: int) -> int | None:
        """Returns the first frame of a window, `None` for other clips."""
        return None if self.windows is None else self.windows[index][1]

    def name(self, index: int) -> str:
        """Returns the name of the video of a clip, without reading it."""
        return self.source.name(self.video_index(index))

    def label(self, index: int) -> int:
        """Returns the class id of a clip, without reading it."""
        return int(self.source.label(self.video_index(index)))

    def keep(self, clip: dict | VideoDecodeError) -> bool:
        """Whether a result of `load` is a clip; raises or counts errors."""
        if not isinstance(clip, VideoDecodeError):
            # The end of this epoch and the start of the next may be adjacent.
            self._num_skipped_in_a_row = -len(self)
            return True
        if self.on_error == "raise":
            raise clip
        if str(clip) not in self.skipped:
            self.skipped[str(clip)] = 0
            logging.warning("Skipped: %s", clip)
        self.skipped[str(clip)] += 1
        self._num_skipped_in_a_row += 1
        if self._num_skipped_in_a_row >= len(self):
            raise VideoDecodeError(
                f"None of the {len(self.source)} videos could be read. "
                f"The last error: {clip}"
            ) from clip
        return False

    def _read(self, video_index, indices, image_size):
        if self.resize != "ffmpeg":
            image_size = None
        frames = to_numpy(self.source.read(video_index, indices, image_size))
        if (
            frames.dtype != np.uint8
            or frames.ndim != 4
            or frames.shape[0] != len(indices)
            or frames.shape[3] != 3
        ):
            raise ValueError(
                f"`{type(self.source).__name__}.read` must return uint8 "
                f"frames of shape ({len(indices)}, height, width, 3). "
                f"Received: dtype={frames.dtype}, shape={frames.shape}"
            )
        return frames

    def _list_windows(self):
        """Pairs (index of the video, first frame) of all complete windows."""
        windows = []
        for index in range(len(self.source)):
            try:
                total = int(self.source.num_frames(index))
            except VideoDecodeError as error:
                self.keep(error)
                continue
            starts = window_starts(total, self.num_frames)
            windows.extend((index, start) for start in starts)
        if not windows:
            raise ValueError(
                f"No video has {self.num_frames} frames, so there are no "
                'windows. Use a `frame_sampling` other than "windows", or '
                "shorter clips."
            )
        return windows


def batch_clips(items) -> tuple[np.ndarray, dict]:
    """Batches pairs of an index and a clip.

    Returns:
        The indices `(B,)`, and a dictionary of `video`, float32 `(B, T, H, W,
        3)` in [0, 1], `label` and `start`, int32 `(B,)`.
    """
    indices, clips = zip(*items, strict=True)
    batch = {
        name: np.stack([clip[name] for clip in clips])
        for name in ("label", "start")
    }
    batch["video"] = stack_clips([clip["video"] for clip in clips])
    return np.array(indices), batch


def check_flip(source: VideoSource):
    """Raises `ValueError` if mirroring changes the class of clips."""
    if source.flip_changes_label:
        raise ValueError(
            "Mirroring changes the classes of this source, such as the "
            "direction of motion. Received: horizontal flips of "
            f"{type(source).__name__}"
        )

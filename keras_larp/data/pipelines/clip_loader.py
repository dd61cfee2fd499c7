import numpy as np
from absl import logging

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
from keras_larp.data.video.video_reader import count_frames, read_frames
from keras_larp.utils.checks import check_choice, check_integer, check_range


class ClipLoader:
    """Makes clips of a source's videos; what every pipeline is built on.

    All that is random about a clip (start, mirroring, crop) is drawn from
    the seed, the epoch and the index, and so does not depend on the order in
    which clips are made, nor on who makes them.

    Args:
        source: A sequence of `VideoFile`, or of dictionaries of `video`
            (`(T, H, W, 3)`) and `label`.
        num_frames: Integer, or `None` for the source's own, 16 for files.
        image_size: Integer, or `None` for the source's own, 128 for files.
        frame_sampling: String; see `video_dataset`.
        horizontal_flip: Boolean, whether half of the clips are mirrored.
        crop_scale: Optional pair of floats; see `video_dataset`.
        crop_ratio: Pair of floats; see `video_dataset`.
        augment: Optional function; see `video_dataset`.
        resize: String; see `video_dataset`.
        seed: Integer.
        on_error: String, `"raise"` or `"skip"`.
    """

    def __init__(
        self,
        source,
        num_frames=None,
        image_size=None,
        frame_sampling="random",
        horizontal_flip=False,
        crop_scale=None,
        crop_ratio=(3 / 4, 4 / 3),
        augment=None,
        resize="pillow",
        seed=0,
        on_error="raise",
    ):
        if num_frames is None:
            num_frames = getattr(source, "num_frames", 16)
        if image_size is None:
            image_size = getattr(source, "image_size", 128)
        self.num_frames = check_integer("num_frames", num_frames, 1)
        self.image_size = check_integer("image_size", image_size, 1)
        self.frame_sampling = check_choice(
            "frame_sampling", frame_sampling, SAMPLINGS
        )
        self.seed = check_integer("seed", seed, 0)
        self.on_error = check_choice("on_error", on_error, ("raise", "skip"))
        if not len(source):
            raise ValueError("The source holds no video.")
        if horizontal_flip:
            check_mirroring(source)
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
                "Random crops are cut out of frames of full size. Received: "
                f"resize='ffmpeg' with crop_scale={crop_scale}"
            )
        self.source = source
        # What could not be read: the error's text by the video's name.
        self.skipped = {}
        self.skipped_in_a_row = 0
        self.windows = None
        if frame_sampling == "windows":
            self.windows = self._list_windows()

    def __len__(self):
        return len(self.source if self.windows is None else self.windows)

    def load(self, epoch, index):
        """The clip of an index, or the `VideoDecodeError` that stopped it.

        Returns:
            A dictionary of `video`, uint8 `(num_frames, image_size,
            image_size, 3)` or floats in [0, 1], and the int32 scalars `label`
            and `start`, the number of the clip's first frame in its video.
            (Bytes go through queues and memory four times as fast.)
        """
        start = None
        generator = np.random.default_rng([self.seed, epoch, index])
        if self.windows is not None:
            index, start = self.windows[index]
        try:
            item = self.source[index]
            total = _count(item)
            if start is None:
                chosen = frame_indices(
                    total, self.num_frames, self.frame_sampling, generator
                )
            else:
                chosen = start + np.arange(self.num_frames)
            image_size = self.image_size if self.resize == "ffmpeg" else None
            frames, label = _read(item, chosen, image_size)
        except VideoDecodeError as error:
            return error
        flip = self.horizontal_flip and generator.random() < 0.5
        box = None
        if self.crop_scale is not None:
            box = random_crop_box(
                *np.shape(frames)[1:3],
                self.crop_scale,
                self.crop_ratio,
                generator,
            )
        video = fit_clip(frames, self.image_size, flip, box)
        if self.augment is not None:
            seed = int(generator.integers(2**31))
            video = self.augment(to_unit_range(video), seed)
        return {
            "video": video,
            "label": np.int32(label),
            "start": np.int32(chosen[0]),
        }

    def name(self, index):
        """The file of a clip, or the number of a video that is no file."""
        if self.windows is not None:
            index, _ = self.windows[index]
        item = self.source[index]
        return str(index) if isinstance(item, dict) else item.path

    def keep(self, clip):
        """Whether what `load` gave is a clip; raises or counts an error."""
        if not isinstance(clip, VideoDecodeError):
            # The last clips of one pass may be the first of the next.
            self.skipped_in_a_row = -len(self)
            return True
        if self.on_error == "raise":
            raise clip
        if str(clip) not in self.skipped:
            self.skipped[str(clip)] = 0
            logging.warning("Skipped: %s", clip)
        self.skipped[str(clip)] += 1
        self.skipped_in_a_row += 1
        if self.skipped_in_a_row >= len(self):
            raise VideoDecodeError(
                f"None of the {len(self.source)} videos could be read. "
                f"The last one: {clip}"
            ) from clip
        return False

    def _list_windows(self):
        """Pairs (index of the video, first frame) of all whole windows."""
        windows = []
        for index in range(len(self.source)):
            try:
                total = _count(self.source[index])
            except VideoDecodeError as error:
                self.keep(error)
                continue
            starts = window_starts(total, self.num_frames)
            windows.extend((index, start) for start in starts)
        if not windows:
            raise ValueError(
                f"No video has {self.num_frames} frames, so that there is no "
                'window. Use another `frame_sampling` than "windows", or shorter '
                "clips."
            )
        return windows


def batch_clips(items):
    """Places and a dictionary of arrays, of pairs of a place and a clip."""
    places, clips = zip(*items, strict=True)
    batch = {
        name: np.stack([clip[name] for clip in clips])
        for name in ("label", "start")
    }
    batch["video"] = stack_clips([clip["video"] for clip in clips])
    return np.array(places), batch


def check_mirroring(source):
    """Raises `ValueError` where a mirrored clip is of another class."""
    if getattr(source, "flip_changes_label", False):
        raise ValueError(
            "The classes of this source name directions, which mirroring "
            "turns round. Received: mirroring asked for with "
            f"{type(source).__name__}"
        )


def _count(item):
    return (
        len(item["video"])
        if isinstance(item, dict)
        else count_frames(item.path)
    )


def _read(item, chosen, image_size):
    """Frames and label of a ready clip or of a file."""
    if isinstance(item, dict):
        return np.asarray(item["video"])[chosen], item["label"]
    return read_frames(item.path, chosen, image_size), item.label

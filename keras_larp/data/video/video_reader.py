import os

import numpy as np

from keras_larp.data.video.frame_index import (
    AT_END,
    TOLERATED_MISSING_FRAMES,
    decode_error,
    index_frames,
    open_video,
)
from keras_larp.data.video.frame_sampling import frame_indices
from keras_larp.data.video.transforms import resized_size
from keras_larp.utils.checks import check_integer
from keras_larp.utils.optional_imports import require

# Decoders that can be told for each packet whether to skip it. (That of AV1
# goes on as it began.)
_SKIPPING_DECODERS = {"h264", "hevc", "mpeg4", "mpeg2video"}


def count_frames(path):
    """How many frames a video file holds.

    The file is read through but not decoded, and the answer is remembered
    until the file changes.

    Args:
        path: String or path, the file.

    Returns:
        Integer, at least 1.

    Raises:
        VideoDecodeError: If the file does not open or is cut off.

    Example:

    ```python
    keras_larp.data.count_frames("v_Archery_g01_c01.avi")
    ```
    """
    return index_frames(path).num_frames


def read_clip(path, start=0, num_frames=16):
    """Reads consecutive frames of a video file at its native rate.

    Args:
        path: String or path, the file.
        start: Integer, number of the first frame, from 0.
        num_frames: Integer, length of the clip. Where the video ends before,
            its last frame is repeated.

    Returns:
        uint8 array `(num_frames, height, width, 3)`, RGB.

    Raises:
        ValueError: If `start` is not in the video, or `num_frames < 1`.
        VideoDecodeError: If the file does not open or decode.

    Example:

    ```python
    clip = keras_larp.data.read_clip("v_Archery_g01_c01.avi", start=20)
    clip.shape  # (16, 240, 320, 3)
    ```
    """
    start = check_integer("start", start, 0)
    num_frames = check_integer("num_frames", num_frames, 1)
    total = count_frames(path)
    if start >= total:
        raise ValueError(
            f"`start` must be below the number of frames, {total}, of "
            f"{os.fspath(path)}. Received: start={start}"
        )
    return read_frames(
        path, start + frame_indices(total - start, num_frames, "first")
    )


def read_frames(path, indices, image_size=None):
    """Reads the named frames of a video file.

    Decoding starts at the last keyframe before the first frame that is asked
    for, where the container stores when each frame is shown, so that every
    decoded frame is known by its time stamp. Frames that are not asked for
    and that no other frame builds on are not decoded. Where time stamps are
    missing or frames do not turn up where the index has them, the whole file
    is decoded from its beginning and frames are counted. Both ways give the
    same frames.

    Args:
        path: String or path, the file.
        indices: Integers `(T,)`, numbers of frames from 0, in any order; one
            may be named several times.
        image_size: Optional integer. Where given, FFmpeg makes the shorter
            side that long (bilinear) while it converts to RGB, which takes no
            longer than converting alone. Pixels differ by about 1 of 255 from
            those of `resize_shorter_side`.

    Returns:
        uint8 array `(T, height, width, 3)`, RGB.

    Raises:
        ValueError: If a number is not in the video or there is none.
        VideoDecodeError: If the file does not open or decode.

    Example:

    ```python
    frames = keras_larp.data.read_frames("archery.mp4", [0, 50, 99])
    frames.shape  # (3, 240, 320, 3)
    ```
    """
    path = os.fspath(path)
    indices = np.asarray(indices)
    if indices.ndim != 1 or not indices.size or indices.dtype.kind not in "iu":
        raise ValueError(
            "`indices` must be a list of at least one integer. "
            f"Received: indices={indices!r}"
        )
    index = index_frames(path)
    if indices.min() < 0 or indices.max() >= index.num_frames:
        raise ValueError(
            f"Frames of {path} are numbered from 0 to {index.num_frames - 1}. "
            f"Received: indices={indices.tolist()}"
        )
    wanted = set(indices.tolist())
    frames = None
    if index.times is not None and max(wanted) > 0:
        frames = _decode_from_keyframe(path, index, wanted, image_size)
    if frames is None:
        frames = _decode_from_beginning(path, index, wanted, image_size)
    return np.stack([frames[i] for i in indices.tolist()])


def _decode_from_keyframe(path, index, wanted, image_size):
    """Frames by number, or `None` where they are not what the index says."""
    first = min(wanted)
    position = np.searchsorted(index.keyframes, first, side="right") - 1
    keyframe_time = int(index.times[index.keyframes[position]])
    numbers = {int(index.times[number]): number for number in wanted}
    needed = {time - lead for time in numbers for lead in range(index.lead + 1)}
    frames, to_rgb = {}, _RgbConverter(image_size)
    begun = False
    with open_video(path) as (container, stream):
        if position:
            container.seek(keyframe_time, stream=stream)
        for packet in container.demux(stream):
            # In usual files no other frame builds on up to two thirds of them.
            if stream.codec_context.name in _SKIPPING_DECODERS:
                stream.codec_context.skip_frame = (
                    "DEFAULT" if _stamp(packet, index) in needed else "NONREF"
                )
            for frame in packet.decode():
                time = _stamp(frame, index)
                if time < index.times[0]:
                    return None
                # Some encoders refresh a picture bit by bit: what a decoder
                # gives first after such a place comes later, and is not whole.
                begun = begun or time == keyframe_time
                if not begun and time > keyframe_time:
                    return None
                if time not in numbers:
                    continue
                if frame.is_corrupt:
                    return None
                frames[numbers[time]] = to_rgb(frame)
                if len(frames) == len(wanted):
                    return frames
    return None


def _stamp(item, index):
    """What the index knows a frame by, of a packet or of a decoded frame."""
    stamp = getattr(item, index.stamp)
    return AT_END if stamp is None else stamp


def _decode_from_beginning(path, index, wanted, image_size):
    """Frames by number."""
    frames, last = {}, max(wanted)
    to_rgb = _RgbConverter(image_size)
    number = -1
    with open_video(path) as (container, stream):
        for number, frame in enumerate(container.decode(stream)):
            # The frames that stand in for ones that were never coded.
            is_near_end = number >= index.num_frames - 1 - (
                TOLERATED_MISSING_FRAMES
            )
            if number in wanted or (is_near_end and last > number):
                if frame.is_corrupt:
                    raise decode_error(path, f"frame {number} is damaged")
                frames[number] = to_rgb(frame)
            if number >= last:
                return frames
    decoded = number + 1
    if not decoded or decoded < index.num_frames - TOLERATED_MISSING_FRAMES:
        raise decode_error(
            path,
            f"only {decoded} of its {index.num_frames} frames decode",
        )
    for missing in range(decoded, index.num_frames):
        frames[missing] = frames[decoded - 1]
    return frames


class _RgbConverter:
    """Converts the frames of one file, all to the size of the first, should
    it change on the way, and turns them as the file says: phones store
    upright videos lying on their side.

    Args:
        image_size: Integer, length of the shorter side; the file's own where
            `None`.
    """

    def __init__(self, image_size):
        self.image_size = image_size
        self.size = None
        # One for all frames: it computes its filters only once.
        self.reformatter = require("av").video.reformatter.VideoReformatter()

    def __call__(self, frame):
        if self.size is None:
            self.size = frame.height, frame.width
            if self.image_size is not None:
                self.size = resized_size(*self.size, self.image_size)
        height, width = self.size
        pixels = self.reformatter.reformat(
            frame,
            format="rgb24",
            height=height,
            width=width,
            interpolation="BILINEAR",
            # More, which is PyAV's default, take twice the processor's time.
            threads=1,
        ).to_ndarray()
        # `rotation` is in degrees, counterclockwise as `rot90` turns.
        return np.rot90(pixels, round(frame.rotation / 90))

"""Counting and decoding the frames of video files."""

import fractions
import os
from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

from keras_larp.data.video.display_geometry import (
    DisplayGeometry,
    geometry_of,
)
from keras_larp.data.video.frame_index import (
    FLUSH_TIMESTAMP,
    TOLERATED_MISSING_FRAMES,
    check_decoding_cost,
    decode_error,
    index_frames,
    open_video,
)
from keras_larp.data.video.frame_sampling import frame_indices
from keras_larp.data.video.transforms import resized_size
from keras_larp.utils.checks import check_choice, check_integer, check_path
from keras_larp.utils.input_checks import to_array
from keras_larp.utils.optional_imports import require

# Decoders that apply `skip_frame` packet by packet. (The AV1 decoder only
# applies the value that was set first.)
_SKIPPING_DECODERS = {"h264", "hevc", "mpeg4", "mpeg2video"}

# Of computed frame rates. FFmpeg's fractions have 32 bits.
_MAX_DENOMINATOR = 10**6

# `"display"` is what a player shows, `"stored"` what the decoder outputs.
GEOMETRIES = ("display", "stored")


def count_frames(path: str | os.PathLike) -> int:
    """Counts the frames of a video file.

    The file is demuxed, and decoded only if its timestamps are unreliable.
    The result is cached until the file changes.

    Args:
        path: String or path of the file.

    Returns:
        Integer, at least 1.

    Raises:
        VideoDecodeError: If the file does not open or decode, is truncated,
            or exceeds a limit of `set_video_limits`.

    Example:

    ```python
    keras_larp.data.count_frames("v_Archery_g01_c01.avi")
    ```
    """
    return index_frames(_check_path(path)).num_frames


def _check_path(path):
    # Invalid names of files are those of videos that cannot be read.
    if not isinstance(path, str | os.PathLike):
        check_path("path", path)
    return path


def read_clip(
    path: str | os.PathLike,
    start: int = 0,
    num_frames: int = 16,
    geometry: str = "display",
) -> np.ndarray:
    """Reads consecutive frames of a video file at its native frame rate.

    Args:
        path: String or path of the file.
        start: Integer. Index of the first frame. Defaults to 0.
        num_frames: Integer. Number of frames in the clip. If the video ends
            early, its last frame is repeated. Defaults to 16.
        geometry: String, `"display"` or `"stored"`; see `read_frames`.
            Defaults to `"display"`.

    Returns:
        uint8 array `(num_frames, height, width, 3)`, RGB.

    Raises:
        ValueError: If `start` is past the end of the video, `num_frames < 1`,
            or `geometry` is unknown.
        VideoDecodeError: If the file does not open or decode, or exceeds a
            limit of `set_video_limits`.

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
            f"`start` must be less than {total}, the number of frames in "
            f"{os.fspath(path)}. Received: start={start}"
        )
    return read_frames(
        path,
        start + frame_indices(total - start, num_frames, "first"),
        geometry=geometry,
    )


def read_frames(
    path: str | os.PathLike,
    indices: ArrayLike,
    image_size: int | None = None,
    geometry: str = "display",
) -> np.ndarray:
    """Reads frames of a video file by index.

    If the container stores presentation timestamps, decoding starts at the
    last keyframe before the first requested frame, frames are identified by
    their timestamps, and non-reference frames that were not requested are
    skipped. If timestamps are missing or unreliable, the file is decoded from
    the start and frames are counted. Both methods return the same frames.

    Args:
        path: String or path of the file.
        indices: Integers `(T,)`. Frame indices from 0, in any order, with
            repetitions allowed.
        image_size: Integer. If given, FFmpeg resizes the shorter side to this
            length (bilinear) during the conversion to RGB, at no extra cost.
            Pixel values differ by about 1 of 255 from those of
            `resize_shorter_side`. `None` disables it. Defaults to `None`.
        geometry: String. `"display"` returns frames as a player shows them:
            rotated and mirrored as the display matrix specifies, and with the
            width multiplied by the sample aspect ratio. `"stored"` returns
            them as the decoder outputs them. Defaults to `"display"`.

    Returns:
        uint8 array `(T, height, width, 3)`, RGB.

    Raises:
        ValueError: If `indices` is empty, an index is out of range, or
            `geometry` is unknown.
        VideoDecodeError: If the file does not open or decode, or exceeds a
            limit of `set_video_limits`.

    Example:

    ```python
    frames = keras_larp.data.read_frames("archery.mp4", [0, 50, 99])
    frames.shape  # (3, 240, 320, 3)
    ```
    """
    path = os.fspath(_check_path(path))
    if image_size is not None:
        image_size = check_integer("image_size", image_size, 1)
    check_choice("geometry", geometry, GEOMETRIES)
    indices = to_array(indices, "indices")
    if indices.ndim != 1 or not indices.size or indices.dtype.kind not in "iu":
        raise ValueError(
            "`indices` must be a list of at least one integer. "
            f"Received: indices={indices!r}"
        )
    index = index_frames(path)
    if indices.min() < 0 or indices.max() >= index.num_frames:
        raise ValueError(
            f"Frame indices of {path} must be from 0 to "
            f"{index.num_frames - 1}. Received: indices={indices.tolist()}"
        )
    requested = set(indices.tolist())
    to_rgb = _RGBConverter(image_size, geometry)
    frames = None
    if index.timestamps is not None and max(requested) > 0:
        frames = _decode_from_keyframe(path, index, requested, to_rgb)
    if frames is None:
        frames = dict(_decode_from_start(path, index, requested, to_rgb))
    return np.stack([frames[i] for i in indices.tolist()])


def stream_frames(
    path: str | os.PathLike, geometry: str = "display"
) -> Iterator[np.ndarray]:
    """Reads all frames of a video file, one by one, in constant memory.

    Args:
        path: String or path of the file.
        geometry: String, `"display"` or `"stored"`; see `read_frames`.
            Defaults to `"display"`.

    Returns:
        Iterator of `count_frames(path)` uint8 arrays `(height, width, 3)`,
        RGB.

    Raises:
        ValueError: If `geometry` is unknown.
        VideoDecodeError: If the file does not open, or exceeds a limit of
            `set_video_limits`. While iterating: if a frame does not decode.

    Example:

    ```python
    levels = [frame.mean() for frame in keras_larp.data.stream_frames("a.mp4")]
    ```
    """
    path = os.fspath(_check_path(path))
    check_choice("geometry", geometry, GEOMETRIES)
    return _stream_frames(path, index_frames(path), geometry)


def _stream_frames(path, index, geometry):
    to_rgb = _RGBConverter(None, geometry)
    indices = range(index.num_frames)
    for _, frame in _decode_from_start(path, index, indices, to_rgb):
        yield frame


def frame_rate(path: str | os.PathLike) -> fractions.Fraction:
    """Returns the frame rate of a video file, in frames per second.

    Args:
        path: String or path of the file.

    Returns:
        Fraction, such as 30000/1001. For files with a variable frame rate, the
        average one.

    Raises:
        VideoDecodeError: If the file does not open, or has no frame rate.

    Example:

    ```python
    keras_larp.data.frame_rate("v_Archery_g01_c01.avi")  # Fraction(25, 1)
    ```
    """
    index = index_frames(_check_path(path))
    with open_video(path) as (_, stream):
        rate = stream.average_rate or stream.guessed_rate
        time_base = stream.time_base
    if not rate:
        raise decode_error(path, "it has no frame rate")
    if index.timestamps is None or index.timestamp_type != "pts":
        return rate
    # The rate in the header may be the highest one, or that of a part.
    num_intervals = index.num_frames - 1
    duration = int(index.timestamps[-1] - index.timestamps[0]) * time_base
    if abs(duration * rate - num_intervals) <= 1:
        return rate
    return (num_intervals / duration).limit_denominator(_MAX_DENOMINATOR)


def _decode_from_keyframe(path, index, requested, to_rgb):
    """Returns a dictionary of the requested frames, keyed by frame index.

    Returns `None` if the decoded timestamps contradict the index.
    """
    keyframe = index.keyframes[
        np.searchsorted(index.keyframes, min(requested), side="right") - 1
    ]
    keyframe_timestamp = int(index.timestamps[keyframe])
    frame_index_of = {int(index.timestamps[i]): i for i in requested}
    required = {
        timestamp - lead
        for timestamp in frame_index_of
        for lead in range(index.num_lead_packets + 1)
    }
    frames, found_keyframe = {}, False
    with open_video(path) as (container, stream):
        check_decoding_cost(path, stream, max(requested) - int(keyframe) + 1)
        if keyframe > 0:
            container.seek(keyframe_timestamp, stream=stream)
        for packet in container.demux(stream):
            # Up to two thirds of the frames in common files are non-reference
            # frames.
            if stream.codec_context.name in _SKIPPING_DECODERS:
                is_required = _timestamp(packet, index) in required
                stream.codec_context.skip_frame = (
                    "DEFAULT" if is_required else "NONREF"
                )
            for frame in packet.decode():
                timestamp = _timestamp(frame, index)
                if timestamp < index.timestamps[0]:
                    return None
                # With periodic intra refresh a decoder's first frame after a
                # seek follows the keyframe and is not fully refreshed.
                found_keyframe |= timestamp == keyframe_timestamp
                if not found_keyframe and timestamp > keyframe_timestamp:
                    return None
                if timestamp not in frame_index_of:
                    continue
                if frame.is_corrupt:
                    return None
                frames[frame_index_of[timestamp]] = to_rgb(frame, stream)
                if len(frames) == len(requested):
                    return frames
    return None


def _timestamp(packet_or_frame, index):
    """Returns the timestamp by which `index` identifies frames."""
    timestamp = getattr(packet_or_frame, index.timestamp_type)
    return FLUSH_TIMESTAMP if timestamp is None else timestamp


def _decode_from_start(path, index, requested, to_rgb):
    """Yields the requested frames in order, each after its index.

    The last decoded frame replaces frames that were never coded.
    """
    last, num_decoded = max(requested), 0
    with open_video(path) as (container, stream):
        check_decoding_cost(path, stream, last + 1)

        def convert(frame, i):
            if frame.is_corrupt:
                raise decode_error(path, f"frame {i} is damaged")
            return to_rgb(frame, stream)

        for i, frame in enumerate(container.decode(stream)):
            if i in requested:
                yield i, convert(frame, i)
            if i == last:
                return
            num_decoded = i + 1
        if num_decoded < max(1, index.num_frames - TOLERATED_MISSING_FRAMES):
            raise decode_error(
                path,
                f"only {num_decoded} of {index.num_frames} frames could be "
                "decoded",
            )
        for i in range(num_decoded, last + 1):
            if i in requested:
                yield i, convert(frame, num_decoded - 1)


class _RGBConverter:
    """Converts the frames of one file to RGB arrays.

    All frames get the size and orientation of the first one, even if the
    resolution changes within the file.

    Args:
        image_size: Integer. Length of the shorter side; `None` keeps the
            file's resolution.
        geometry: String, `"display"` or `"stored"`.
    """

    def __init__(self, image_size, geometry):
        self.image_size = image_size
        self.geometry = geometry
        self.size = None  # before the orientation
        self.display = DisplayGeometry()
        # Reused for all frames, because it caches its resampling filters.
        self.reformatter = require("av").video.reformatter.VideoReformatter()

    def __call__(self, frame, stream):
        if self.size is None:
            self._set_geometry(frame, stream)
        height, width = self.size
        pixels = self.reformatter.reformat(
            frame,
            format="rgb24",
            height=height,
            width=width,
            interpolation="BILINEAR",
            # PyAV's default of several threads doubles the CPU time.
            threads=1,
        ).to_ndarray()
        return self.display.orient(pixels)

    def _set_geometry(self, frame, stream):
        if self.geometry == "display":
            self.display = geometry_of(frame, stream)
        size = self.display.stretched_size(frame.height, frame.width)
        if self.image_size is not None:
            size = resized_size(*size, self.image_size)
        self.size = size

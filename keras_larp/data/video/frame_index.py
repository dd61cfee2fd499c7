import collections.abc
import contextlib
import dataclasses
import functools
import itertools
import os
import typing

import numpy as np

from keras_larp.data.video.mpeg4 import (
    I_VOP,
    MAX_CONSECUTIVE_B_FRAMES,
    Mpeg4StreamParser,
)
from keras_larp.data.video.video_decode_error import VideoDecodeError
from keras_larp.data.video.video_limits import (
    MAX_PACKETS,
    describe_excess,
    max_frame_pixels,
)
from keras_larp.data.video.vpx import is_hidden_frame
from keras_larp.utils.files import check_regular_file
from keras_larp.utils.optional_imports import require

# Headers may count one or two frames that were never coded (AVI headers do).
# Only a file that lacks more frames counts as truncated.
TOLERATED_MISSING_FRAMES = 2
# Containers that store presentation timestamps. AVI does not: FFmpeg derives
# them, which is only correct for streams without frame reordering.
_TIMESTAMPED_CONTAINERS = {"mov", "mp4", "matroska", "webm"}
# Demuxers of FFmpeg that read a single file. Others, such as `concat`, `hls`,
# `dash`, `sdp` and `image2`, open the files and addresses that it names.
_DEMUXERS = (
    "3g2 3gp amv apng asf asf_o av1 avi avs2 avs3 cavsvideo dirac dnxhd dv evc "
    "flv gif h261 h263 h264 hevc ivf kux live_flv m4v matroska mjpeg mov mp4 "
    "mpeg mpegts mpegvideo mpjpeg mxf nsv nut nuv obu ogg rm smjpeg swf vc1 "
    "vc1test vvc webm wtv yuv4mpegpipe"
).split()
_CONTAINER_OPTIONS = {
    "format_whitelist": ",".join(_DEMUXERS),
    "protocol_whitelist": "file",
}
# Stands for the timestamp of frames that the decoder outputs when flushed.
FLUSH_TIMESTAMP = np.iinfo(np.int64).max
# Number of frames at the start of a file whose decoded timestamps must equal
# those of the packets. They differ if the first frames reference frames that
# were cut off, if decoding timestamps are stored as presentation timestamps,
# or if a packet holds only one field of a frame.
_NUM_VERIFIED_FRAMES = 12


@dataclasses.dataclass(frozen=True)
class FrameIndex:
    """Timestamps and keyframes of a file.

    Files are decoded only if their timestamps are unreliable.

    Args:
        num_frames: Integer. Number of frames in the file.
        timestamps: int64 array `(num_frames,)`. Timestamp of each frame in
            display order, or `None` if timestamps are unreliable, so that the
            file must be decoded from the start.
        keyframes: int64 array. Indices of the frames at which decoding can
            start; the first one is 0.
        timestamp_type: String. `"pts"` for presentation timestamps, or `"dts"`
            for the index of the packet for which the decoder outputs the
            frame (`FLUSH_TIMESTAMP` for the last frame).
        num_lead_packets: Integer. Number of packets before a frame's own packet
            that the decoder must not skip.
    """

    num_frames: int
    timestamps: np.ndarray | None
    keyframes: np.ndarray
    timestamp_type: str = "pts"
    num_lead_packets: int = 0


@contextlib.contextmanager
def open_video(
    path: str | os.PathLike,
) -> collections.abc.Iterator[tuple[typing.Any, typing.Any]]:
    """Opens a video file with PyAV.

    Args:
        path: String or path.

    Yields:
        The PyAV container and its first video stream.

    Raises:
        VideoDecodeError: If the file does not open, if FFmpeg has no decoder
            for it, or if the `with` block fails.
    """
    av = require("av")
    try:
        check_regular_file(path)
        with _open_container(av, path) as container:
            if not container.streams.video:
                raise decode_error(path, "it has no video stream")
            stream = container.streams.video[0]
            if stream.codec_context is None:
                raise decode_error(
                    path, "FFmpeg has no decoder for its video stream"
                )
            check_decoding_cost(path, stream, 1)
            # Loaders decode many clips in parallel, one per thread.
            stream.codec_context.thread_count = 1
            stream.codec_context.options = _codec_options()
            yield container, stream
    except VideoDecodeError:
        raise
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise decode_error(path, str(error)) from error


def _open_container(av, path):
    try:
        return av.open(
            # FFmpeg would take the part of a relative path before a colon for
            # a protocol.
            os.path.abspath(path),
            # Metadata such as comments may have any encoding.
            metadata_errors="replace",
            options=_codec_options(),
            container_options=_CONTAINER_OPTIONS,
        )
    except av.error.ArgumentError as error:
        raise decode_error(
            path,
            "it is damaged or in a format that is not read. Playlists, still "
            "images and descriptions of streams, which refer to other files "
            "or addresses, are no videos",
        ) from error


def _codec_options():
    """Options with which FFmpeg refuses frames far above the limit, if they
    differ from those that the header declares."""
    # FFmpeg counts the padding of frames.
    return {"max_pixels": str(4 * max_frame_pixels() + 2**20)}


def check_decoding_cost(
    path: str | os.PathLike, stream: typing.Any, num_frames: int
) -> None:
    """Raises `VideoDecodeError` if decoding would exceed a limit.

    Args:
        path: String or path of the file.
        stream: PyAV video stream.
        num_frames: Integer. Number of frames to decode.
    """
    context = stream.codec_context
    excess = describe_excess(context.height, context.width, num_frames)
    if excess:
        raise decode_error(path, excess)


def decode_error(path: str | os.PathLike, reason: str) -> VideoDecodeError:
    """Returns the error to raise for a file that cannot be read."""
    return VideoDecodeError(
        f"Cannot read the video {path}: {reason.rstrip('.')}. Replace the file "
        "or remove it from the dataset, or skip such files with "
        '`on_error="skip"` in `video_dataset` or `--on_error=skip` on the '
        "command line."
    )


def index_frames(path: str | os.PathLike) -> FrameIndex:
    """Returns the `FrameIndex` of a file, cached until the file changes."""
    path = os.fspath(path)
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:  # such as a null byte in the name
        raise decode_error(path, str(error)) from error
    return _index_frames(path, status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=16384)
def _index_frames(path, modified, size):
    timestamps, is_keyframe, all_displayed = [], [], True
    mpeg4 = Mpeg4StreamParser()
    last_dts = -1
    with open_video(path) as (container, stream):
        codec_name = stream.codec_context.name
        for i, packet in enumerate(container.demux(stream)):
            if i == MAX_PACKETS:
                raise decode_error(
                    path, f"it has more than {MAX_PACKETS:,} packets. Split it"
                )
            if packet.size == 0:  # PyAV's flush packet at the end of the file
                continue
            if packet.is_corrupt:
                raise decode_error(
                    path, f"it is truncated after {len(timestamps)} frames"
                )
            if packet.dts is not None:
                last_dts = max(last_dts, packet.dts)
            if is_hidden_frame(codec_name, packet):
                continue
            all_displayed = all_displayed and not packet.is_discard
            timestamps.append(packet.pts)
            is_keyframe.append(packet.is_keyframe)
            if codec_name == "mpeg4":
                mpeg4.add(packet)
                is_keyframe[-1] = is_keyframe[-1] and mpeg4.vop_type == I_VOP
        formats = set(container.format.name.split(","))
        # The headers of MP4 files also count frames outside of the edit list.
        num_declared = (
            len(stream.index_entries) if "mp4" in formats else stream.frames
        )
        has_output_delay = stream.codec_context.has_b_frames
    is_reordered = has_output_delay or mpeg4.has_b_vops
    num_packets = len(timestamps)
    if not num_packets:
        raise decode_error(path, "it has no frames")
    # Decoding timestamps of AVI files are frame indices. They also count
    # frames that the encoder dropped, which have no packet.
    num_stored = last_dts + 1 if "avi" in formats else num_packets
    if num_stored < num_declared - TOLERATED_MISSING_FRAMES:
        raise decode_error(
            path,
            f"it is truncated: its header declares {num_declared} frames, but "
            f"it has {num_stored}",
        )
    # An edit list hides frames, or frames were dropped by the encoder.
    if not all_displayed or (not is_reordered and mpeg4.has_uncoded_vops):
        return _index_without_timestamps(path, num_packets)
    if (
        "avi" in formats
        and has_output_delay
        and mpeg4.is_regular()
        and is_keyframe[0]
    ):
        return FrameIndex(
            num_packets,
            np.array([*range(1, num_packets), FLUSH_TIMESTAMP], np.int64),
            np.zeros(1, np.int64),
            timestamp_type="dts",
            num_lead_packets=MAX_CONSECUTIVE_B_FRAMES,
        )
    has_timestamps = formats & _TIMESTAMPED_CONTAINERS or (
        "avi" in formats and not is_reordered
    )
    if (
        not has_timestamps
        or not is_keyframe[0]
        or None in timestamps
        or len(set(timestamps)) < num_packets
    ):
        return _index_without_timestamps(path, num_packets)
    timestamps = np.array(timestamps, np.int64)
    display_order = np.argsort(timestamps)
    timestamps = timestamps[display_order]
    if not _starts_with(path, timestamps[:_NUM_VERIFIED_FRAMES].tolist()):
        return _index_without_timestamps(path, num_packets)
    keyframes = np.flatnonzero(np.array(is_keyframe)[display_order])
    return FrameIndex(num_packets, timestamps, keyframes)


def _index_without_timestamps(path, num_packets):
    """Indexes a file in which packets may not be frames by decoding it.

    A packet may hold one field of an interlaced frame, or nothing to display.
    """
    with open_video(path) as (container, stream):
        check_decoding_cost(path, stream, num_packets)
        num_frames = sum(1 for _ in container.decode(stream))
    if not num_frames:
        raise decode_error(path, "none of its frames can be decoded")
    return FrameIndex(num_frames, None, np.zeros(1, np.int64))


def _starts_with(path, timestamps):
    """Whether the first decoded frames have these timestamps."""
    with open_video(path) as (container, stream):
        frames = itertools.islice(container.decode(stream), len(timestamps))
        return [frame.pts for frame in frames] == timestamps

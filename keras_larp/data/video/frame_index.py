import contextlib
import dataclasses
import functools
import itertools
import os

import numpy as np

from keras_larp.data.video.video_decode_error import VideoDecodeError
from keras_larp.utils.optional_imports import require

# Headers may promise a frame or two that were never coded (AVI does), so that
# only a file with clearly fewer frames is taken to be cut off.
TOLERATED_MISSING_FRAMES = 2
# Containers that store when a frame is shown. AVI stores no such times: they
# are guessed, and rightly so only where frames are not reordered.
_TIMED_CONTAINERS = {"mov", "mp4", "matroska", "webm"}
# Stands for the time stamp of what the decoder holds until the file has ended.
AT_END = np.iinfo(np.int64).max
# MPEG-4's mark of what follows, that of a picture, and the bits behind it of
# one that stands alone and of one that is predicted from both sides, on which
# no other builds.
_MARK = b"\x00\x00\x01"
_PICTURE = b"\x00\x00\x01\xb6"
_INTRA, _BIDIRECTIONAL = 0, 2
# How many of those come one after another in a file that is relied on.
_LONGEST_RUN = 8
# A picture of so few bytes has no content: it takes the place in the stream of
# one that is packed together with an earlier picture, or of one left out.
_PLACEHOLDER_BYTES = 8


# Frames at the beginning of a file of which the decoder must give those that
# the packets name. It does not where the first picture builds on ones that were
# cut away, where times are not those of showing, or where a packet holds half a
# frame.
_COMPARED_FRAMES = 12


@dataclasses.dataclass(frozen=True)
class FrameIndex:
    """Where the frames of a file are, known without decoding any.

    Args:
        num_frames: Integer, how many frames the file holds.
        times: int64 array `(num_frames,)`, the time stamp of each frame in the
            order of showing, or `None` where they cannot be relied on and the
            file must be decoded from its beginning.
        keyframes: int64 array, numbers of the frames that decoding can start
            from; the first is 0.
        stamp: String, what the times are: `"pts"`, when a frame is shown, or
            `"dts"`, the number of the packet for which the decoder hands the
            frame out (`AT_END` for the last one).
        lead: Integer, how many packets before that of a frame the decoder
            must not skip either.
    """

    num_frames: int
    times: np.ndarray | None
    keyframes: np.ndarray
    stamp: str = "pts"
    lead: int = 0


@contextlib.contextmanager
def open_video(path):
    """Opens a file; gives PyAV's container and its first video stream.

    Errors of FFmpeg in the `with` block become `VideoDecodeError`.
    """
    av = require("av")
    try:
        with av.open(path) as container:
            if not container.streams.video:
                raise decode_error(path, "it holds no video stream")
            stream = container.streams.video[0]
            # Many clips are read side by side, each in a thread of its own.
            stream.codec_context.thread_count = 1
            yield container, stream
    except (av.error.FFmpegError, OSError) as error:
        raise decode_error(path, str(error)) from error


def decode_error(path, reason):
    """The error for a file that cannot be read, ready to be raised."""
    return VideoDecodeError(
        f"Cannot read the video {path}: {reason}. Replace the file or take it "
        'out of the data set, or pass `on_error="skip"` to `video_dataset`, '
        "--on_error=skip to commands, to go on without it."
    )


def index_frames(path):
    """The `FrameIndex` of a file, remembered until the file changes."""
    path = os.fspath(path)
    try:
        status = os.stat(path)
    except OSError as error:
        raise decode_error(path, str(error)) from error
    return _index_frames(path, status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=16384)
def _index_frames(path, modified, size):
    times, keys, shown = [], [], True
    mpeg4 = _Mpeg4Pictures()
    with open_video(path) as (container, stream):
        for packet in container.demux(stream):
            if packet.size == 0:  # the mark at the end of the file
                continue
            if packet.is_corrupt:
                raise decode_error(
                    path, f"it is cut off after {len(times)} frames"
                )
            shown = shown and not packet.is_discard
            times.append(packet.pts)
            keys.append(packet.is_keyframe)
            if stream.codec_context.name == "mpeg4":
                mpeg4.add(packet)
                keys[-1] = keys[-1] and mpeg4.last_kind == _INTRA
        promised = stream.frames
        names = set(container.format.name.split(","))
        held_back = stream.codec_context.has_b_frames
        in_order = not held_back and not mpeg4.has_bidirectional
        timed = names & _TIMED_CONTAINERS or ("avi" in names and in_order)
        # An edit list says what is shown, or pictures were left out.
        partial = not shown or (in_order and mpeg4.has_placeholder)
        counted = "avi" in names and held_back and mpeg4.is_regular()
    if not times:
        raise decode_error(path, "it holds no frame")
    if partial:
        return FrameIndex(_count_decoded(path), None, np.zeros(1, np.int64))
    if len(times) < promised - TOLERATED_MISSING_FRAMES:
        raise decode_error(
            path,
            f"it is cut off: its header promises {promised} frames and "
            f"{len(times)} are there",
        )
    if counted and keys[0]:
        stamps = np.array([*range(1, len(times)), AT_END], np.int64)
        start = np.zeros(1, np.int64)
        return FrameIndex(len(times), stamps, start, "dts", _LONGEST_RUN)
    timed = timed and keys[0] and None not in times
    if not timed or len(set(times)) < len(times):
        return FrameIndex(len(times), None, np.zeros(1, np.int64))
    times, keys = np.array(times, np.int64), np.array(keys)
    order = np.argsort(times)
    times, keyframes = times[order], np.flatnonzero(keys[order])
    if not _begins_with(path, times[:_COMPARED_FRAMES].tolist()):
        return FrameIndex(_count_decoded(path), None, np.zeros(1, np.int64))
    return FrameIndex(len(times), times, keyframes)


def _begins_with(path, times):
    """Whether the frames that a decoder gives first have these times."""
    with open_video(path) as (container, stream):
        decoded = container.decode(stream)
        return [f.pts for f in itertools.islice(decoded, len(times))] == times


def _count_decoded(path):
    with open_video(path) as (container, stream):
        return sum(1 for _ in container.decode(stream))


class _Mpeg4Pictures:
    """What the packets of an MPEG-4 file hold.

    Of a file of reordered pictures it finds out whether it is such that the
    decoder, which holds one frame back, hands out the next one in the order of
    showing with each packet but the first. It is so where each packet has a
    picture for the decoder, one of its own or one that was packed together
    with an earlier picture.
    """

    def __init__(self):
        self.packets = 0
        self.packed = 0  # pictures that came before their turn
        self.run = 0  # packets since the last one that others build on
        self.regular = True
        self.last_kind = None  # of the first picture of the last packet
        self.has_bidirectional = self.has_placeholder = False

    def add(self, packet):
        data = bytes(packet)
        self.last_kind, size = _first_picture(data)
        if size > _PLACEHOLDER_BYTES:
            self.packed += data.count(_PICTURE)
        else:
            self.has_placeholder, self.last_kind = True, None
        self.packed -= 1
        is_bidirectional = self.last_kind == _BIDIRECTIONAL
        self.has_bidirectional = self.has_bidirectional or is_bidirectional
        is_reference = self.last_kind is not None and not is_bidirectional
        self.run = 0 if is_reference else self.run + 1
        self.regular = (
            self.regular
            and packet.dts == self.packets
            and 0 <= self.packed <= 1
            and self.run <= _LONGEST_RUN
        )
        self.packets += 1

    def is_regular(self):
        return self.regular and self.packets > 0


def _first_picture(data):
    """Kind of the first picture of a packet, and its size in bytes."""
    start = data.find(_PICTURE)
    if start < 0:
        return None, 0
    end = data.find(_MARK, start + len(_PICTURE))
    size = (len(data) if end < 0 else end) - start
    kind = data[start + len(_PICTURE)] >> 6 if size > len(_PICTURE) else None
    return kind, size

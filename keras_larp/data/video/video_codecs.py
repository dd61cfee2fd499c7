"""Encoding and decoding of clips with conventional video codecs."""

import dataclasses
import fractions
import os
import re

import numpy as np

from keras_larp.utils.checks import check_choice, check_integer
from keras_larp.utils.input_checks import check_tensor
from keras_larp.utils.optional_imports import require

_SEI_TYPE = 6


@dataclasses.dataclass(frozen=True)
class _Codec:
    encoder: str
    decoder: str
    options: dict[str, str]
    max_crf: int


CODECS = {
    "h264": _Codec(
        "libx264",
        "h264",
        # mbtree reads uninitialized memory if frames are small, so that equal
        # clips would have different bytes.
        {"preset": "slow", "x264-params": "mbtree=0"},
        51,
    ),
    "av1": _Codec("libsvtav1", "libdav1d", {"preset": "6"}, 63),
}


def encode_with_codec(
    clip: np.ndarray, codec: str, crf: int
) -> tuple[int, np.ndarray]:
    """Encodes a clip with one of FFmpeg's video codecs, and decodes it.

    Colors are subsampled (4:2:0), as in almost all video files. There is one
    key frame, and one thread, so that equal clips give equal bits.

    Args:
        clip: uint8 array `(T, H, W, 3)`; H and W are even.
        codec: String. `"h264"` (x264) or `"av1"` (SVT-AV1).
        crf: Integer. Constant rate factor: 0 to 51 for H.264, to 63 for AV1;
            higher values give fewer bits.

    Returns:
        Tuple of the number of bits, headers of the stream
        included, and the
        decoded clip, uint8 `(T, H, W, 3)`.

    Raises:
        ValueError: If an argument is invalid.
        ImportError: If PyAV is missing, or built without the codec.
    """
    settings = CODECS[check_choice("codec", codec, tuple(CODECS))]
    check_integer("crf", crf, 0, settings.max_crf)
    check_tensor("clip", clip, (None, None, None, 3), "int")
    if clip.dtype != np.uint8 or clip.shape[1] % 2 or clip.shape[2] % 2:
        raise ValueError(
            "`clip` must be a uint8 array (T, H, W, 3) with even H and W. "
            f"Received: shape={clip.shape}, dtype={clip.dtype}"
        )
    packets, header = _encode(clip, settings, crf)
    num_bytes = sum(packet.size for packet in packets)
    if codec == "h264":
        num_bytes -= sum(_num_sei_bytes(bytes(packet)) for packet in packets)
    return 8 * num_bytes, _decode(packets, settings, header)


def _encode(clip, settings, crf):
    """Returns the packets of a clip, and what the decoder needs besides."""
    av = require("av")
    encoder = _context(settings.encoder, "w")
    _, encoder.height, encoder.width, _ = clip.shape
    encoder.pix_fmt = "yuv420p"
    encoder.framerate, encoder.time_base = 25, fractions.Fraction(1, 25)
    encoder.options = {**settings.options, "crf": str(crf), "g": str(len(clip))}
    encoder.thread_count = 1
    packets = []
    for i, pixels in enumerate(clip):
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        frame = frame.reformat(format="yuv420p")
        frame.pts, frame.time_base = i, encoder.time_base
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    return packets, encoder.extradata


def _num_sei_bytes(packet):
    """Size of supplemental information, which decoders ignore: x264 writes all
    of its settings, more bytes than a small clip has."""
    # Units begin with a start code and a byte whose last five bits are a type.
    units = re.split(rb"\x00?\x00\x00\x01", packet)
    return sum(4 + len(u) for u in units if u and u[0] & 31 == _SEI_TYPE)


def _decode(packets, settings, header):
    decoder = _context(settings.decoder, "r")
    decoder.thread_count = 1
    if header:
        decoder.extradata = header
    frames = [frame for packet in packets for frame in decoder.decode(packet)]
    frames += decoder.decode(None)
    frames.sort(key=lambda frame: frame.pts)
    return np.stack([frame.to_ndarray(format="rgb24") for frame in frames])


def _context(name, mode):
    av = require("av")
    # SVT-AV1 prints its settings otherwise.
    os.environ.setdefault("SVT_LOG", "1")
    try:
        return av.CodecContext.create(name, mode)
    except ValueError as error:
        raise ImportError(
            f"This build of PyAV has no codec {name}. The wheels on PyPI have "
            "it: pip install --force-reinstall av"
        ) from error

"""Limits of the video that is decoded.

A small file can declare frames that take hours to decode or fill the memory.
"""

import os

from keras_larp.utils.checks import check_integer

# 8K: the resolution of DCI and of consumer video, whichever is larger.
DEFAULT_FRAME_PIXELS = 8192 * 4320
# About half an hour of 1080p at 30 frames per second, which one core decodes in
# minutes.
DEFAULT_DECODED_PIXELS = 10**11
# Packets of a file: 19 hours at 60 frames per second.
MAX_PACKETS = 2**22

# Worker processes inherit the environment.
_FRAME_PIXELS = "KERAS_LARP_MAX_FRAME_PIXELS"
_DECODED_PIXELS = "KERAS_LARP_MAX_DECODED_PIXELS"


def set_video_limits(
    max_frame_pixels: int | None = None, max_decoded_pixels: int | None = None
) -> None:
    """Sets the limits above which video files are not decoded.

    They hold for this process and the worker processes that it starts.
    Reading a file that exceeds them raises a `VideoDecodeError`.

    Args:
        max_frame_pixels: Integer. Largest number of pixels per frame. `None`
            does not change it. The initial value is 35,389,440 (8192 x 4320).
        max_decoded_pixels: Integer. Largest number of pixels to decode for
            one call of `read_frames` or `count_frames`: pixels per frame,
            times the frames from the last keyframe before the first requested
            frame to the last requested one. Files without reliable timestamps
            are decoded from the start. `None` does not change it. The initial
            value is 100 billion.

    Raises:
        ValueError: If a limit is not a positive integer.

    Example:

    ```python
    keras_larp.data.set_video_limits(max_frame_pixels=16384 * 8192)
    ```
    """
    for name, variable, value in (
        ("max_frame_pixels", _FRAME_PIXELS, max_frame_pixels),
        ("max_decoded_pixels", _DECODED_PIXELS, max_decoded_pixels),
    ):
        if value is not None:
            os.environ[variable] = str(check_integer(name, value, 1))


def max_frame_pixels() -> int:
    """Returns the largest number of pixels per frame."""
    return _limit(_FRAME_PIXELS, DEFAULT_FRAME_PIXELS)


def describe_excess(height: int, width: int, num_frames: int) -> str | None:
    """Returns which limit frames exceed and how to raise it, or `None`.

    Args:
        height: Integer. Height of the stored frames.
        width: Integer. Width of the stored frames.
        num_frames: Integer. Number of frames to decode.
    """
    pixels = height * width
    limit = max_frame_pixels()
    if pixels > limit:
        return (
            f"its frames have {width} x {height} = {pixels:,} pixels, more "
            f"than the limit of {limit:,}. If the file is genuine, raise it "
            "with `data.set_video_limits(max_frame_pixels=...)` "
            "(--max_frame_pixels in commands)"
        )
    limit = _limit(_DECODED_PIXELS, DEFAULT_DECODED_PIXELS)
    if num_frames * pixels > limit:
        return (
            f"{num_frames:,} frames of {width} x {height} pixels would have "
            f"to be decoded, {num_frames * pixels:,} pixels, more than the "
            f"limit of {limit:,}. Split the file, convert it to MP4 with "
            "frequent keyframes, or raise the limit with "
            "`data.set_video_limits(max_decoded_pixels=...)` "
            "(--max_decoded_pixels in commands)"
        )
    return None


def _limit(variable: str, default: int) -> int:
    text = os.environ.get(variable)
    if text is None:
        return default
    if not text.isdecimal() or len(text) > 18 or not int(text):
        raise ValueError(
            f"The environment variable {variable} must be a positive integer. "
            f"Received: {text!r}"
        )
    return int(text)

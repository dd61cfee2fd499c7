"""How players show the stored frames of a video file."""

import dataclasses
import fractions
import os
import struct

import numpy as np

from keras_larp.data.video.frame_index import decode_error, open_video
from keras_larp.utils.optional_imports import require

# Damaged headers may have a ratio that would make frames fill the memory.
_MAX_PIXEL_ASPECT = 16


@dataclasses.dataclass(frozen=True)
class DisplayGeometry:
    """Pixel aspect ratio and orientation of the frames of a file.

    Phones store portrait videos as rotated landscape frames, and videos of
    front cameras as mirrored ones. The aspect ratio describes stored pixels,
    so it is applied before the orientation.

    Args:
        pixel_aspect: Fraction. Width of a stored pixel divided by its height.
            Defaults to 1.
        is_transposed: Boolean. Whether rows and columns are exchanged.
            Defaults to `False`.
        flip_rows: Boolean. Whether rows are reversed, after the exchange.
            Defaults to `False`.
        flip_columns: Boolean. Whether columns are reversed, after the
            exchange. Defaults to `False`.
    """

    pixel_aspect: fractions.Fraction = fractions.Fraction(1)
    is_transposed: bool = False
    flip_rows: bool = False
    flip_columns: bool = False

    def stretched_size(self, height: int, width: int) -> tuple[int, int]:
        """Returns height and width with square pixels, before `orient`."""
        return height, max(1, round(width * self.pixel_aspect))

    def orient(self, pixels: np.ndarray) -> np.ndarray:
        """Rotates and mirrors a frame `(H, W, 3)`; returns a view."""
        if self.is_transposed:
            pixels = pixels.transpose(1, 0, 2)
        rows = slice(None, None, -1 if self.flip_rows else 1)
        columns = slice(None, None, -1 if self.flip_columns else 1)
        return pixels[rows, columns]


def geometry_of(frame, stream) -> DisplayGeometry:
    """Returns the geometry that a frame and its stream specify.

    FFmpeg's display matrix maps a pixel (x, y) to (a x + c y, b x + d y), up
    to an offset. Angles are rounded to multiples of 90 degrees.

    Args:
        frame: PyAV `VideoFrame`.
        stream: PyAV `VideoStream`.

    Raises:
        ValueError: If the sample aspect ratio is not plausible.
    """
    # `None` if unknown.
    pixel_aspect = fractions.Fraction(stream.sample_aspect_ratio or 1)
    if not 1 / _MAX_PIXEL_ASPECT <= pixel_aspect <= _MAX_PIXEL_ASPECT:
        raise ValueError(
            f"its sample aspect ratio {pixel_aspect} is not plausible; "
            '`geometry="stored"` (--geometry=stored) ignores it'
        )
    matrix = frame.side_data.get(
        require("av").sidedata.sidedata.Type.DISPLAYMATRIX
    )
    a, b, c, d = 1, 0, 0, 1
    if matrix is not None:
        # Nine int32: a, b, u, c, d, v, x, y, w.
        a, b, _, c, d, *_ = struct.unpack("=9i", bytes(matrix))
    is_transposed = abs(b) + abs(c) > abs(a) + abs(d)
    horizontal, vertical = (c, b) if is_transposed else (a, d)
    return DisplayGeometry(
        pixel_aspect,
        is_transposed,
        flip_rows=vertical < 0,
        flip_columns=horizontal < 0,
    )


def read_geometry(path: str | os.PathLike) -> DisplayGeometry:
    """Returns the geometry of a video file.

    Raises:
        VideoDecodeError: If the first frame does not decode, or the sample
            aspect ratio is not plausible.
    """
    with open_video(path) as (container, stream):
        for frame in container.decode(stream):
            return geometry_of(frame, stream)
    raise decode_error(path, "none of its frames can be decoded")

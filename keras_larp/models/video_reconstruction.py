"""Reconstruction of videos of any length and frame size."""

from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np

from keras_larp.utils.arrays import to_numpy
from keras_larp.utils.batching import pad_batch
from keras_larp.utils.checks import check_attribute, check_integer, shorten
from keras_larp.utils.input_checks import to_array


def reconstruct_video(
    tokenizer: keras.Model,
    frames: Iterable[Any],
    temporal_overlap: int | None = None,
    spatial_overlap: int | None = None,
    batch_size: int = 8,
    num_tokens: int | None = None,
) -> Iterator[np.ndarray]:
    """Encodes and decodes a video of any length and frame size.

    The video is covered by windows of `tokenizer.num_frames` frames, and each
    window by tiles of the tokenizer's height and width. Each tile is encoded
    and decoded as a separate clip. Where clips overlap, their average is
    weighted by raised-cosine ramps, so that there are no visible seams.

    Frames are read and returned one by one. Memory does not depend on the
    length of the video: there are at most two windows in it.

    Tiles are spread evenly, so that they end at the edges of a frame. A frame
    that is smaller than a tile is padded with its edge pixels, and a last
    window that is not full with its last frame. Padding is not returned.

    Args:
        tokenizer: A `LARPTokenizer`.
        frames: Iterable of frames `(H, W, C)` of equal shape and dtype: uint8,
            or floats in [0, 1].
        temporal_overlap: Integer. Number of frames by which consecutive
            windows overlap, less than the frames of a window. `None` for a
            quarter of them. Defaults to `None`.
        spatial_overlap: Integer. Number of pixels by which adjacent tiles
            overlap at least, less than the size of a tile. `None` for a
            quarter of it. Defaults to `None`.
        batch_size: Integer. Largest number of tiles to encode or decode at
            once. Defaults to 8.
        num_tokens: Integer. Number of tokens per tile, if the tokenizer is
            elastic. `None` for all tokens. Defaults to `None`.

    Returns:
        Iterator of as many frames as there are in `frames`, of the same shape:
        uint8 if those are, float32 in [0, 1] otherwise.

    Raises:
        ValueError: If an argument is invalid. While iterating: if there are no
            frames, or a frame has an invalid shape, dtype or value.

    Example:

    ```python
    tokenizer = keras_larp.presets.load("larp_tiny_moving_shapes_tokenizer")
    video = np.random.default_rng(0).random((40, 48, 64, 3), "float32")
    frames = keras_larp.models.reconstruct_video(tokenizer, video)
    np.stack(list(frames)).shape  # (40, 48, 64, 3)
    ```
    """
    check_attribute("tokenizer", tokenizer, "video_shape", "LARPTokenizer")
    num_frames, size, *_ = tokenizer.video_shape
    if not isinstance(frames, Iterable) or isinstance(frames, str | bytes):
        raise ValueError(
            "`frames` must be an iterable of frames (height, width, channels)."
            f" Received: frames={shorten(frames)}"
        )
    if temporal_overlap is None:
        temporal_overlap = num_frames // 4
    if spatial_overlap is None:
        spatial_overlap = size // 4
    check_integer("temporal_overlap", temporal_overlap, 0, num_frames - 1)
    check_integer("spatial_overlap", spatial_overlap, 0, size - 1)
    check_integer("batch_size", batch_size, 1)
    return _reconstruct(
        tokenizer,
        frames,
        temporal_overlap,
        spatial_overlap,
        {"batch_size": batch_size, "num_tokens": num_tokens},
    )


def _reconstruct(tokenizer, frames, temporal_overlap, spatial_overlap, options):
    num_frames, size, _, channels = tokenizer.video_shape
    frames = _checked(frames, channels)
    tiles = blend = None
    for window, num_final in _windows(frames, num_frames, temporal_overlap):
        if blend is None:
            tiles = _Tiles(window.shape[1:3], size, spatial_overlap)
            ramps = _ramps(num_frames, temporal_overlap)
            blend = _TemporalBlend(ramps, window.dtype)
        blend.add(_reconstruct_window(tokenizer, window, tiles, **options))
        yield from blend.pop(num_final)
    if blend is None:
        raise ValueError(
            "`frames` must have at least one frame. Received: frames without "
            "any"
        )


def _checked(frames, channels):
    """Yields frames as arrays, after a comparison with the first one."""
    first = None
    for i, frame in enumerate(frames):
        frame = to_array(frame, f"frame {i} of `frames`")
        if first is None:
            first = frame
        is_valid = (
            frame.ndim == 3
            and frame.size > 0
            and frame.shape[-1] == channels
            and (frame.dtype == np.uint8 or frame.dtype.kind == "f")
        )
        if (
            not is_valid
            or frame.shape != first.shape
            or frame.dtype != first.dtype
        ):
            raise ValueError(
                "`frames` must be uint8 or floating-point arrays (height, "
                f"width, {channels}) of equal shape and dtype. Received: "
                f"shape={frame.shape}, dtype={frame.dtype} for frame {i}, and "
                f"shape={first.shape}, dtype={first.dtype} for frame 0"
            )
        yield frame


def _windows(frames, size, overlap):
    """Yields overlapping windows, and how many frames no later one covers.

    Windows have the shape `(size, H, W, C)`; the last one may be shorter.
    """
    window = []
    for frame in frames:
        if len(window) == size:
            yield np.stack(window), size - overlap
            del window[: size - overlap]
        window.append(frame)
    if window:
        yield np.stack(window), len(window)


def _reconstruct_window(tokenizer, window, tiles, batch_size, num_tokens):
    """Encodes and decodes a window tile by tile.

    Returns:
        float32 array of the shape of `window`, in [0, 1].
    """
    padded = tiles.pad(_pad_frames(window, tokenizer.video_shape[0]))
    result = np.zeros(padded.shape, np.float32)
    # Batches of equal size, which need less padding than full ones and a
    # small last one.
    num_batches = -(-len(tiles.slices) // batch_size)
    batch_size = -(-len(tiles.slices) // num_batches)
    for start in range(0, len(tiles.slices), batch_size):
        part = range(start, min(start + batch_size, len(tiles.slices)))
        clips = np.stack([padded[:, *tiles.slices[i]] for i in part])
        if clips.dtype == np.uint8:
            clips = clips / np.float32(255)
        token_ids = tokenizer.encode(
            pad_batch(clips.astype(np.float32, copy=False), batch_size),
            num_tokens=num_tokens,
        )
        clips = to_numpy(tokenizer.decode(token_ids))
        # The padding of a batch comes last.
        for i, clip in zip(part, clips, strict=False):
            result[:, *tiles.slices[i]] += clip * tiles.weights[i]
    return result[: len(window), : window.shape[1], : window.shape[2]]


def _pad_frames(window, num_frames):
    missing = num_frames - len(window)
    if not missing:
        return window
    return np.pad(window, ((0, missing), (0, 0), (0, 0), (0, 0)), "edge")


class _Tiles:
    """Overlapping square tiles that cover a frame, and their weights.

    Args:
        shape: Height and width of the frame.
        size: Integer. Height and width of a tile.
        overlap: Integer. Smallest overlap of adjacent tiles.

    Attributes:
        slices: List of pairs of slices: rows and columns of each tile.
        weights: List of float32 arrays `(size, size, 1)`. The weights of all
            tiles at a pixel add up to 1.
    """

    def __init__(self, shape, size, overlap):
        self._missing = [max(size - length, 0) for length in shape]
        rows, columns = (_spread(length, size, overlap) for length in shape)
        self.slices = [(r, c) for r, _ in rows for c, _ in columns]
        self.weights = [
            np.outer(v, w).astype(np.float32)[..., None]
            for _, v in rows
            for _, w in columns
        ]

    def pad(self, window):
        """Repeats the last row and column until a tile fits in."""
        if not any(self._missing):
            return window
        below, right = self._missing
        return np.pad(window, ((0, 0), (0, below), (0, right), (0, 0)), "edge")


def _spread(length, size, overlap):
    """Spreads the fewest intervals that cover an axis evenly.

    Returns:
        List of pairs of the slice of an interval and its weights `(size,)`.
    """
    count = 1 + max(0, -(-(length - size) // (size - overlap)))
    starts = np.linspace(0, max(0, length - size), count).round().astype(int)
    slices = [slice(int(start), int(start) + size) for start in starts]
    ramps = _ramps(size, overlap)
    total = np.zeros(max(length, size))
    for interval in slices:
        total[interval] += ramps
    return [(interval, ramps / total[interval]) for interval in slices]


def _ramps(size, overlap):
    """Weights `(size,)` that rise and fall along overlaps, and are positive.

    The weights of two intervals add up to 1 along their overlap.
    """
    weights = np.ones(size)
    if overlap:
        phase = (np.arange(overlap) + 0.5) / overlap
        rising = np.sin(np.pi / 2 * phase) ** 2
        weights[:overlap] = rising
        weights[-overlap:] = np.minimum(weights[-overlap:], rising[::-1])
    return weights


class _TemporalBlend:
    """Weighted average of overlapping windows, of which frames are removed.

    Args:
        ramps: Array `(T,)`. Weights of the frames of a window.
        dtype: Data type of the frames to return, uint8 or floating-point.
    """

    def __init__(self, ramps, dtype):
        self._ramps = ramps.astype(np.float32)
        self._dtype = dtype
        self._frames = []  # sums of weighted frames
        self._weights = np.zeros(len(ramps), np.float32)

    def add(self, window):
        """Adds a window to the frames that remain of previous ones."""
        for i, frame in enumerate(window):
            frame = frame * self._ramps[i]
            if i < len(self._frames):
                self._frames[i] += frame
            else:
                self._frames.append(frame)
        self._weights += self._ramps

    def pop(self, count):
        """Removes the first frames and yields their averages."""
        frames, weights = self._frames[:count], self._weights[:count]
        del self._frames[:count]
        self._weights = np.pad(self._weights[count:], (0, count))
        for frame, weight in zip(frames, weights, strict=True):
            frame = np.clip(frame / weight, 0.0, 1.0)
            if self._dtype == np.uint8:
                frame = np.round(255 * frame).astype(np.uint8)
            yield frame

"""Tokenizers as video codecs: bits against quality."""

import collections.abc
import math
from typing import Any

import numpy as np

from keras_larp.data.video.video_codecs import CODECS, encode_with_codec
from keras_larp.metrics import psnr, ssim
from keras_larp.metrics.ssim import WINDOW_SIZE
from keras_larp.models import LPIPS, LARPTokenizer
from keras_larp.utils.arrays import to_numpy
from keras_larp.utils.batching import pad_batch
from keras_larp.utils.checks import check_choice, check_instance, check_integer
from keras_larp.utils.input_checks import check_unit_range, check_video

# Constant rate factors from good to the worst quality.
_CRFS = {"h264": (23, 29, 35, 41, 46, 51), "av1": (30, 40, 48, 55, 60, 63)}


def rate_distortion(
    tokenizer: LARPTokenizer,
    videos: Any,
    num_tokens: collections.abc.Sequence[int] | None = None,
    codecs: collections.abc.Sequence[str] = ("h264", "av1"),
    perceptual_model: LPIPS | None = None,
    batch_size: int = 8,
) -> list[dict[str, Any]]:
    """Compares a tokenizer with video codecs at several bit rates.

    A token counts as `log2(codebook_size)` bits: there is no entropy coding.
    Codecs encode each clip alone, with one key frame and headers, at constant
    rate factors from good to the worst quality. Both are general-purpose codecs
    for large videos, whereas a tokenizer is trained on videos like these, and
    its own size does not count. So a comparison says what the tokens cost, not
    which method is better.

    Args:
        tokenizer: `LARPTokenizer`.
        videos: Float array `(N, T, H, W, 3)` of clips in [0, 1].
        num_tokens: List of integers. Numbers of tokens per clip to measure, of
            which only an elastic tokenizer has several. Defaults to `None`:
            all tokens, and of an elastic tokenizer also halves, down to a
            sixteenth.
        codecs: List of strings. Any of `"h264"` (x264) and `"av1"` (SVT-AV1),
            which need PyAV. Defaults to both.
        perceptual_model: Optional `LPIPS`.
        batch_size: Integer. Clips per batch of the models. Defaults to 8.

    Returns:
        List of dictionaries with the keys `method` (`"tokenizer"` or a codec),
        `setting`, `bits_per_pixel`, `PSNR` in dB, `SSIM` and, with
        `perceptual_model`, `LPIPS`: means over clips, in order of decreasing
        bits for each method.

    Raises:
        ValueError: If an argument is invalid.
        ImportError: If a codec is not available.

    Example:

    ```python
    tokenizer = keras_larp.presets.load("larp_tiny_moving_shapes_tokenizer")
    source = keras_larp.data.MovingShapes(4, num_frames=16, image_size=32)
    videos = np.stack([source.render(i) for i in range(4)])
    rows = keras_larp.evaluation.rate_distortion(tokenizer, videos)
    rows[0]["bits_per_pixel"]  # 64 tokens of 8 bits: 0.03125
    ```
    """
    check_instance("tokenizer", tokenizer, LARPTokenizer)
    if perceptual_model is not None:
        check_instance("perceptual_model", perceptual_model, LPIPS)
    check_integer("batch_size", batch_size, 1)
    videos = to_numpy(videos)
    check_video(videos, tokenizer.video_shape, tokenizer.size_multiple)
    check_unit_range(videos, "rate_distortion")
    videos = np.clip(videos, 0.0, 1.0).astype("float32")
    counts = _token_counts(tokenizer, num_tokens)
    if isinstance(codecs, str) or not isinstance(codecs, list | tuple):
        raise ValueError(
            f"`codecs` must be a list of strings. Received: codecs={codecs!r}"
        )
    for codec in codecs:
        check_choice("codecs", codec, tuple(CODECS))

    num_pixels = math.prod(videos.shape[1:4])

    def row(method, setting, bits, decoded):
        return {
            "method": method,
            "setting": setting,
            "bits_per_pixel": float(np.mean(bits)) / num_pixels,
            **_qualities(videos, decoded, perceptual_model, batch_size),
        }

    rows = []
    for count in counts:
        decoded = _reconstruct(tokenizer, videos, count, batch_size)
        bits = count * math.log2(tokenizer.codebook_size)
        rows.append(row("tokenizer", f"{count} tokens", bits, decoded))
    pixels = np.rint(videos * 255).astype("uint8")
    for codec in codecs:
        for crf in _CRFS[codec]:
            bits, decoded = zip(
                *(encode_with_codec(clip, codec, crf) for clip in pixels),
                strict=True,
            )
            decoded = np.stack(decoded).astype("float32") / 255
            rows.append(row(codec, f"crf {crf}", bits, decoded))
    return rows


def _token_counts(tokenizer, num_tokens):
    total = tokenizer.num_tokens
    if num_tokens is None:
        if tokenizer.token_dropout is None:
            return [total]
        counts = {max(1, total // 2**i) for i in range(5)}
        return sorted(counts, reverse=True)
    if not isinstance(num_tokens, list | tuple) or not num_tokens:
        raise ValueError(
            "`num_tokens` must be a list of integers. "
            f"Received: num_tokens={num_tokens!r}"
        )
    for count in num_tokens:
        check_integer("num_tokens", count, 1, total)
    return sorted(set(num_tokens), reverse=True)


def _reconstruct(tokenizer, videos, count, batch_size):
    decoded = []
    for batch in _batches(videos, batch_size):
        token_ids = tokenizer.encode(
            pad_batch(batch, batch_size), num_tokens=count
        )
        clips = to_numpy(tokenizer.decode(token_ids, videos.shape[1:4]))
        decoded.append(clips[: len(batch)])
    return np.concatenate(decoded)


def _qualities(videos, decoded, perceptual_model, batch_size):
    """Means over clips of all metrics."""
    values = collections.defaultdict(list)
    batches = zip(
        _batches(videos, batch_size), _batches(decoded, batch_size), strict=True
    )
    for pair in batches:
        values["PSNR"].append(to_numpy(psnr(*pair)))
        if min(videos.shape[2:4]) >= WINDOW_SIZE:
            values["SSIM"].append(to_numpy(ssim(*pair)))
        if perceptual_model is not None:
            padded = [pad_batch(part, batch_size) for part in pair]
            distances = to_numpy(perceptual_model(*padded))
            values["LPIPS"].append(distances[: len(pair[0])])
    return {k: float(np.mean(np.concatenate(v))) for k, v in values.items()}


def _batches(videos, batch_size):
    starts = range(0, len(videos), batch_size)
    return [videos[start : start + batch_size] for start in starts]

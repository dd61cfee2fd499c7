"""Budgets of elastic tokenizers: leading tokens of any number."""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_larp.utils.arrays import to_numpy
from keras_larp.utils.checks import check_integer, check_number
from keras_larp.utils.elastic_checks import check_elastic


def number_of_tokens(
    tokenizer: keras.Model,
    num_tokens: int | None = None,
    target_psnr: float | None = None,
    target_bits: float | None = None,
) -> int:
    """The number of tokens that a budget of `LARPTokenizer.encode` allows.

    Args:
        tokenizer: A `LARPTokenizer`.
        num_tokens: Integer, or `None`.
        target_psnr: Float, or `None`. Its numbers of tokens depend on clips:
            see `shortest_prefixes`.
        target_bits: Float, or `None`.

    Raises:
        ValueError: If there is more than one budget, it is out of range, or
            the tokenizer is not elastic.
    """
    budgets = {
        "num_tokens": num_tokens,
        "target_psnr": target_psnr,
        "target_bits": target_bits,
    }
    given = {name: v for name, v in budgets.items() if v is not None}
    if len(given) > 1:
        raise ValueError(
            "Pass only one of `num_tokens`, `target_psnr` and `target_bits`. "
            f"Received: {', '.join(f'{n}={v}' for n, v in given.items())}"
        )
    if num_tokens is not None:
        check_integer("num_tokens", num_tokens, 1, tokenizer.num_tokens)
    if target_psnr is not None:
        check_number("target_psnr", target_psnr, "(0, inf)")
    bits_per_token = math.log2(tokenizer.codebook_size)
    if target_bits is not None:
        check_number("target_bits", target_bits, "(0, inf)")
        num_tokens = min(
            int(target_bits / bits_per_token), tokenizer.num_tokens
        )
        if not num_tokens:
            raise ValueError(
                f"A token takes {bits_per_token:.4g} bits. `target_bits` must "
                f"be at least that. Received: target_bits={target_bits}"
            )
    if target_psnr is None and num_tokens in (None, tokenizer.num_tokens):
        return tokenizer.num_tokens
    check_elastic(tokenizer, **given)
    return num_tokens or tokenizer.num_tokens


def pad(tokenizer: keras.Model, token_ids: Any) -> tuple[Any, Any]:
    """Pads leading tokens to the number of tokens of a tokenizer.

    Args:
        tokenizer: An elastic `LARPTokenizer`.
        token_ids: Integers `(B, n)`, or a list of integers `(n,)` of any
            lengths.

    Returns:
        Integers `(B, num_tokens)`, and the lengths, int32 `(B,)`; or
        `token_ids` and `None` if nothing was to be padded.

    Raises:
        ValueError: If there are too many tokens, or none.
    """
    total = tokenizer.num_tokens
    if not isinstance(token_ids, list | tuple):
        shape: tuple = tuple(getattr(token_ids, "shape", ()))
        if len(shape) != 2 or shape[1] is None or not 0 < shape[1] < total:
            return token_ids, None  # Complete, or refused by the caller.
        padded = ops.pad(token_ids, [[0, 0], [0, total - shape[1]]])
        return padded, ops.full((ops.shape(padded)[0],), shape[1], "int32")
    rows = [to_numpy(row) for row in token_ids]
    for i, row in enumerate(rows):
        if row.ndim != 1 or not 1 <= len(row) <= total:
            raise ValueError(
                f"Each clip must have 1 to {total} token ids. Received: "
                f"shape={row.shape} of clip {i}"
            )
        if not np.issubdtype(row.dtype, np.integer):
            raise ValueError(
                f"Expected integer token ids. Received: dtype={row.dtype} of "
                f"clip {i}"
            )
    lengths = np.array([len(row) for row in rows], "int32")
    padded = np.zeros((len(rows), total), "int64")
    for target, row in zip(padded, rows, strict=True):
        target[: len(row)] = row
    return padded, lengths


def shortest_prefixes(
    tokenizer: keras.Model, token_ids: Any, video: Any, target_psnr: float
) -> list[np.ndarray]:
    """As few leading tokens of each clip as a PSNR needs, or all of them.

    Args:
        tokenizer: An elastic `LARPTokenizer`.
        token_ids: Integers `(B, num_tokens)`.
        video: Float `(B, T, H, W, C)` in [0, 1].
        target_psnr: Float, in dB.

    Returns:
        List of int32 arrays.
    """
    token_ids, video = to_numpy(token_ids), to_numpy(video).astype("float32")
    low = np.ones(len(token_ids), int)
    high = np.full(len(token_ids), tokenizer.num_tokens)
    while (low < high).any():
        middle = (low + high) // 2
        prefixes = _prefixes(token_ids, middle)
        decoded = tokenizer.decode(prefixes, video_size=video.shape[1:4])
        errors = to_numpy(decoded) - video
        mse = np.mean(errors**2, axis=(1, 2, 3, 4))
        reached = mse <= 10 ** (-target_psnr / 10)
        low = np.where(reached, low, np.minimum(middle + 1, high))
        high = np.where(reached, middle, high)
    return _prefixes(token_ids, low)


def _prefixes(token_ids, lengths):
    pairs = zip(token_ids, lengths, strict=True)
    return [ids[:length].astype("int32") for ids, length in pairs]

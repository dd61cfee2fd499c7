"""Figures and animations that show what tokens represent."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_larp.data.video.video_writer import video_grid
from keras_larp.models import ARVideoGenerator, LARPTokenizer
from keras_larp.utils.arrays import to_numpy
from keras_larp.utils.checks import (
    check_instance,
    check_integer,
    check_names,
    check_path,
    check_sequence,
)
from keras_larp.utils.files import atomic_write
from keras_larp.utils.input_checks import check_ids, to_array
from keras_larp.utils.optional_imports import require


def codebook_usage_by_position(
    token_ids: Any, codebook_size: int, num_bins: int = 64
) -> np.ndarray:
    """Returns how often each position of the sequence uses which codes.

    Codes are sorted by their total frequency. As a heat map, a healthy
    codebook is uniform, and a collapsed one has a few bright columns.

    Args:
        token_ids: Integer array or tensor of shape `(B, N)`.
        codebook_size: Integer. Number of codes.
        num_bins: Integer. Number of bins that adjacent codes are merged into.
            Defaults to 64.

    Returns:
        float64 array of shape `(N, min(num_bins, codebook_size))`. Fractions
        that sum to one in each row.

    Raises:
        ValueError: If `token_ids` are not integers of shape `(B, N)` in
            `[0, codebook_size)`.

    Example:

    ```python
    token_ids = np.random.default_rng(0).integers(0, 8, (20, 4))
    usage = keras_larp.evaluation.codebook_usage_by_position(token_ids, 8)
    usage.shape  # (4, 8)
    ```
    """
    check_integer("codebook_size", codebook_size, 2)
    check_integer("num_bins", num_bins, 1)
    token_ids = check_ids(token_ids, "token ids", codebook_size, (None, None))
    if not token_ids.size:
        raise ValueError(
            "Expected token ids of at least one clip. "
            f"Received: shape={token_ids.shape}"
        )
    counts = np.bincount(token_ids.ravel(), minlength=codebook_size)
    rank = np.empty(codebook_size, int)
    rank[np.argsort(-counts, kind="stable")] = np.arange(codebook_size)
    num_bins = min(num_bins, codebook_size)
    bins = rank[token_ids] * num_bins // codebook_size  # (B, N)
    rows = [np.bincount(column, minlength=num_bins) for column in bins.T]
    return np.stack(rows) / len(token_ids)


def write_codebook_usage(
    path: str | os.PathLike,
    token_ids: Any,
    codebook_size: int,
    num_bins: int = 64,
) -> None:
    """Plots `codebook_usage_by_position` and the entropy of each position.

    Args:
        path: String or path of the image, such as `usage.png`.
        token_ids: Integer array or tensor of shape `(B, N)`. To be meaningful,
            it should have at least as many clips as there are codes.
        codebook_size: Integer. Number of codes.
        num_bins: Integer. See `codebook_usage_by_position`. Defaults to 64.

    Raises:
        ImportError: If the extra `viz` is not installed.

    Example:

    ```python
    token_ids = np.random.default_rng(0).integers(0, 8, (20, 4))
    keras_larp.evaluation.write_codebook_usage("usage.png", token_ids, 8)
    ```
    """
    path = check_path("path", path)
    figures = require("matplotlib.figure", "viz")
    usage = codebook_usage_by_position(token_ids, codebook_size, num_bins)
    token_ids = to_numpy(token_ids)
    num_used = len(np.unique(token_ids))
    figure = figures.Figure(figsize=(10, 5), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[4, 1], sharey=True)
    image = left.imshow(usage, aspect="auto", interpolation="nearest")
    figure.colorbar(image, ax=left, label="fraction of clips")
    left.set_title(f"{num_used} of {codebook_size} codes used")
    left.set_xlabel("codes, from most to least frequent")
    left.set_ylabel("position in the sequence")
    right.plot(entropies(token_ids), np.arange(len(usage)))
    right.set_xlabel("entropy (bits)")
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=120)


def entropies(token_ids: Any) -> np.ndarray:
    """Returns the entropy in bits of the codes at each position, `(N,)`."""
    values = []
    for column in to_numpy(token_ids).T:
        _, counts = np.unique(column, return_counts=True)
        probabilities = counts / counts.sum()
        values.append(-np.sum(probabilities * np.log2(probabilities)))
    return np.array(values)


def resample_suffix(
    generator: ARVideoGenerator,
    tokenizer: LARPTokenizer,
    token_ids: Any,
    condition: Any,
    counts: Sequence[int],
    seed: int = 0,
    **options: Any,
) -> np.ndarray:
    """Resamples all but the first tokens of clips.

    What the samples have in common is what the first tokens encode.

    Args:
        generator: `ARVideoGenerator` of the tokenizer's tokens.
        tokenizer: `LARPTokenizer`.
        token_ids: Integer array or tensor of shape `(B, num_tokens)`. Tokens
            of real clips.
        condition: Integers of shape `(B,)`. The `class_ids` or
            `condition_ids` for `generate`.
        counts: Integers. Numbers of first tokens to keep.
        seed: Integer. Sampling seed. Defaults to 0.
        **options: Arguments of `generate`, such as `guidance_scale`.

    Returns:
        float32 array of shape `(len(counts), B, T, H, W, C)` with values in
        [0, 1].

    Example:

    ```python
    name = "larp_tiny_moving_shapes"
    tokenizer = keras_larp.presets.load(f"{name}_tokenizer")
    generator = keras_larp.presets.load(f"{name}_generator")
    video = np.random.default_rng(0).random((2, 16, 32, 32, 3), "float32")
    clips = keras_larp.evaluation.resample_suffix(
        generator, tokenizer, tokenizer.encode(video), [0, 1], counts=[0, 32]
    )
    clips.shape  # (2, 2, 16, 32, 32, 3)
    ```
    """
    check_instance("generator", generator, ARVideoGenerator)
    check_instance("tokenizer", tokenizer, LARPTokenizer)
    shape = (None, generator.num_tokens)
    token_ids = check_ids(token_ids, "tokens", generator.vocab_size, shape)
    counts = [
        check_integer("counts", count, 0, generator.num_tokens)
        for count in check_sequence("counts", counts)
    ]
    positions = np.arange(token_ids.shape[1])
    clips = [
        generator.generate(
            **{generator.condition_name: condition},
            known_tokens=np.where(positions < count, token_ids, -1),
            tokenizer=tokenizer,
            seed=seed,
            **options,
        )
        for count in counts
    ]
    return np.stack([to_numpy(clip) for clip in clips])


def truncation_video(
    clips: Any, originals: Any, counts: Sequence[int], names: Sequence[str]
) -> np.ndarray:
    """Arranges the clips of `resample_suffix` as an animation.

    Each row shows an original on the left and its sample on the right. The
    animation steps through `counts`. A bar at the bottom shows the fraction of
    tokens that are kept.

    Args:
        clips: Float array of shape `(len(counts), B, T, H, W, 3)`.
        originals: Float array or tensor of shape `(B, T, H, W, 3)`.
        counts: Integers, as passed to `resample_suffix`.
        names: List of `B` strings. Names of the rows.

    Returns:
        uint8 array of shape `(len(counts) * T, H', W', 3)`.

    Example:

    ```python
    clips = np.zeros((2, 1, 4, 16, 16, 3))
    originals = np.ones((1, 4, 16, 16, 3))
    video = keras_larp.evaluation.truncation_video(
        clips, originals, counts=[0, 8], names=["first clip"]
    )
    video.shape[0]  # 8 frames
    ```
    """
    clips = to_array(clips, "clips")
    originals = to_array(originals, "originals")
    names = check_names("names", names)
    counts = [
        check_integer("counts", count, 0)
        for count in check_sequence("counts", counts)
    ]
    shape = (len(counts), *originals.shape)
    if originals.ndim != 5 or clips.shape != shape:
        raise ValueError(
            "Expected clips of shape (counts, batch, frames, height, width, "
            f"3) for originals of shape {originals.shape}. Received: "
            f"clips of shape {clips.shape} and {len(counts)} counts"
        )
    max_count = max(*counts, 1)
    parts = []
    for count, samples in zip(counts, clips, strict=True):
        pairs = np.stack([originals, samples], axis=1)
        pairs = pairs.reshape(-1, *samples.shape[1:])  # (2 B, T, H, W, 3)
        grid = video_grid(pairs, num_columns=2, row_names=names)
        frames, _, width, _ = grid.shape
        bar = np.full((frames, 4, width, 3), 220, np.uint8)
        bar[:, :, : width * count // max_count] = (30, 90, 200)
        parts.append(np.concatenate([grid, bar], axis=1))
    return np.concatenate(parts)

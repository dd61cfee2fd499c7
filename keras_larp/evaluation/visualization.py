"""Pictures that show what tokens hold: how they are used, what each adds."""

import numpy as np
from keras import ops

from keras_larp.data.video.video_writer import video_grid
from keras_larp.utils.files import atomic_write
from keras_larp.utils.optional_imports import require


def codebook_usage_by_position(token_ids, codebook_size, num_bins=64):
    """How often each position of the sequence takes which codes.

    Codes are ordered by how often they occur in all, so that the picture of a
    healthy codebook is even and that of a collapsed one is a few bright
    columns.

    Args:
        token_ids: int `(B, N)`.
        codebook_size: Integer, number of codes.
        num_bins: Integer, columns into which neighbouring codes are joined.

    Returns:
        float64 `(N, min(num_bins, codebook_size))`, shares; rows sum to one.

    Raises:
        ValueError: for ids that are not `(B, N)` in [0, codebook_size).
    """
    token_ids = np.asarray(token_ids)
    if token_ids.ndim != 2 or not token_ids.size:
        raise ValueError(
            "Expected token ids of shape (batch, num_tokens), not empty. "
            f"Received: shape={token_ids.shape}"
        )
    if token_ids.min() < 0 or token_ids.max() >= codebook_size:
        raise ValueError(
            f"Token ids must be in [0, {codebook_size}). Received: ids from "
            f"{token_ids.min()} to {token_ids.max()}"
        )
    counts = np.bincount(token_ids.ravel(), minlength=codebook_size)
    rank = np.empty(codebook_size, int)
    rank[np.argsort(-counts, kind="stable")] = np.arange(codebook_size)
    num_bins = min(num_bins, codebook_size)
    bins = rank[token_ids] * num_bins // codebook_size  # (B, N)
    shares = [np.bincount(b, minlength=num_bins) for b in bins.T]
    return np.stack(shares) / len(token_ids)


def write_codebook_usage(path, token_ids, codebook_size, num_bins=64):
    """Draws `codebook_usage_by_position` as a heat map, with the entropy of each position.

    Args:
        path: String or path of the picture, such as `usage.png`.
        token_ids: int `(B, N)`, of as many clips as there are codes or more,
            if it can be.
        codebook_size: Integer, number of codes.
        num_bins: Integer, see `codebook_usage_by_position`.
    """
    figures = require("matplotlib.figure", "viz")
    shares = codebook_usage_by_position(token_ids, codebook_size, num_bins)
    used = len(np.unique(token_ids))
    figure = figures.Figure(figsize=(10, 5), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[4, 1], sharey=True)
    image = left.imshow(shares, aspect="auto", interpolation="nearest")
    figure.colorbar(image, ax=left, label="share of clips")
    left.set_title(f"{used} of {codebook_size} codes used")
    left.set_xlabel("codes, from the most to the least frequent")
    left.set_ylabel("position in the sequence")
    right.plot(entropies(token_ids), np.arange(len(shares)))
    right.set_xlabel("entropy, bits")
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=120)


def entropies(token_ids):
    """The entropy, in bits, of the codes at each position: float `(N,)`."""
    values = []
    for column in np.asarray(token_ids).T:
        _, counts = np.unique(column, return_counts=True)
        shares = counts / counts.sum()
        values.append(-np.sum(shares * np.log2(shares)))
    return np.array(values)


def resample_suffix(
    generator, tokenizer, token_ids, condition, counts, seed=0, **options
):
    """Clips whose first tokens are true, and whose others are drawn anew.

    What stays the same from one sample to the next is what those first tokens
    hold.

    Args:
        generator: An `ARVideoGenerator` of the tokenizer's tokens.
        tokenizer: A `LARPTokenizer`.
        token_ids: int `(B, num_tokens)`, of real clips.
        condition: Their `class_ids` or `condition_ids`; see `generate`.
        counts: Integers, how many first tokens are kept.
        seed: Integer, of the drawing.
        **options: Of `generate`: `guidance_scale`, `temperature`, ...

    Returns:
        float32 array `(len(counts), B, T, H, W, C)` in [0, 1].

    Example:

    ```python
    clips = keras_larp.evaluation.resample_suffix(
        generator, tokenizer, tokenizer.encode(video), labels, [0, 8, 16]
    )
    ```
    """
    token_ids = np.asarray(ops.convert_to_numpy(token_ids))
    places = np.arange(token_ids.shape[1])
    clips = [
        generator.generate(
            **{generator.condition_name: condition},
            known_tokens=np.where(places < count, token_ids, -1),
            tokenizer=tokenizer,
            seed=seed,
            **options,
        )
        for count in counts
    ]
    return np.stack([ops.convert_to_numpy(clip) for clip in clips])


def truncation_video(clips, originals, counts, names):
    """Lays `resample_suffix` out as an animation: a row a clip, the original
    at the left, the clip with so many true tokens at the right, one count
    after the other.

    Args:
        clips: float `(len(counts), B, T, H, W, C)`.
        originals: float `(B, T, H, W, C)`.
        counts: Integers, as given to `resample_suffix`.
        names: List of `B` strings, of the rows.

    Returns:
        uint8 `(len(counts) * T, H', W', 3)`. A bar under the clips is as long
        as the share of true tokens.
    """
    most = max(*counts, 1)
    parts = []
    for count, row in zip(counts, clips, strict=True):
        pairs = np.stack([originals, row], axis=1)
        pairs = pairs.reshape(-1, *row.shape[1:])
        grid = video_grid(pairs, num_columns=2, row_names=names)
        frames, _, width, _ = grid.shape
        bar = np.full((frames, 4, width, 3), 220, np.uint8)
        bar[:, :, : width * count // most] = (30, 90, 200)
        parts.append(np.concatenate([grid, bar], axis=1))
    return np.concatenate(parts)

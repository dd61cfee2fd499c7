"""The condition of frame prediction: a clip's first frames, as its tokens."""

from keras import ops


def repeat_last_frame(video, num_frames, length=None):
    """Clips of which only the first frames are known.

    Args:
        video: float `(B, T, H, W, C)`.
        num_frames: Integer, frames that are kept.
        length: Integer, frames of the result; `T` where `None`.

    Returns:
        float `(B, length, H, W, C)`: the first frames, then the last of them
        again and again.
    """
    length = video.shape[1] if length is None else length
    first = video[:, :num_frames]
    rest = ops.repeat(first[:, -1:], length - num_frames, axis=1)
    return ops.concatenate([first, rest], axis=1)


def with_separator(token_ids, vocab_size):
    """Ids `(B, N)` and behind them the separator's, `vocab_size`."""
    separator = ops.full_like(token_ids[:, :1], vocab_size)
    return ops.concatenate([token_ids, separator], axis=1)

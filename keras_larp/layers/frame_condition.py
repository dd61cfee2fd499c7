"""The condition of frame prediction: the first frames of a clip, as tokens."""

from keras import ops


def repeat_last_frame(video, num_frames, length=None):
    """Replaces all but the first frames by copies of the last known frame.

    Args:
        video: Float tensor `(B, T, H, W, C)`.
        num_frames: Integer. Number of frames to keep.
        length: Integer. Number of frames of the result. Defaults to `T`.

    Returns:
        Float tensor `(B, length, H, W, C)`.
    """
    length = video.shape[1] if length is None else length
    known = video[:, :num_frames]
    padding = ops.repeat(known[:, -1:], length - num_frames, axis=1)
    return ops.concatenate([known, padding], axis=1)


def with_separator(token_ids, vocab_size):
    """Appends the separator id, `vocab_size`, to token ids `(B, N)`."""
    separator = ops.full_like(token_ids[:, :1], vocab_size)
    return ops.concatenate([token_ids, separator], axis=1)

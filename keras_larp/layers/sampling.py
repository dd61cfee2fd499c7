"""Drawing from a categorical distribution with given uniform numbers."""

from keras import ops

from keras_larp.backend.clamp import clamp_max, clamp_min

_BLOCK = 64


def draw_categorical(probabilities, uniforms):
    """Draws an index from each distribution by inverting its cumulative sum.

    A uniform number decides a draw, so that a draw can be repeated anywhere;
    and no random number a category is needed, as the Gumbel trick does. Many
    categories are searched in two steps, block and then index.

    Args:
        probabilities: float `(..., K)`, non-negative; need not sum to one.
        uniforms: float `(...)` in [0, 1).

    Returns:
        int32 `(...)`, indices in [0, K). A category of probability zero is
        never drawn.
    """
    probabilities = ops.cast(probabilities, "float32")
    # Away from one, where rounding could step over the last category.
    uniforms = ops.cast(uniforms, "float32")[..., None] * (1.0 - 1e-6)
    size = probabilities.shape[-1]
    if size <= 4 * _BLOCK:
        return _invert(probabilities, uniforms)[0]
    padding = -size % _BLOCK
    if padding:
        pad_width = [(0, 0)] * (len(probabilities.shape) - 1) + [(0, padding)]
        probabilities = ops.pad(probabilities, pad_width)
    lead = ops.shape(probabilities)[:-1]
    blocks = ops.reshape(
        probabilities, lead + ((size + padding) // _BLOCK, _BLOCK)
    )
    block, rest = _invert(ops.sum(blocks, -1), uniforms)  # (...), (..., 1)
    chosen = ops.take_along_axis(blocks, block[..., None, None], axis=-2)
    index, _ = _invert(ops.squeeze(chosen, -2), rest)
    return block * _BLOCK + index


def draw_from_logits(logits, uniforms):
    """`draw_categorical` from the softmax of logits `(..., K)`."""
    return draw_categorical(ops.softmax(logits), uniforms)


def _invert(weights, uniforms):
    """The index where the cumulative sum passes `uniforms` of the total,
    and how far into that index's share, as a fraction in [0, 1)."""
    cumulative = ops.cumsum(weights, axis=-1)
    target = uniforms * cumulative[..., -1:]
    passed = ops.cast(cumulative > target, "int32")
    index = ops.cast(ops.argmax(passed, axis=-1), "int32")
    share = ops.take_along_axis(weights, index[..., None], axis=-1)
    end = ops.take_along_axis(cumulative, index[..., None], axis=-1)
    inside = 1.0 - (end - target) / clamp_min(share, 1e-30)
    return index, clamp_max(clamp_min(inside, 0.0), 1.0 - 1e-6)


def filtered_probabilities(logits, temperature=1.0, top_k=0, top_p=1.0):
    """Probabilities of the next token after temperature, top-k and top-p.

    Args:
        logits: float `(B, K)`.
        temperature: Scalar above zero that logits are divided by.
        top_k: Integer, keeps that many of the likeliest; 0 keeps all.
        top_p: Float in (0, 1], keeps the likeliest tokens up to the one with
            which their probabilities add up to more than that.

    Returns:
        float32 `(B, K)`, rows sum to one.
    """
    logits = ops.cast(logits, "float32") / temperature
    size = logits.shape[-1]
    if 0 < top_k < size:
        least = ops.top_k(logits, top_k)[0][..., -1:]
        logits = ops.where(logits < least, -1e30, logits)
    if top_p < 1.0:
        ordered = ops.flip(ops.sort(logits, axis=-1), axis=-1)
        probabilities = ops.softmax(ordered)
        before = ops.cumsum(probabilities, axis=-1) - probabilities
        kept = ops.where(before <= top_p, ordered, 1e30)
        least = ops.min(kept, axis=-1, keepdims=True)
        logits = ops.where(logits < least, -1e30, logits)
    return ops.softmax(logits)

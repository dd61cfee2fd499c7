"""Sampling from categorical distributions with given uniform numbers."""

from keras import ops

from keras_larp.backend.clamp import clamp_max, clamp_min

_BLOCK_SIZE = 64


def draw_categorical(probabilities, uniforms):
    """Samples by inverting the cumulative distribution function.

    A single uniform number determines each sample, so that samples can be
    reproduced on any backend. (The Gumbel trick needs one random number per
    category.) More than `4 * _BLOCK_SIZE` categories are searched in two
    steps: first the block, then the index inside it.

    Args:
        probabilities: Float tensor `(..., K)`, non-negative. Rows need not
            sum to one.
        uniforms: Float tensor `(...)` in [0, 1).

    Returns:
        int32 tensor `(...)`, indices in [0, K). Categories of probability
        zero are never sampled.
    """
    probabilities = ops.cast(probabilities, "float32")
    # Keep below one: rounding could step past the last category.
    uniforms = ops.cast(uniforms, "float32")[..., None] * (1.0 - 1e-6)
    size = probabilities.shape[-1]
    if size <= 4 * _BLOCK_SIZE:
        return _invert_cdf(probabilities, uniforms)[0]
    padding = -size % _BLOCK_SIZE
    if padding:
        pad_width = [(0, 0)] * (len(probabilities.shape) - 1) + [(0, padding)]
        probabilities = ops.pad(probabilities, pad_width)
    batch_shape = ops.shape(probabilities)[:-1]
    num_blocks = (size + padding) // _BLOCK_SIZE
    blocks = ops.reshape(probabilities, batch_shape + (num_blocks, _BLOCK_SIZE))
    # (...), (..., 1)
    block_index, remainder = _invert_cdf(ops.sum(blocks, -1), uniforms)
    block = ops.take_along_axis(blocks, block_index[..., None, None], axis=-2)
    index, _ = _invert_cdf(ops.squeeze(block, -2), remainder)
    return block_index * _BLOCK_SIZE + index


def draw_from_logits(logits, uniforms):
    """`draw_categorical` from the softmax of logits `(..., K)`."""
    return draw_categorical(ops.softmax(logits), uniforms)


def _invert_cdf(weights, uniforms):
    """Inverts the cumulative distribution of unnormalized weights.

    Args:
        weights: float32 tensor `(..., K)`.
        uniforms: float32 tensor `(..., 1)` in [0, 1).

    Returns:
        int32 indices `(...)` at which the cumulative weight exceeds
        `uniforms` of the total, and the relative position inside the weight
        of that index, float32 `(..., 1)` in [0, 1).
    """
    cumulative = ops.cumsum(weights, axis=-1)
    target = uniforms * cumulative[..., -1:]
    exceeds = ops.cast(cumulative > target, "int32")
    index = ops.cast(ops.argmax(exceeds, axis=-1), "int32")
    weight = ops.take_along_axis(weights, index[..., None], axis=-1)
    end = ops.take_along_axis(cumulative, index[..., None], axis=-1)
    remainder = 1.0 - (end - target) / clamp_min(weight, 1e-30)
    return index, clamp_max(clamp_min(remainder, 0.0), 1.0 - 1e-6)


def filtered_probabilities(logits, temperature=1.0, top_k=0, top_p=1.0):
    """Next-token probabilities after temperature, top-k and top-p filtering.

    Args:
        logits: Float tensor `(B, K)`.
        temperature: Positive scalar by which logits are divided. Defaults to
            1.
        top_k: Integer. Number of most likely tokens to keep. 0 keeps all.
            Defaults to 0.
        top_p: Float in (0, 1]. Keeps the most likely tokens up to and
            including the one at which their cumulative probability exceeds
            `top_p`. Defaults to 1.

    Returns:
        float32 tensor `(B, K)`, rows sum to one.
    """
    logits = ops.cast(logits, "float32") / temperature
    size = logits.shape[-1]
    if 0 < top_k < size:
        threshold = ops.top_k(logits, top_k)[0][..., -1:]
        logits = ops.where(logits < threshold, -1e30, logits)
    if top_p < 1.0:
        descending = ops.flip(ops.sort(logits, axis=-1), axis=-1)
        probabilities = ops.softmax(descending)
        preceding = ops.cumsum(probabilities, axis=-1) - probabilities
        kept = ops.where(preceding <= top_p, descending, 1e30)
        threshold = ops.min(kept, axis=-1, keepdims=True)
        logits = ops.where(logits < threshold, -1e30, logits)
    return ops.softmax(logits)

"""Scaled dot-product attention, in the form that each backend runs best."""

import keras
from keras import ops

from keras_larp import backend

# From so many scores a head on, a CPU computes one head after the other, and
# queries in parts of so many: their scores stay in its cache.
CHUNKING_THRESHOLD, QUERY_CHUNK_SIZE = 2**20, 512


def split_heads(x, num_heads, num_kv_heads=None):
    """Splits a joint projection into query, key and value heads.

    Args:
        x: `(B, N, (num_heads + 2 * num_kv_heads) * d)`.

    Returns:
        query `(B, num_heads, N, d)`, key and value
        `(B, num_kv_heads, N, d)`.
    """
    num_kv_heads = num_kv_heads or num_heads
    length, total = x.shape[1], num_heads + 2 * num_kv_heads
    x = ops.reshape(x, (-1, length, total, x.shape[-1] // total))
    x = ops.transpose(x, (0, 2, 1, 3))  # (B, heads, N, d)
    return (
        x[:, :num_heads],
        x[:, num_heads : num_heads + num_kv_heads],
        x[:, num_heads + num_kv_heads :],
    )


def attend(
    query,
    key,
    value,
    mask=None,
    causal=False,
    dropout=None,
    training=False,
):
    """Attention of heads: softmax(q k^T / sqrt(d)) v, softmax in float32.

    Args:
        query: `(B, H, Nq, d)`.
        key: `(B, Hkv, Nk, d)`; each head of it serves `H / Hkv` queries.
        value: `(B, Hkv, Nk, d)`.
        mask: Boolean, broadcastable to `(Nq, Nk)`: `True` where a query
            sees a key. `None` where all see all.
        causal: Boolean, in place of a mask: as many queries as keys, of which
            each sees itself and what precedes.
        dropout: Optional `keras.layers.Dropout` for the probabilities.
        training: Whether dropout acts.

    Returns:
        `(B, Nq, H * d)`.
    """
    _, heads, query_length, head_dim = query.shape
    kv_heads, key_length = key.shape[1], key.shape[2]
    drops = training and dropout is not None and dropout.rate > 0
    groups = heads // kv_heads
    rows = groups * query_length
    if groups > 1:
        # Heads that share keys, as one head with more queries.
        query = ops.reshape(query, (-1, kv_heads, rows, head_dim))
        if causal:
            mask, causal = causal_mask(query_length), False
        mask = None if mask is None else ops.tile(mask, (groups, 1))

    def joined(x):
        x = ops.reshape(x, (-1, heads, query_length, head_dim))
        x = ops.transpose(x, (0, 2, 1, 3))  # (B, Nq, H, d)
        return ops.reshape(x, (-1, query_length, heads * head_dim))

    rate = dropout.rate if drops else 0.0
    x = backend.fused_attention(query, key, value, mask, causal, rate)
    if x is not None:
        return joined(x)
    if causal:
        mask = causal_mask(query_length)

    # Batched 3D products: compilers for CPUs handle them best.
    query = ops.reshape(query, (-1, rows, head_dim))  # (B * Hkv, rows, d)
    key = ops.reshape(key, (-1, key_length, head_dim))
    value = ops.reshape(value, (-1, key_length, head_dim))

    def weighted_values(query, key, value):
        scores = ops.matmul(query * head_dim**-0.5, ops.swapaxes(key, -1, -2))
        scores = ops.cast(scores, "float32")
        if mask is not None:
            scores = ops.where(mask, scores, -1e30)
        weights = ops.cast(ops.softmax(scores), value.dtype)
        if drops:
            weights = dropout(weights, training=True)
        return ops.matmul(weights, value)  # (B * Hkv, rows, d)

    def one_head(tensors):
        query, key, value = tensors  # (rows, d), (Nk, d), (Nk, d)
        parts = ops.reshape(query, (-1, QUERY_CHUNK_SIZE, head_dim))
        return ops.map(lambda part: weighted_values(part, key, value), parts)

    long = (
        rows % QUERY_CHUNK_SIZE == 0 and rows * key_length >= CHUNKING_THRESHOLD
    )
    if long and mask is None and not training and _on_cpu():
        # (B * Hkv, rows / QUERY_CHUNK_SIZE, QUERY_CHUNK_SIZE, d)
        return joined(ops.map(one_head, (query, key, value)))
    return joined(weighted_values(query, key, value))


# A cache is a pair of keys and values `(B * Hkv, L, d)`. In three axes XLA
# writes to it in place; with more it copies all of it at each step.


def grow_cache(cache, length):
    """The cache with room for `length` positions."""
    more = length - cache[0].shape[1]
    if not more:
        return cache
    return tuple(ops.pad(x, ((0, 0), (0, more), (0, 0))) for x in cache)


def write_cache(cache, key, value, index):
    """Writes keys and values `(B, Hkv, n, d)` at position `index`.

    Returns:
        The new cache, and its keys and values as `(B, Hkv, L, d)`. PyTorch
        writes in place.
    """
    _, heads, length, head_dim = key.shape
    new = [ops.reshape(x, (-1, length, head_dim)) for x in (key, value)]
    if _is_torch():
        positions = index + ops.arange(length, dtype="int64")
        for old, x in zip(cache, new, strict=True):
            old.index_copy_(1, positions, x)
    else:
        cache = tuple(
            ops.slice_update(old, (0, index, 0), x)
            for old, x in zip(cache, new, strict=True)
        )
    shape = (-1, heads, cache[0].shape[1], head_dim)
    return cache, [ops.reshape(x, shape) for x in cache]


def causal_mask(length):
    """Boolean `(length, length)`: a position sees itself and what precedes."""
    positions = ops.arange(length)
    return positions[:, None] >= positions[None, :]


def check_heads(hidden_dim, num_heads, num_kv_heads=None):
    """Raises a `ValueError` for widths and heads that do not go together."""
    if num_heads < 1 or hidden_dim < 1 or hidden_dim % num_heads:
        raise ValueError(
            "`hidden_dim` must be divisible by `num_heads`. Received: "
            f"hidden_dim={hidden_dim}, num_heads={num_heads}"
        )
    if num_kv_heads is not None and (
        num_kv_heads < 1 or num_heads % num_kv_heads
    ):
        raise ValueError(
            "`num_heads` must be divisible by `num_kv_heads`. Received: "
            f"num_heads={num_heads}, num_kv_heads={num_kv_heads}"
        )


def _is_torch():
    return keras.backend.backend() == "torch"


def _on_cpu():
    devices = keras.distribution.list_devices()
    return all(name.lower().startswith("cpu") for name in devices)

"""Scaled dot-product attention and key-value caches."""

import keras
from keras import ops

from keras_larp import backend

# On CPU, once a head has `CHUNKING_THRESHOLD` scores, process heads one at a
# time in chunks of `QUERY_CHUNK_SIZE` queries so that scores stay in cache.
CHUNKING_THRESHOLD, QUERY_CHUNK_SIZE = 2**20, 512


def split_heads(x, num_heads, num_kv_heads=None):
    """Splits a joint query-key-value projection into heads.

    Args:
        x: Float tensor `(B, N, (num_heads + 2 * num_kv_heads) * d)`.
        num_heads: Integer. Number of query heads.
        num_kv_heads: Integer. Number of key and value heads. Defaults to
            `num_heads`.

    Returns:
        Query `(B, num_heads, N, d)`, key and value
        `(B, num_kv_heads, N, d)`.
    """
    num_kv_heads = num_kv_heads or num_heads
    length, total_heads = x.shape[1], num_heads + 2 * num_kv_heads
    x = ops.reshape(x, (-1, length, total_heads, x.shape[-1] // total_heads))
    x = ops.transpose(x, (0, 2, 1, 3))  # (B, total_heads, N, d)
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
    """Multi-head attention: `softmax(q k^T / sqrt(d)) v`.

    The softmax is computed in float32. A fused kernel is used if the backend
    has one for these inputs.

    Args:
        query: Float tensor `(B, H, Nq, d)`.
        key: Float tensor `(B, Hkv, Nk, d)`. Each key head serves `H / Hkv`
            query heads (grouped-query attention).
        value: Float tensor `(B, Hkv, Nk, d)`.
        mask: Boolean tensor, broadcastable to `(Nq, Nk)`. `True` lets a query
            attend to a key. `None` disables masking.
        causal: Boolean. Whether to apply a causal mask; requires `Nq == Nk`
            and `mask=None`.
        dropout: `keras.layers.Dropout` applied to the attention weights, or
            `None`.
        training: Boolean. Whether dropout is active.

    Returns:
        Float tensor `(B, Nq, H * d)`.
    """
    _, heads, query_length, head_dim = query.shape
    kv_heads, key_length = key.shape[1], key.shape[2]
    use_dropout = training and dropout is not None and dropout.rate > 0
    groups = heads // kv_heads
    rows = groups * query_length
    if groups > 1:
        # Query heads that share a key head become one head with more rows.
        query = ops.reshape(query, (-1, kv_heads, rows, head_dim))
        if causal:
            mask, causal = causal_mask(query_length), False
        mask = None if mask is None else ops.tile(mask, (groups, 1))

    def merge_heads(x):
        x = ops.reshape(x, (-1, heads, query_length, head_dim))
        x = ops.transpose(x, (0, 2, 1, 3))  # (B, Nq, H, d)
        return ops.reshape(x, (-1, query_length, heads * head_dim))

    rate = dropout.rate if use_dropout else 0.0
    x = backend.fused_attention(query, key, value, mask, causal, rate)
    if x is not None:
        return merge_heads(x)
    if causal:
        mask = causal_mask(query_length)

    # CPU compilers optimize batched 3D products best.
    query = ops.reshape(query, (-1, rows, head_dim))  # (B * Hkv, rows, d)
    key = ops.reshape(key, (-1, key_length, head_dim))
    value = ops.reshape(value, (-1, key_length, head_dim))

    def weighted_values(query, key, value):
        scores = ops.matmul(query * head_dim**-0.5, ops.swapaxes(key, -1, -2))
        scores = ops.cast(scores, "float32")
        if mask is not None:
            scores = ops.where(mask, scores, -1e30)
        weights = ops.cast(ops.softmax(scores), value.dtype)
        if use_dropout:
            weights = dropout(weights, training=True)
        return ops.matmul(weights, value)  # (B * Hkv, rows, d)

    def attend_head(tensors):
        query, key, value = tensors  # (rows, d), (Nk, d), (Nk, d)
        chunks = ops.reshape(query, (-1, QUERY_CHUNK_SIZE, head_dim))
        return ops.map(lambda chunk: weighted_values(chunk, key, value), chunks)

    use_chunks = (
        rows % QUERY_CHUNK_SIZE == 0
        and rows * key_length >= CHUNKING_THRESHOLD
        and mask is None
        and not training
        and _on_cpu()
    )
    if use_chunks:
        # (B * Hkv, rows / QUERY_CHUNK_SIZE, QUERY_CHUNK_SIZE, d)
        return merge_heads(ops.map(attend_head, (query, key, value)))
    return merge_heads(weighted_values(query, key, value))


# A cache is a pair of keys and values `(B * Hkv, L, d)`. XLA updates a 3D
# tensor in place, but copies one of higher rank at each step.


def grow_cache(cache, length):
    """Pads a cache with zeros to `length` positions."""
    padding = length - cache[0].shape[1]
    if not padding:
        return cache
    return tuple(ops.pad(x, ((0, 0), (0, padding), (0, 0))) for x in cache)


def write_cache(cache, key, value, index):
    """Writes keys and values into a cache.

    Args:
        cache: Pair of float tensors `(B * Hkv, L, d)`. PyTorch updates it in
            place.
        key: Float tensor `(B, Hkv, n, d)`.
        value: Float tensor `(B, Hkv, n, d)`.
        index: Integer scalar. Position of the first of the `n` keys.

    Returns:
        The updated cache, and its keys and values as `(B, Hkv, L, d)`.
    """
    _, heads, length, head_dim = key.shape
    updates = [ops.reshape(x, (-1, length, head_dim)) for x in (key, value)]
    if _is_torch():
        positions = index + ops.arange(length, dtype="int64")
        for x, update in zip(cache, updates, strict=True):
            x.index_copy_(1, positions, update)
    else:
        cache = tuple(
            ops.slice_update(x, (0, index, 0), update)
            for x, update in zip(cache, updates, strict=True)
        )
    shape = (-1, heads, cache[0].shape[1], head_dim)
    return cache, [ops.reshape(x, shape) for x in cache]


def causal_mask(length):
    """Boolean `(length, length)` mask, `True` on and below the diagonal."""
    positions = ops.arange(length)
    return positions[:, None] >= positions[None, :]


def check_heads(hidden_dim, num_heads, num_kv_heads=None):
    """Raises `ValueError` unless the sizes are divisible by the heads."""
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

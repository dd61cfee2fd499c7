from keras import ops


def token_cross_entropy(logits, token_ids):
    """Cross-entropy of token predictions and their top-1 and top-5 accuracy.

    Args:
        logits: float `(..., K)`.
        token_ids: int `(...)`, the true ids.

    Returns:
        Three float32 scalars: the mean cross-entropy in nats, and the shares
        of positions whose true id is the likeliest, or among the five
        likeliest, in [0, 1].

    Example:

    ```python
    loss, top1, top5 = keras_larp.losses.token_cross_entropy(
        keras.random.normal((2, 24, 128)), keras.ops.ones((2, 24), "int32")
    )
    ```
    """
    logits = ops.cast(logits, "float32")
    true_logits = ops.take_along_axis(logits, token_ids[..., None], axis=-1)
    loss = ops.mean(ops.logsumexp(logits, -1) - ops.squeeze(true_logits, -1))
    # The true id is among the k likeliest if fewer than k come before it; of
    # equal logits the first, as everywhere.
    true_ids = ops.cast(token_ids, "int32")[..., None]
    first = ops.arange(logits.shape[-1], dtype="int32") < true_ids
    before = (logits > true_logits) | ((logits == true_logits) & first)
    likelier = ops.sum(ops.cast(before, "int32"), axis=-1)
    top1 = ops.mean(ops.cast(likelier < 1, "float32"))
    top5 = ops.mean(ops.cast(likelier < 5, "float32"))
    return loss, top1, top5

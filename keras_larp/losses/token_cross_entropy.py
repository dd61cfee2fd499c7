from keras import ops

from keras_larp.backend.weighted_mean import token_weights, weighted_mean
from keras_larp.utils.input_checks import (
    check_id_range,
    check_sample_weight,
    check_tensor,
)
from keras_larp.utils.typing import Tensor


def token_cross_entropy(
    logits: Tensor,
    token_ids: Tensor,
    sample_weight: Tensor | None = None,
    token_mask: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Cross-entropy, top-1 and top-5 accuracy of token predictions.

    Args:
        logits: Float tensor `(..., K)`.
        token_ids: Integer tensor `(...)` in [0, K). Target ids.
        sample_weight: Float tensor of the weights along the first axis, which
            multiply the cross-entropy; the accuracies are not weighted.
            Defaults to `None`, equal weights.
        token_mask: float32 tensor `(B, N)` of 0 and 1, for logits
            `(B, N, K)`. Tokens that count; each clip has the same weight,
            however many they are. Defaults to `None`, all of them.

    Returns:
        Tuple of three float32 scalars: the mean cross-entropy in nats, and
        the top-1 and top-5 accuracies in [0, 1].

    Raises:
        ValueError: If a shape or dtype is invalid, or an id is out of range.

    Example:

    ```python
    loss, top1, top5 = keras_larp.losses.token_cross_entropy(
        keras.random.normal((2, 24, 128)), keras.ops.ones((2, 24), "int32")
    )
    ```
    """
    check_tensor("logits", logits, (..., None))
    check_tensor("token_ids", token_ids, tuple(logits.shape[:-1]), "int")
    check_id_range(
        token_ids, "token ids", logits.shape[-1], "token_cross_entropy"
    )
    check_sample_weight(sample_weight, logits.shape[0])
    if token_mask is not None:
        check_tensor("token_mask", token_mask, tuple(logits.shape[:-1]))
    logits = ops.cast(logits, "float32")
    target_logits = ops.take_along_axis(logits, token_ids[..., None], axis=-1)
    losses = ops.logsumexp(logits, -1) - ops.squeeze(target_logits, -1)
    loss = weighted_mean(losses, token_weights(token_mask, sample_weight))
    # The target is in the top k if fewer than k ids rank above it. Ties rank
    # by id, as in `argmax` and `top_k`.
    targets = ops.cast(token_ids, "int32")[..., None]
    lower_id = ops.arange(logits.shape[-1], dtype="int32") < targets
    above = (logits > target_logits) | ((logits == target_logits) & lower_id)
    rank = ops.sum(ops.cast(above, "int32"), axis=-1)
    counts = token_weights(token_mask)
    top1 = weighted_mean(ops.cast(rank < 1, "float32"), counts)
    top5 = weighted_mean(ops.cast(rank < 5, "float32"), counts)
    return loss, top1, top5

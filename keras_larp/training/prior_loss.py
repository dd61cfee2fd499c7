"""The loss of the autoregressive prior, with scheduled sampling."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_larp.backend.clamp import clamp_max
from keras_larp.backend.execution import apply_function
from keras_larp.layers.sampling import draw_from_logits
from keras_larp.losses import token_cross_entropy


def sampling_ratio(
    step: Any, total_steps: Any, max_ratio: float, peak: float
) -> Any:
    """Fraction of the prior's inputs to replace by its own predictions.

    It rises linearly from 0 to `max_ratio`, and then stays there.

    Args:
        step: Scalar, the current step, counted from 1.
        total_steps: Scalar, the number of steps of the run.
        max_ratio: Float. The highest fraction.
        peak: Float. Fraction of the run after which it is reached.

    Returns:
        float32 scalar.

    Reference:
        - [LARP](https://arxiv.org/abs/2410.21264), section 3.3
    """
    step = ops.cast(step, "float32")
    ramp = step / (ops.cast(total_steps, "float32") * peak)
    return clamp_max(ramp, 1.0) * max_ratio


def prior_rounds(
    prior: keras.Model,
    codebook: Any,
    latents: Any,
    num_rounds: int = 1,
    replaced: Any = None,
    draw_uniforms: Callable[[], Any] | None = None,
    gradient_before_last: bool = True,
    temperature: float = 1.0,
    training: bool = False,
) -> tuple[list, Any]:
    """Next-token logits of the prior in rounds of scheduled sampling.

    The input of the first round are the quantized latents. Before each
    further round, the latents at the `replaced` positions are replaced by
    codes that are sampled from the previous round's logits.

    Args:
        prior: The `ARPrior`.
        codebook: float `(K, d)`, which gets no gradient.
        latents: float `(B, N, d)`, quantized.
        num_rounds: Integer. Defaults to 1.
        replaced: Boolean `(B, N - 1)`, for positions 1 to N - 1.
        draw_uniforms: Function without arguments that returns uniform random
            numbers in [0, 1) of shape `(B, N - 1)`; `None` takes the most
            likely tokens.
        gradient_before_last: Boolean. Whether the rounds before the last one
            contribute to the loss. Defaults to `True`.
        temperature: Float. Divides the logits. Defaults to 1.0.
        training: Boolean. Whether to apply the prior's dropout. Defaults to
            `False`.

    Returns:
        List of the logits `(B, N - 1, K)` of each round that contributes to
        the loss, and the inputs of the last round `(B, N, d)`.
    """
    codebook = ops.stop_gradient(codebook)
    inputs, rounds = latents, []
    for i in range(num_rounds):
        is_last = i == num_rounds - 1
        contributes = is_last or gradient_before_last
        x = inputs if contributes else ops.stop_gradient(inputs)
        prediction = prior(x[:, :-1], training=training)  # (B, N - 1, d)
        logits = ops.matmul(prediction, ops.transpose(codebook))
        if temperature != 1.0:
            logits = logits / temperature
        if contributes:
            rounds.append(logits)
        if not is_last:
            detached = ops.stop_gradient(logits)
            if draw_uniforms is None:
                ids = ops.argmax(detached, axis=-1)
            else:
                ids = apply_function(
                    draw_from_logits, detached, draw_uniforms()
                )
            sampled = ops.take(codebook, ids, axis=0)  # (B, N - 1, d)
            rest = ops.where(replaced[..., None], sampled, latents[:, 1:])
            inputs = ops.concatenate([latents[:, :1], rest], axis=1)
    return rounds, inputs


def prior_loss(
    rounds: list,
    token_ids: Any,
    average: bool = True,
    sample_weight: Any = None,
    token_mask: Any = None,
) -> tuple[Any, Any, Any]:
    """Cross-entropy of the rounds, and accuracies of the first one.

    Args:
        rounds: List of logits `(B, N - 1, K)`.
        token_ids: int `(B, N)`.
        average: Boolean. Whether to average the loss over the rounds, or to
            use the last round only. Defaults to `True`.
        sample_weight: float32 `(B,)`. Weights of the clips in the loss.
            Defaults to `None`, equal weights.
        token_mask: float32 `(B, N)` of 0 and 1. Tokens to predict. Defaults
            to `None`, all of them.

    Returns:
        Three float32 scalars: loss, top-1 and top-5 accuracy in [0, 1].
    """
    if not average:
        rounds = rounds[-1:]
    next_ids = token_ids[:, 1:]
    weights = [] if sample_weight is None else [sample_weight]
    if token_mask is not None:
        ones = ops.ones_like(token_mask[:, 0])
        weights = [*(weights or [ones]), token_mask[:, 1:]]
    terms = [
        apply_function(token_cross_entropy, logits, next_ids, *weights)
        for logits in rounds
    ]
    loss = sum(term[0] for term in terms) / len(terms)
    return loss, terms[0][1], terms[0][2]

"""The prior's loss, in rounds of scheduled sampling."""

from keras import ops

from keras_larp.backend.clamp import clamp_max
from keras_larp.backend.execution import apply_function
from keras_larp.layers.sampling import draw_from_logits
from keras_larp.losses import token_cross_entropy


def sampling_ratio(step, total_steps, max_ratio, peak):
    """Share of the prior's inputs that are replaced by its own predictions.

    Args:
        step: Scalar, the current step, from 1.
        total_steps: Scalar, steps of the whole run.
        max_ratio: Float, the share that is reached and then kept.
        peak: Float, part of the run after which it is reached.

    Returns:
        float32 scalar.
    """
    step = ops.cast(step, "float32")
    ramp = step / (ops.cast(total_steps, "float32") * peak)
    return clamp_max(ramp, 1.0) * max_ratio


def prior_rounds(
    prior,
    codebook,
    latents,
    num_rounds=1,
    replaced=None,
    draw_uniforms=None,
    gradient_before_last=True,
    temperature=1.0,
    training=False,
):
    """Next-token logits of the prior in rounds of scheduled sampling.

    The first round sees the true latents. Before each further one the
    latents at the `replaced` positions are drawn from the softmax of the
    round before.

    Args:
        prior: The `ARPrior`.
        codebook: float `(K, d)`; no gradient goes to it.
        latents: float `(B, N, d)`, quantized.
        num_rounds: Integer.
        replaced: Boolean `(B, N - 1)`, of positions 1 to N - 1.
        draw_uniforms: Function without arguments that returns numbers in
            [0, 1) of shape `(B, N - 1)`, one draw a token; `None` for the
            likeliest token.
        gradient_before_last: Boolean, whether rounds before the last count.
        temperature: Float that logits are divided by.
        training: Boolean, whether the prior's dropout acts.

    Returns:
        A list of logits `(B, N - 1, K)`, one a round that counts, and the
        last round's inputs `(B, N, d)`.
    """
    codebook = ops.stop_gradient(codebook)
    inputs, rounds = latents, []
    for number in range(num_rounds):
        last = number == num_rounds - 1
        counts = last or gradient_before_last
        seen = inputs if counts else ops.stop_gradient(inputs)
        prediction = prior(seen[:, :-1], training=training)
        logits = ops.matmul(prediction, ops.transpose(codebook))
        if temperature != 1.0:
            logits = logits / temperature
        if counts:
            rounds.append(logits)
        if not last:
            guess = ops.stop_gradient(logits)
            if draw_uniforms is None:
                ids = ops.argmax(guess, axis=-1)
            else:
                ids = apply_function(draw_from_logits, guess, draw_uniforms())
            drawn = ops.take(codebook, ids, axis=0)  # (B, N - 1, d)
            rest = ops.where(replaced[..., None], drawn, latents[:, 1:])
            inputs = ops.concatenate([latents[:, :1], rest], axis=1)
    return rounds, inputs


def prior_loss(rounds, token_ids, average=True):
    """Cross-entropy of the rounds, and accuracies of the first that counts.

    Args:
        rounds: List of logits `(B, N - 1, K)`.
        token_ids: int `(B, N)`.
        average: Boolean, mean over the rounds or the last one's loss.

    Returns:
        Three float32 scalars: loss, top-1 and top-5 accuracy in [0, 1].
    """
    if not average:
        rounds = rounds[-1:]
    next_ids = token_ids[:, 1:]
    terms = [
        apply_function(token_cross_entropy, logits, next_ids)
        for logits in rounds
    ]
    loss = sum(term[0] for term in terms) / len(terms)
    return loss, terms[0][1], terms[0][2]

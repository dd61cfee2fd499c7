"""Losses of a discriminator and of the generator that it judges."""

from keras import ops

from keras_larp.backend.clamp import clamp_max

ADVERSARIAL_LOSSES = ("non_saturating_smooth", "non_saturating", "hinge")


def discriminator_loss(
    logits_real, logits_fake, kind="non_saturating_smooth", noise=None
):
    """How badly a discriminator tells real clips from generated ones.

    Args:
        logits_real: float `(B, 1)`, of real clips.
        logits_fake: float `(B, 1)`, of generated clips.
        kind: `"non_saturating"` (cross-entropy with 1 and 0), `"hinge"`, or
            `"non_saturating_smooth"`: cross-entropy with targets that are
            moved by `0.15 |noise|`, by 0.3 at most.
        noise: Pair of float tensors like the logits, standard normal; `None`
            leaves the targets where they are.

    Returns:
        float32 scalar.

    Raises:
        ValueError: for an unknown `kind`.

    Example:

    ```python
    real, fake = keras.random.normal((2, 1)), keras.random.normal((2, 1))
    loss = keras_larp.losses.discriminator_loss(real, fake, "hinge")
    ```
    """
    check_kind(kind)
    real, fake = _float32(logits_real), _float32(logits_fake)
    if kind == "hinge":
        return 0.5 * ops.mean(ops.relu(1.0 - real) + ops.relu(1.0 + fake))
    true, false = ops.ones_like(real), ops.zeros_like(fake)
    if kind == "non_saturating_smooth" and noise is not None:
        true = true - clamp_max(0.15 * ops.abs(noise[0]), 0.3)
        false = false + clamp_max(0.15 * ops.abs(noise[1]), 0.3)
    return _cross_entropy(real, true) + _cross_entropy(fake, false)


def adversarial_loss(logits_fake, kind="non_saturating_smooth"):
    """How far generated clips are from being taken for real ones.

    Args:
        logits_fake: float `(B, 1)`, the discriminator's, of generated clips.
        kind: As in `discriminator_loss`.

    Returns:
        float32 scalar: `-mean(log sigmoid(logits))`, or `-mean(logits)` for
        `"hinge"`.

    Raises:
        ValueError: for an unknown `kind`.
    """
    check_kind(kind)
    logits = _float32(logits_fake)
    if kind == "hinge":
        return -ops.mean(logits)
    return ops.mean(ops.softplus(-logits))


def lecam_penalty(logits_real, logits_fake, average_real, average_fake):
    """Keeps a discriminator that saw few clips from being too sure.

    Args:
        logits_real: float `(B, 1)`.
        logits_fake: float `(B, 1)`.
        average_real: Scalar, moving average of the means of `logits_real`.
        average_fake: Scalar, the same of `logits_fake`.

    Returns:
        float32 scalar.

    Reference:
        - [LeCam regularization](https://arxiv.org/abs/2104.03310)
    """
    real = ops.mean(_float32(logits_real))
    fake = ops.mean(_float32(logits_fake))
    return (
        ops.relu(real - average_fake) ** 2 + ops.relu(average_real - fake) ** 2
    )


def check_kind(kind):
    """Raises a `ValueError` for an adversarial loss that is not known."""
    if kind not in ADVERSARIAL_LOSSES:
        raise ValueError(
            "An adversarial loss is one of "
            f"{', '.join(ADVERSARIAL_LOSSES)}. Received: {kind!r}"
        )


def _cross_entropy(logits, targets):
    """Mean binary cross-entropy: softplus(x) - target x."""
    return ops.mean(ops.softplus(logits) - targets * logits)


def _float32(x):
    return ops.cast(x, "float32")

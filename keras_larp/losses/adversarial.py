"""Adversarial losses of the discriminator and of the tokenizer."""

from keras import ops

from keras_larp.backend.clamp import clamp_max
from keras_larp.backend.weighted_mean import weighted_mean
from keras_larp.utils.checks import check_choice, shorten
from keras_larp.utils.input_checks import (
    check_sample_weight,
    check_scalar,
    check_tensor,
)
from keras_larp.utils.typing import Tensor

ADVERSARIAL_LOSSES = ("non_saturating_smooth", "non_saturating", "hinge")


def discriminator_loss(
    logits_real: Tensor,
    logits_fake: Tensor,
    kind: str = "non_saturating_smooth",
    noise: tuple[Tensor, Tensor] | None = None,
    sample_weight: Tensor | None = None,
) -> Tensor:
    """Loss of a discriminator between real and reconstructed clips.

    Args:
        logits_real: Float tensor `(B, 1)`. Logits of real clips.
        logits_fake: Float tensor `(B, 1)`. Logits of reconstructed clips.
        kind: String. `"non_saturating"` (binary cross-entropy with targets 1
            and 0), `"non_saturating_smooth"` (the same with noisy label
            smoothing: targets move towards each other by `0.15 * |noise|`, at
            most 0.3), or `"hinge"`. Defaults to `"non_saturating_smooth"`.
        noise: Pair of standard normal tensors with the shapes of
            `logits_real` and `logits_fake`, for
            `kind="non_saturating_smooth"`. `None` disables the smoothing.
            Defaults to `None`.
        sample_weight: Float tensor `(B,)`. Weights of the clips. Defaults to
            `None`, equal weights.

    Returns:
        float32 scalar.

    Raises:
        ValueError: If `kind` is unknown, or a shape or dtype is invalid.

    Example:

    ```python
    real, fake = keras.random.normal((2, 1)), keras.random.normal((2, 1))
    loss = keras_larp.losses.discriminator_loss(real, fake, "hinge")
    ```

    Reference:
        - [LARP](https://arxiv.org/abs/2410.21264), section 3.1
    """
    check_kind(kind)
    _check_logits(logits_real=logits_real, logits_fake=logits_fake)
    for logits in (logits_real, logits_fake):
        check_sample_weight(sample_weight, logits.shape[0])
    if noise is not None:
        _check_noise(noise, logits_real, logits_fake)
    real, fake = _float32(logits_real), _float32(logits_fake)
    if kind == "hinge":
        losses = ops.relu(1.0 - real) + ops.relu(1.0 + fake)
        return 0.5 * weighted_mean(losses, sample_weight)
    target_real, target_fake = ops.ones_like(real), ops.zeros_like(fake)
    if kind == "non_saturating_smooth" and noise is not None:
        target_real = target_real - clamp_max(0.15 * ops.abs(noise[0]), 0.3)
        target_fake = target_fake + clamp_max(0.15 * ops.abs(noise[1]), 0.3)
    return _cross_entropy(real, target_real, sample_weight) + _cross_entropy(
        fake, target_fake, sample_weight
    )


def adversarial_loss(
    logits_fake: Tensor,
    kind: str = "non_saturating_smooth",
    sample_weight: Tensor | None = None,
) -> Tensor:
    """Adversarial loss of the tokenizer.

    Args:
        logits_fake: Float tensor `(B, 1)`. Discriminator logits of
            reconstructed clips.
        kind: String. See `discriminator_loss`.
        sample_weight: Float tensor `(B,)`. Weights of the clips. Defaults to
            `None`, equal weights.

    Returns:
        float32 scalar: `-mean(log_sigmoid(logits_fake))`, or
        `-mean(logits_fake)` for `"hinge"`.

    Raises:
        ValueError: If `kind` is unknown, or a shape or dtype is invalid.

    Example:

    ```python
    loss = keras_larp.losses.adversarial_loss(keras.random.normal((2, 1)))
    ```

    Reference:
        - [LARP](https://arxiv.org/abs/2410.21264), section 3.1
    """
    check_kind(kind)
    _check_logits(logits_fake=logits_fake)
    check_sample_weight(sample_weight, logits_fake.shape[0])
    logits = _float32(logits_fake)
    if kind == "hinge":
        return -weighted_mean(logits, sample_weight)
    return weighted_mean(ops.softplus(-logits), sample_weight)


def lecam_penalty(
    logits_real: Tensor,
    logits_fake: Tensor,
    average_real: Tensor,
    average_fake: Tensor,
    sample_weight: Tensor | None = None,
) -> Tensor:
    """LeCam regularization of a discriminator that is trained on few clips.

    Penalizes the distance of the mean logits of each kind of clip from the
    moving average of the other kind.

    Args:
        logits_real: Float tensor `(B, 1)`. Logits of real clips.
        logits_fake: Float tensor `(B, 1)`. Logits of reconstructed clips.
        average_real: Scalar. Moving average of the mean of `logits_real`.
        average_fake: Scalar. Moving average of the mean of `logits_fake`.
        sample_weight: Float tensor `(B,)`. Weights of the clips in the means.
            Defaults to `None`, equal weights.

    Returns:
        float32 scalar.

    Example:

    ```python
    real, fake = keras.random.normal((2, 1)), keras.random.normal((2, 1))
    penalty = keras_larp.losses.lecam_penalty(real, fake, 0.5, -0.5)
    ```

    Reference:
        - [LeCam regularization](https://arxiv.org/abs/2104.03310)
    """
    _check_logits(logits_real=logits_real, logits_fake=logits_fake)
    for logits in (logits_real, logits_fake):
        check_sample_weight(sample_weight, logits.shape[0])
    check_scalar("average_real", average_real, "(-inf, inf)")
    check_scalar("average_fake", average_fake, "(-inf, inf)")
    real = weighted_mean(_float32(logits_real), sample_weight, normalize=True)
    fake = weighted_mean(_float32(logits_fake), sample_weight, normalize=True)
    return (
        ops.relu(real - average_fake) ** 2 + ops.relu(average_real - fake) ** 2
    )


def check_kind(kind):
    """Raises `ValueError` if `kind` is not a known adversarial loss."""
    check_choice("kind", kind, ADVERSARIAL_LOSSES)


def _check_noise(noise, logits_real, logits_fake):
    # A pair, or a tensor of both.
    is_pair = isinstance(noise, list | tuple) or hasattr(noise, "shape")
    if not is_pair or len(noise) != 2:
        raise ValueError(
            "`noise` must be a pair of tensors, for real and reconstructed "
            f"clips. Received: noise={shorten(noise)}"
        )
    for x, logits in zip(noise, (logits_real, logits_fake), strict=True):
        check_tensor("noise", x, tuple(logits.shape))


def _check_logits(**logits):
    for name, x in logits.items():
        check_tensor(name, x, (None, 1))


def _cross_entropy(logits, targets, sample_weight):
    """Mean binary cross-entropy, `softplus(logits) - targets * logits`."""
    return weighted_mean(ops.softplus(logits) - targets * logits, sample_weight)


def _float32(x):
    return ops.cast(x, "float32")

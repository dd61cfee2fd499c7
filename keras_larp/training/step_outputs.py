"""The values that a train step passes on."""

import dataclasses
from typing import Any

import keras
from keras import ops

from keras_larp.backend import register_dataclass
from keras_larp.backend.replicas import mean_over_replicas, num_replicas


@register_dataclass
@dataclasses.dataclass(frozen=True)
class DiscriminatorOutputs:
    """Result of a discriminator step; each field is a float32 scalar.

    Attributes:
        discriminator_loss: Loss on real clips and reconstructions.
        lecam_loss: LeCam regularization, unweighted.
        gradient_penalty: R1 penalty, unweighted.
        logits_real: Mean logit of real clips.
        logits_fake: Mean logit of reconstructions.
        due: 1.0 if the discriminator was to be updated at this step.
        updated: 1.0 if it was; 0.0 if its gradients were not finite.
    """

    discriminator_loss: Any
    lecam_loss: Any
    gradient_penalty: Any
    logits_real: Any
    logits_fake: Any
    due: Any
    updated: Any

    # The fields that are logged, as means over the discriminator's updates.
    TERMS = (
        "discriminator_loss",
        "lecam_loss",
        "gradient_penalty",
        "logits_real",
        "logits_fake",
    )

    @classmethod
    def zeros(cls):
        """The outputs of a step at which no discriminator step is due."""
        zero = ops.zeros((), "float32")
        return cls(*[zero for _ in dataclasses.fields(cls)])

    @property
    def terms(self):
        """Dictionary of the logged scalars."""
        return {name: getattr(self, name) for name in self.TERMS}

    def average_over_replicas(self):
        """A copy with the means of the terms over the replicas of a step."""
        _, terms = average_scalars(self.discriminator_loss, self.terms)
        return dataclasses.replace(self, **terms)


@register_dataclass
@dataclasses.dataclass(frozen=True)
class StepOutputs:
    """Everything that a step computes from a batch.

    Attributes:
        loss: Scalar, the total loss.
        terms: Dictionary of scalars to log: unweighted loss terms and
            accuracies.
        input_mean: Scalar, mean of the input clips; not finite if any value
            of them is not.
        video: float32 `(B, T, H, W, C)`, the input clips.
        reconstruction: float32 `(B, T, H, W, C)`, not clipped to [0, 1].
        latents: float32 `(B, N, d)`, normalized input of the quantizer.
        token_ids: int32 `(B, N)`.
        sample_weight: float32 `(B,)`, the weights of the clips in the losses,
            or `None`.
        token_mask: float32 `(B, N)` of 0 and 1, the tokens that token dropout
            kept, or `None`.
        num_clips: Integer or integer scalar, the size of the batch, or of
            this replica's part of it: the weight of the step in means.
        invalid_clips: float32 scalar, the number of clips whose ids or values
            are out of range.
        discriminator: `DiscriminatorOutputs`, if there is a discriminator.
        finite: Boolean scalar, whether loss and gradients are finite, so
            that the optimizer's update was applied.
    """

    loss: Any
    terms: dict
    num_clips: Any = 1
    input_mean: Any = None
    video: Any = None
    reconstruction: Any = None
    latents: Any = None
    token_ids: Any = None
    sample_weight: Any = None
    token_mask: Any = None
    invalid_clips: Any = None
    discriminator: Any = None
    finite: Any = None

    def replace(self, **fields):
        """A copy with other values of some fields."""
        return dataclasses.replace(self, **fields)

    def average_over_replicas(self):
        """A copy with the means of the loss, its terms and `input_mean` over
        the replicas of a step."""
        terms = dict(self.terms)
        if self.input_mean is not None:
            terms["input_mean"] = self.input_mean
        loss, terms = average_scalars(self.loss, terms)
        input_mean = terms.pop("input_mean", None)
        return self.replace(loss=loss, terms=terms, input_mean=input_mean)

    def detach(self):
        """A copy whose tensors do not propagate gradients."""

        def stop(x):
            return None if x is None else ops.stop_gradient(x)

        fields = {
            field.name: keras.tree.map_structure(
                stop, getattr(self, field.name)
            )
            for field in dataclasses.fields(self)
            if field.name not in ("discriminator", "num_clips")
        }
        return self.replace(**fields)


def average_scalars(loss, terms):
    """The means of a loss and of a dictionary of scalars over the replicas of
    a step, in one message. They have no gradient."""
    if num_replicas() == 1:
        return loss, terms
    scalars = [ops.cast(x, "float32") for x in (loss, *terms.values())]
    vector = mean_over_replicas(ops.stop_gradient(ops.stack(scalars)))
    loss, *means = ops.unstack(vector)
    return loss, dict(zip(terms, means, strict=True))

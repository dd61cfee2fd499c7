import keras
from keras import ops

from keras_larp.backend.replicas import global_size, own_rows
from keras_larp.backend.weighted_mean import weighted_mean
from keras_larp.losses.adversarial import (
    adversarial_loss,
    discriminator_loss,
    lecam_penalty,
)
from keras_larp.training.schedules import value_at
from keras_larp.training.step_outputs import DiscriminatorOutputs


class AdversarialTerms:
    """Losses of the tokenizer and of its discriminator, as functions of
    tensors; a part of `TokenizerTraining`."""

    def adversarial_terms(
        self, reconstruction, step, training=True, sample_weight=None
    ):
        """The tokenizer's adversarial loss.

        Args:
            reconstruction: float32 `(B, T, H, W, C)`.
            step: Integer or int32 scalar, the index of the training step, or
                of the next one in an evaluation. Before `adversarial_start`
                the weight of the loss is zero.
            training: Boolean.
            sample_weight: float32 `(B,)`, weights of the clips, or `None`.

        Returns:
            The weighted loss, and a dictionary of the unweighted one.
        """
        logits = self.discriminator(reconstruction)
        loss = adversarial_loss(logits, self.adversarial_loss, sample_weight)
        weight = value_at(
            self.loss_weights["adversarial_loss"], self.num_updates(training)
        )
        if self.adversarial_start:
            has_started = step >= self.adversarial_start
            weight = weight * ops.cast(has_started, "float32")
        return weight * loss, {"adversarial_loss": loss}

    def discriminator_is_due(self, step):
        """Whether to update the discriminator at a training step.

        Args:
            step: Integer or int32 scalar, the index of the step.

        Returns:
            Boolean, of the same kind as `step`.
        """
        is_due = (step + 1) % self.discriminator_every == 0
        return is_due & (step >= self.discriminator_start)

    def discriminator_terms(self, video, reconstruction, sample_weight=None):
        """The discriminator's loss.

        Args:
            video: float32 `(B, T, H, W, C)`, real clips.
            reconstruction: float32 `(B, T, H, W, C)`.
            sample_weight: float32 `(B,)`, weights of the clips, or `None`.

        Returns:
            The weighted sum of the terms, and `DiscriminatorOutputs`.
        """
        outputs = self._discriminator_outputs(
            video, reconstruction, sample_weight, training=True
        )
        loss = (
            outputs.discriminator_loss
            + self.lecam_weight * outputs.lecam_loss
            + self.gradient_penalty_weight * outputs.gradient_penalty
        )
        return loss, outputs

    def _discriminator_outputs(
        self, video, reconstruction, sample_weight=None, training=False
    ):
        both = ops.concatenate([video, reconstruction])
        logits = self.discriminator(both, training=training)
        real, fake = ops.split(logits, 2)
        state, noise = self.training_state, None
        if training and self.adversarial_loss == "non_saturating_smooth":
            shape = (global_size(ops.shape(logits)[0]), 1)
            noise = keras.random.normal(shape, seed=self.seed_generator)
            noise = [own_rows(x) for x in ops.split(noise, 2)]
        gradient_penalty = ops.zeros((), "float32")
        if training and self.gradient_penalty_weight:
            gradient_penalty = self._gradient_penalty(video, sample_weight)
        one = ops.ones((), "float32")
        return DiscriminatorOutputs(
            discriminator_loss=discriminator_loss(
                real, fake, self.adversarial_loss, noise, sample_weight
            ),
            lecam_loss=lecam_penalty(
                real,
                fake,
                state.average_real,
                state.average_fake,
                sample_weight,
            ),
            gradient_penalty=gradient_penalty,
            logits_real=weighted_mean(real, sample_weight, normalize=True),
            logits_fake=weighted_mean(fake, sample_weight, normalize=True),
            due=one,
            updated=one,
        )

    def _gradient_penalty(self, video, sample_weight=None):
        """R1: the squared norm of the gradient of a clip's logit with respect
        to the clip, averaged over the batch."""

        def total(video):
            return ops.sum(self.discriminator(video)), None

        gradient, _ = self.input_gradient(total, video, differentiable=True)
        penalties = ops.sum(gradient**2, axis=(1, 2, 3, 4))  # (B,)
        return weighted_mean(penalties, sample_weight)

    def discriminator_state(self):
        """All variables that a discriminator step changes."""
        state = self.training_state
        return [
            *self.discriminator.variables,
            *self.discriminator_optimizer.variables,
            state.average_real,
            state.average_fake,
            self.seed_generator.state,
        ]

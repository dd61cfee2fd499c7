import keras
from keras import ops

from keras_larp.losses.adversarial import (
    adversarial_loss,
    discriminator_loss,
    lecam_penalty,
)
from keras_larp.training.schedules import value_at

# What is measured of the discriminator, at its own steps only.
DISCRIMINATOR_TERMS = ("discriminator_loss", "lecam_loss", "gradient_penalty")
DISCRIMINATOR_TERMS += ("logits_real", "logits_fake")


class AdversarialTerms:
    """The losses of a tokenizer and of the discriminator that judges it, as
    functions of tensors; a part of `TokenizerTraining`."""

    def adversarial_terms(self, reconstruction, step=None):
        """What the discriminator adds to the loss, weighted, and its terms;
        of a training `step`, counted from 0, or of an evaluation."""
        logits = self.discriminator(reconstruction)
        loss = adversarial_loss(logits, self.adversarial_loss)
        weight = value_at(
            self.loss_weights["adversarial_loss"], self.optimizer.iterations
        )
        if step is not None and self.adversarial_start:
            weight = weight * ops.cast(
                step >= self.adversarial_start, "float32"
            )
        return weight * loss, {"adversarial_loss": loss}

    def discriminator_is_due(self, step):
        """Whether a training step, counted from 0, trains the discriminator.

        A Boolean of the host where the step is a number of the host.
        """
        is_turn = (step + 1) % self.discriminator_every == 0
        return is_turn & (step >= self.discriminator_start)

    def discriminator_terms(self, video, reconstruction):
        """The discriminator's loss on a batch, and its parts."""
        terms = self._judgement(video, reconstruction, training=True)
        loss = (
            terms["discriminator_loss"]
            + self.lecam_weight * terms["lecam_loss"]
            + self.gradient_penalty_weight * terms["gradient_penalty"]
        )
        return loss, terms

    def _judgement(self, video, reconstruction, training=False):
        both = ops.concatenate([video, reconstruction])
        logits = self.discriminator(both, training=training)
        real, fake = ops.split(logits, 2)
        state, noise = self.training_state, None
        if training and self.adversarial_loss == "non_saturating_smooth":
            shape = ops.shape(logits)
            noise = keras.random.normal(shape, seed=self.seed_generator)
            noise = ops.split(noise, 2)
        terms = {
            "discriminator_loss": discriminator_loss(
                real, fake, self.adversarial_loss, noise
            ),
            "lecam_loss": lecam_penalty(
                real, fake, state.average_real, state.average_fake
            ),
            "gradient_penalty": ops.zeros(()),
            "logits_real": ops.mean(real),
            "logits_fake": ops.mean(fake),
        }
        if training and self.gradient_penalty_weight:
            terms["gradient_penalty"] = self._gradient_penalty(video)
        return terms

    def _gradient_penalty(self, video):
        """R1: mean over clips of the squared length of the gradient of the
        discriminator's logit by the clip."""

        def total(video):
            return ops.sum(self.discriminator(video)), None

        gradient, _ = self.input_gradient(total, video, differentiable=True)
        return ops.mean(ops.sum(gradient**2, axis=(1, 2, 3, 4)))

    def discriminator_state(self):
        """All variables that a step of the discriminator changes."""
        state = self.training_state
        return [
            *self.discriminator.variables,
            *self.discriminator_optimizer.variables,
            state.average_real,
            state.average_fake,
            self.seed_generator.state,
        ]

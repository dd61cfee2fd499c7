"""The loss of a tokenizer."""

from keras import ops

from keras_larp.backend.replicas import draw_uniforms, drop_padding
from keras_larp.backend.weighted_mean import weighted_mean
from keras_larp.metrics import moving_pixels
from keras_larp.training.adversarial_terms import AdversarialTerms
from keras_larp.training.prior_loss import (
    prior_loss,
    prior_rounds,
    sampling_ratio,
)
from keras_larp.training.schedules import value_at
from keras_larp.training.step_outputs import StepOutputs
from keras_larp.training.trainable_model import unpack_batch
from keras_larp.utils.input_checks import TOLERANCE

PIXEL_LOSSES = {"l1": ops.abs, "l2": ops.square}


class TokenizerLosses(AdversarialTerms):
    """Loss terms of a `LARPTokenizer`, as functions of tensors."""

    def step_outputs(self, data, training):
        """Computes the loss of a batch and everything that is measured.

        In training, codes are sampled and the prior runs its rounds of
        scheduled sampling; the train step adds the adversarial loss.
        Otherwise the nearest codes are used and the prior is teacher-forced,
        so that nothing is random.

        Args:
            data: A batch of clips, or a pair of clips and labels.
            training: Boolean.

        Returns:
            `StepOutputs`.
        """
        video, _, sample_weight = unpack_batch(data)
        # `train_on_batch` passes NumPy arrays.
        video = ops.convert_to_tensor(video)
        step = self.num_updates(training)
        temperature = None
        if training and self.temperature_schedule is not None:
            temperature = self.temperature_schedule(step)
        codes = self.compute_codes(video, training, temperature, sample_weight)
        codes["sample_weight"] = sample_weight
        reconstruction = ops.cast(
            self.reconstruct(
                codes["quantized"],
                training,
                codes.get("num_kept"),
                video_size=tuple(video.shape[1:4]),
            ),
            "float32",
        )
        video = ops.cast(video, "float32")
        terms = self.loss_terms(video, reconstruction, codes, training)
        terms = {name: ops.cast(t, "float32") for name, t in terms.items()}
        terms = self._reduce_terms(terms, sample_weight)
        loss = sum(
            value_at(weight, step) * terms[name]
            for name, weight in self.loss_weights.items()
            if name in terms
        )
        discriminator = None
        if self.discriminator is not None and not training:
            adversarial_loss, adversarial_terms = self.adversarial_terms(
                reconstruction,
                ops.convert_to_tensor(self.training_state.step),
                training=False,
                sample_weight=sample_weight,
            )
            loss = loss + adversarial_loss
            terms = {**terms, **adversarial_terms}
            discriminator = self._discriminator_outputs(
                video, reconstruction, sample_weight
            ).average_over_replicas()
        return StepOutputs(
            loss=loss,
            terms=terms,
            num_clips=ops.shape(drop_padding(video))[0],
            input_mean=ops.mean(video),
            video=video,
            reconstruction=reconstruction,
            latents=codes["latents"],
            token_ids=codes["token_ids"],
            sample_weight=sample_weight,
            token_mask=codes.get("token_mask"),
            invalid_clips=_count_invalid_clips(video),
            discriminator=discriminator,
        )

    def loss_terms(self, video, reconstruction, codes, training=False):
        """The terms of the loss, unweighted. Override it to add terms.

        Each term is multiplied by its weight and added to the loss, and
        logged under its name. The adversarial loss is not among them: it is
        added by the train step.

        A subclass adds a term to the dictionary that `super()` returns, and
        its weight is passed to `compile(loss_weights=...)`. It can also
        replace a term, such as `terms["pixel_loss"]`. An added term is a
        scalar, or `(B,)` with one value per clip, which training with
        `sample_weight` needs; the built-in terms are scalars, weighted by
        `codes["sample_weight"]`.

        Args:
            video: float32 `(B, T, H, W, C)`, the input clips in [0, 1].
            reconstruction: float32 `(B, T, H, W, C)`, not clipped to [0, 1].
            codes: Dictionary, the outputs of `compute_codes`, with
                `quantized` and `latents`, both `(B, N, d)`, `token_ids`,
                int32 `(B, N)`, and `sample_weight`, float32 `(B,)` or `None`;
                and, if token dropout is active, `num_kept`, int32 `(B,)`, and
                `token_mask`, float32 `(B, N)`.
            training: Boolean. Whether this is a train step. Defaults to
                `False`.

        Returns:
            Dictionary of float32 scalars: `pixel_loss`, `quantizer_loss`,
            `perceptual_loss` with a perceptual model, `prior_loss` with a
            prior; and scalars that are only logged: `commitment_loss`,
            `codebook_loss`, `entropy_loss`, `prior_top1` and `prior_top5`.

        Example:

        ```python
        class MotionTokenizer(keras_larp.models.LARPTokenizer):
            def loss_terms(self, video, reconstruction, codes, training=False):
                terms = super().loss_terms(
                    video, reconstruction, codes, training
                )
                motion = video[:, 1:] - video[:, :-1]
                received = reconstruction[:, 1:] - reconstruction[:, :-1]
                error = keras.ops.abs(received - motion)
                terms["motion_loss"] = keras.ops.mean(error)
                return terms

        tokenizer = MotionTokenizer(num_frames=8, image_size=32)
        tokenizer.compile("adam", loss_weights={"motion_loss": 0.5})
        ```
        """
        sample_weight = codes.get("sample_weight")
        error = PIXEL_LOSSES[self.pixel_loss](reconstruction - video)
        if self.motion_loss_weight:
            error = error * motion_weights(video, self.motion_loss_weight)
        terms = {
            "pixel_loss": weighted_mean(error, sample_weight),
            "quantizer_loss": codes["loss"],
            "commitment_loss": codes["commitment_loss"],
            "codebook_loss": codes["codebook_loss"],
        }
        if self.quantizer.entropy_weight:
            terms["entropy_loss"] = codes["entropy_loss"]
        if self.frozen_model() is not None:
            distances = self.frozen_model()(video, reconstruction)
            terms["perceptual_loss"] = weighted_mean(distances, sample_weight)
        if self.prior is not None:
            loss, top1, top5 = self.prior_terms(codes, training)
            terms["prior_loss"] = loss
            terms["prior_top1"], terms["prior_top5"] = top1, top5
        return terms

    def _reduce_terms(self, terms, sample_weight):
        """Checks the terms of a subclass, and averages those per clip."""
        unweighted = [n for n in terms if n not in self.logged_terms]
        if unweighted:
            raise ValueError(
                "`loss_terms` returned terms without a weight. Pass "
                "`loss_weights` to `compile`, with 0 for a term that is only "
                f"logged. Terms without a weight: {', '.join(unweighted)}"
            )
        missing = [n for n in self.custom_terms if n not in terms]
        if missing:
            raise ValueError(
                "`loss_weights` has weights of terms that `loss_terms` did "
                f"not return: {', '.join(missing)}"
            )
        for name, term in terms.items():
            if len(term.shape) > 1:
                raise ValueError(
                    "Loss terms must be scalars, or have one value per clip. "
                    f"Received: {name} with shape {tuple(term.shape)}"
                )
            is_scalar = not len(term.shape)
            if (
                is_scalar
                and name in self.custom_terms
                and sample_weight is not None
            ):
                raise ValueError(
                    "With `sample_weight` or `class_weight`, `loss_terms` must "
                    "return one value per clip, shape (batch,), for the terms "
                    f"that it adds. Received: {name} with shape ()"
                )
        return {
            name: weighted_mean(term, sample_weight)
            if len(term.shape)
            else term
            for name, term in terms.items()
        }

    def prior_terms(self, codes, training):
        """The prior's loss, top-1 and top-5 accuracy on quantized latents."""
        ratio = 1.0
        if training and self.prior_scheduled_sampling:
            ratio = sampling_ratio(
                ops.convert_to_tensor(self.optimizer.iterations) + 1,
                self.training_state.total_steps,
                self.prior_max_sampling_ratio,
                self.prior_sampling_peak_fraction,
            )
        shape = (ops.shape(codes["quantized"])[0], self.num_tokens - 1)

        def draw():
            return draw_uniforms(shape, self.seed_generator)

        rounds, _ = prior_rounds(
            self.prior,
            self.quantizer.codebook(),
            codes["quantized"],
            num_rounds=self.prior_num_rounds if training else 1,
            replaced=draw() < ratio if training else None,
            draw_uniforms=draw,
            gradient_before_last=self.prior_gradient_all_rounds,
            temperature=self.prior_temperature,
            training=training,
        )
        return prior_loss(
            rounds,
            codes["token_ids"],
            self.prior_average_rounds,
            codes.get("sample_weight"),
            codes.get("token_mask"),
        )


def motion_weights(video, motion_loss_weight):
    """Weights of pixels in the pixel loss, with a mean of 1 in each clip.

    They are normalized per clip, not per batch, so that the loss remains a
    mean over clips, on several devices too.

    Args:
        video: float32 `(B, T, H, W, C)`.
        motion_loss_weight: Float, see `TokenizerTraining.compile`.

    Returns:
        float32 `(B, T, H, W, 1)`.
    """
    moving = ops.cast(moving_pixels(video), "float32")
    weights = 1.0 + motion_loss_weight * moving
    return weights / ops.mean(weights, axis=(1, 2, 3, 4), keepdims=True)


def _count_invalid_clips(video):
    """Number of clips with values outside of [0, 1], or NaN."""
    axes = tuple(range(1, len(video.shape)))
    low, high = ops.min(video, axis=axes), ops.max(video, axis=axes)  # (B,)
    valid = (low >= -TOLERANCE) & (high <= 1.0 + TOLERANCE)
    return ops.sum(1.0 - ops.cast(valid, "float32"))

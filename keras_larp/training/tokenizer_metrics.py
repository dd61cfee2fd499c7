"""The metrics of a tokenizer in training."""

import keras
from keras import ops

from keras_larp.backend.clamp import clamp
from keras_larp.backend.replicas import drop_padding, sum_over_replicas
from keras_larp.metrics import PSNR, SSIM, CodeStatistics, MovingPSNR
from keras_larp.metrics.code_statistics import count_codes
from keras_larp.metrics.mean import Mean
from keras_larp.training.step_outputs import DiscriminatorOutputs


class TokenizerMetrics:
    """Metrics of a `LARPTokenizer`: of its loss terms, reconstructions and
    codes."""

    def make_metrics(self, discriminator):
        """Returns the metrics for `prepare_training`, by name.

        Args:
            discriminator: The discriminator, or `None`.
        """
        names = ["loss", *self.logged_terms]
        names += ["clip_codebook_usage", "batch_codebook_usage"]
        skipped_metric, discriminator_metrics = None, {}
        if discriminator is not None:
            names += ["adversarial_loss"]
            skipped_metric = keras.metrics.Sum("skipped_discriminator_steps")
            # 0, not NaN, before the first update of an epoch.
            discriminator_metrics = {
                name: keras.metrics.Mean(name=name)
                for name in DiscriminatorOutputs.TERMS
                if name != "gradient_penalty" or self.gradient_penalty_weight
            }
        return {
            "term_metrics": {name: Mean(name=name) for name in names},
            "discriminator_metrics": discriminator_metrics,
            "skipped_discriminator_metric": skipped_metric,
            "psnr_metric": PSNR(),
            "moving_psnr_metric": MovingPSNR() if self.num_frames > 1 else None,
            # A frame must be as large as the 11 x 11 filter of SSIM.
            "ssim_metric": SSIM() if self.image_size >= 11 else None,
            "code_metric": CodeStatistics(self.codebook_size),
        }

    @property
    def metrics(self):
        if not self.compiled:
            return []
        metrics = [
            *self.term_metrics.values(),
            *self.discriminator_metrics.values(),
            self.psnr_metric,
            self.moving_psnr_metric,
            self.ssim_metric,
            self.code_metric,
            self.skipped_metric,
            self.invalid_metric,
            self.skipped_discriminator_metric,
        ]
        return [metric for metric in metrics if metric is not None]

    def update_metrics(self, outputs):
        """Updates all metrics with a step.

        Args:
            outputs: The `StepOutputs` of the step.
        """
        ids, mask = outputs.token_ids, outputs.token_mask
        if mask is not None:
            # Dropped tokens use no code that the first token does not use.
            ids = ops.where(mask > 0, ids, ids[:, :1])
            mask = drop_padding(mask)
        usage_by_clip = codebook_usage(ids, self.codebook_size)
        counts = sum_over_replicas(count_codes(ids, self.codebook_size))
        usage = {
            "clip_codebook_usage": ops.mean(usage_by_clip),
            "batch_codebook_usage": ops.mean(ops.cast(counts > 0, "float32")),
        }
        self.update_term_metrics(
            outputs.replace(terms={**outputs.terms, **usage})
        )
        if outputs.discriminator is not None:
            self._update_discriminator_metrics(outputs)
        finite, video = outputs.finite, drop_padding(outputs.video)
        reconstruction = drop_padding(outputs.reconstruction)
        reconstruction = clamp(reconstruction, 0.0, 1.0)
        reconstruction = ops.where(finite, reconstruction, video)
        weight = ops.cast(finite, "float32")
        weight = ops.broadcast_to(weight, ops.shape(video)[:1])
        self.psnr_metric.update_state(video, reconstruction, weight)
        if self.moving_psnr_metric is not None:
            self.moving_psnr_metric.update_state(video, reconstruction, weight)
        if self.ssim_metric is not None:
            self.ssim_metric.update_state(video, reconstruction, weight)
        self.code_metric.update_state(drop_padding(ids), mask)

    def _update_discriminator_metrics(self, outputs):
        due, updated = outputs.discriminator.due, outputs.discriminator.updated
        self.skipped_discriminator_metric.update_state(
            (due - updated) / self.num_replicas
        )
        finite = outputs.finite
        weight = ops.cast(finite, "float32") * updated
        weight = weight * ops.cast(outputs.num_clips, "float32")
        zero = ops.zeros(())
        for name, metric in self.discriminator_metrics.items():
            value = ops.where(finite, outputs.discriminator.terms[name], zero)
            metric.update_state(value, weight)


def codebook_usage(token_ids, codebook_size):
    """Fraction of the codebook that occurs in each row of token ids.

    Args:
        token_ids: int `(R, n)`.
        codebook_size: Integer.

    Returns:
        float32 `(R,)`, in (0, 1].
    """
    ordered = ops.sort(token_ids, axis=1)
    changes = ops.cast(ordered[:, 1:] != ordered[:, :-1], "float32")
    return (1.0 + ops.sum(changes, axis=1)) / codebook_size

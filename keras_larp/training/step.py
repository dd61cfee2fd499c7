"""The order of a train step, independent of the backend."""

from keras import ops

from keras_larp.backend import StepDriver
from keras_larp.training.step_outputs import (
    DiscriminatorOutputs,
    average_scalars,
)
from keras_larp.utils.input_checks import without_value_checks


class TrainStep(StepDriver):
    """Mixin with the train and test step of a model.

    `train_on` shows the order of a train step from top to bottom. The
    backend's `StepDriver` calls it, and adds `differentiate`,
    `input_gradient`, `conditionally`, `apply_if`, `all_finite`,
    `current_step`, `num_replicas` and `metrics_over_replicas`. The model
    defines

    - `step_outputs(data, training)`, which returns `StepOutputs`;
    - `update_metrics(outputs)`;
    - `training_state`, a `TrainingState`;
    - `discriminator`, a model or `None`; and, for a model with one,
      `discriminator_is_due`, `discriminator_terms`, `discriminator_state` and
      `adversarial_terms` (see `AdversarialTerms`).
    """

    @property
    def model_trainable_variables(self):
        """The trainable variables without those of the discriminator."""
        if self.discriminator is None:
            return self.trainable_variables
        excluded = {id(v) for v in self.discriminator.variables}
        return [v for v in self.trainable_variables if id(v) not in excluded]

    @property
    def forward_statistics(self):
        """Variables that the forward pass updates, such as the moving
        averages of a batch normalization. A skipped step restores them."""
        return []

    def after_update(self, outputs):
        """Hook that follows the optimizer's update, which was applied if
        `outputs.finite`."""

    @without_value_checks()
    def train_on(self, data):
        """Runs one train step.

        A step whose loss or gradients are not finite changes nothing but the
        counters of skipped steps.

        Args:
            data: A batch.

        Returns:
            Dictionary of the current results of all metrics.
        """
        variables = self.model_trainable_variables
        old_statistics = [
            ops.copy(ops.convert_to_tensor(s)) for s in self.forward_statistics
        ]

        # 1. Forward pass.
        def forward():
            outputs = self.step_outputs(data, training=True)
            if self.discriminator is None:
                return [outputs.loss], outputs
            return [outputs.loss, outputs.reconstruction], outputs

        _, outputs, vjp = self.differentiate(forward, variables)
        loss_scale = self.optimizer.scale_loss(ops.ones(()))
        cotangents = [loss_scale]

        if self.discriminator is not None:
            # 2. Discriminator update, at the steps where it is due.
            discriminator_outputs = self.conditionally(
                self.discriminator_is_due(self.current_step()),
                lambda: self._discriminator_step(outputs),
                self.discriminator_state(),
                otherwise=DiscriminatorOutputs.zeros(),
            )
            # 3. Adversarial loss against the updated discriminator, and its
            # gradient with respect to the reconstruction. The discriminator
            # itself gets no gradient here.
            outputs, gradient = self._add_adversarial_loss(outputs, loss_scale)
            outputs = outputs.replace(discriminator=discriminator_outputs)
            cotangents.append(gradient)

        # 4. Backward pass.
        gradients = vjp(cotangents)
        outputs = outputs.detach()  # So that metrics record no gradients.
        outputs = outputs.average_over_replicas()

        # 5. Optimizer update, if everything is finite.
        finite = self.all_finite([outputs.loss, *gradients])
        outputs = outputs.replace(finite=finite)
        self.apply_if(finite, self.optimizer, gradients, variables)

        # 6. State that is not trained by gradients, and metrics.
        self._restore_statistics(old_statistics, unless=finite)
        self.after_update(outputs)
        self.training_state.record(outputs)
        self.update_metrics(outputs)
        return super().get_metrics_result()  # Of this replica.

    def _discriminator_step(self, outputs):
        """Updates the discriminator on the clips and their reconstructions.

        If its loss or gradients are not finite, the update is skipped, and
        so is that of the LeCam averages.
        """
        video = outputs.video
        reconstruction = ops.stop_gradient(outputs.reconstruction)
        variables = self.discriminator.trainable_variables
        optimizer = self.discriminator_optimizer

        def forward():
            loss, result = self.discriminator_terms(
                video, reconstruction, outputs.sample_weight
            )
            return [loss], result

        (loss,), result, vjp = self.differentiate(forward, variables)
        gradients = vjp([optimizer.scale_loss(ops.ones(()))])
        loss, terms = average_scalars(ops.stop_gradient(loss), result.terms)
        finite = self.all_finite([loss, *gradients])
        self.apply_if(finite, optimizer, gradients, variables)
        terms = {
            name: ops.where(finite, term, 0.0) for name, term in terms.items()
        }
        self.training_state.update_averages(
            terms["logits_real"], terms["logits_fake"], condition=finite
        )
        return DiscriminatorOutputs(
            **terms,
            due=ops.ones((), "float32"),
            updated=ops.cast(finite, "float32"),
        )

    def _add_adversarial_loss(self, outputs, loss_scale):
        """Adds the adversarial loss to the outputs, and returns its scaled
        gradient with respect to the reconstruction."""

        def adversarial(reconstruction):
            loss, terms = self.adversarial_terms(
                reconstruction,
                self.current_step(),
                sample_weight=outputs.sample_weight,
            )
            return loss_scale * loss, (loss, terms)

        gradient, (loss, terms) = self.input_gradient(
            adversarial, outputs.reconstruction
        )
        outputs = outputs.replace(
            loss=outputs.loss + loss, terms={**outputs.terms, **terms}
        )
        return outputs, gradient

    def _restore_statistics(self, old_statistics, unless):
        pairs = zip(self.forward_statistics, old_statistics, strict=True)
        for statistic, old in pairs:
            new = ops.convert_to_tensor(statistic)
            statistic.assign(ops.where(unless, new, old))

    @without_value_checks()
    def test_on(self, data):
        """Evaluates one batch; changes nothing but the metrics."""
        outputs = self.step_outputs(data, training=False)
        outputs = outputs.average_over_replicas()
        outputs = outputs.replace(finite=ops.isfinite(outputs.loss))
        self.update_metrics(outputs)
        return super().get_metrics_result()

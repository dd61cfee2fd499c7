"""One train step, said once; the drivers differentiate and apply."""

import keras
from keras import ops

from keras_larp.backend import StepDriver


class TrainStep(StepDriver):
    """The order of a train step, for models that define

    - `step_outputs(data, training)`: a scalar loss and a dictionary of
      tensors, with the `reconstruction` where there is a discriminator;
    - `update_metrics(outputs)`;
    - `training_state`, a `TrainingState`;
    - `discriminator`, `None` or a model, and with it `discriminator_terms`,
      `adversarial_terms` and `discriminator_is_due` (see `TokenizerTraining`).

    The driver of the backend adds `differentiate`, `input_gradient`,
    `conditionally`, `apply_if`, `all_finite` and `current_step`.
    """

    @property
    def generator_variables(self):
        """The trainable variables that are not the discriminator's."""
        if self.discriminator is None:
            return self.trainable_variables
        others = {id(v) for v in self.discriminator.variables}
        return [v for v in self.trainable_variables if id(v) not in others]

    @property
    def forward_statistics(self):
        """Variables that the forward pass moves, such as those of a batch
        normalization: a step that is skipped leaves them as they were."""
        return []

    def after_update(self, outputs):
        """What follows the optimizer's update; `outputs["finite"]` tells
        whether that was made."""

    def train_on(self, data):
        """Forward once; then the discriminator's turn, where it is due; then
        one update against it, which leaves it as it is."""
        variables = self.generator_variables
        statistics = self.forward_statistics
        before = [ops.copy(ops.convert_to_tensor(s)) for s in statistics]
        loss, outputs, vjp = self.differentiate(
            lambda: self.step_outputs(data, training=True), variables
        )
        scale = self.optimizer.scale_loss(ops.ones(()))
        adversarial_gradient = None
        if self.discriminator is not None:
            outputs |= self.conditionally(
                self.discriminator_is_due(self.current_step()),
                lambda: self._train_discriminator(outputs),
                self.discriminator_state(),
            )

            def judged(reconstruction):
                added, terms = self.adversarial_terms(
                    reconstruction, self.current_step()
                )
                return scale * added, (added, terms)

            adversarial_gradient, (added, terms) = self.input_gradient(
                judged, outputs["reconstruction"]
            )
            outputs |= {**terms, "loss": loss + added}
        gradients = vjp(scale, adversarial_gradient)
        # What is measured is not differentiated: PyTorch would record it.
        outputs = keras.tree.map_structure(ops.stop_gradient, outputs)
        outputs["finite"] = self.all_finite([outputs["loss"], *gradients])
        self.apply_if(outputs["finite"], self.optimizer, gradients, variables)
        for statistic, old in zip(statistics, before, strict=True):
            new = ops.convert_to_tensor(statistic)
            statistic.assign(ops.where(outputs["finite"], new, old))
        self.after_update(outputs)
        self.training_state.record(outputs)
        self.update_metrics(outputs)
        return self.get_metrics_result()

    def _train_discriminator(self, outputs):
        """One update of the discriminator, on the detached reconstruction;
        none, with averages as they were, where it is not finite.

        Returns:
            A dictionary of scalars.
        """
        variables = self.discriminator.trainable_variables
        optimizer = self.discriminator_optimizer
        loss, terms, vjp = self.differentiate(
            lambda: self.discriminator_terms(
                outputs["video"], ops.stop_gradient(outputs["reconstruction"])
            ),
            variables,
        )
        gradients = vjp(optimizer.scale_loss(ops.ones(())))
        finite = self.all_finite([loss, *gradients])
        self.apply_if(finite, optimizer, gradients, variables)
        terms = {
            name: ops.where(finite, ops.stop_gradient(term), 0.0)
            for name, term in terms.items()
        }
        self.training_state.move_averages(
            terms["logits_real"], terms["logits_fake"], finite
        )
        return {
            **terms,
            "discriminator_turns": ops.ones(()),
            "discriminator_updates": ops.cast(finite, "float32"),
        }

    def test_on(self, data):
        _, outputs = self.step_outputs(data, training=False)
        outputs["finite"] = ops.isfinite(outputs["loss"])
        self.update_metrics(outputs)
        return self.get_metrics_result()

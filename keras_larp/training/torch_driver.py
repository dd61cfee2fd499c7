"""Differentiating and applying on PyTorch: `backward`."""

import torch


class TrainStep:
    """One eager train step; see `keras_larp.training`."""

    def train_step(self, data):
        self.zero_grad()
        loss, outputs = self.step_outputs(data, training=True)
        self.optimizer.scale_loss(loss).backward()
        with torch.no_grad():
            weights = self.trainable_weights
            self.optimizer.apply([w.value.grad for w in weights], weights)
            self.update_metrics(outputs)
        return self.get_metrics_result()

    def test_step(self, data):
        with torch.no_grad():
            _, outputs = self.step_outputs(data, training=False)
            self.update_metrics(outputs)
        return self.get_metrics_result()


def compile_function(model, function):
    """`function` without gradients; PyTorch runs it eagerly."""
    return torch.no_grad()(function)

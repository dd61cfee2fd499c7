"""Differentiating and applying on JAX: pure functions of explicit state."""

import jax
import keras


class TrainStep:
    """One jitted, stateless train step; see `keras_larp.training`."""

    def train_step(self, state, data):
        trainable, non_trainable, optimizer_state, metrics_state = state

        def loss_function(trainable):
            scope = _scope(
                (self.trainable_variables, trainable),
                (self.non_trainable_variables, non_trainable),
                (self.optimizer.variables, optimizer_state),
            )
            with scope:
                loss, outputs = self.step_outputs(data, training=True)
                scaled = self.optimizer.scale_loss(loss)
            new = _values(scope, self.non_trainable_variables)
            return scaled, (outputs, new)

        grads, (outputs, non_trainable) = jax.grad(loss_function, has_aux=True)(
            trainable
        )
        trainable, optimizer_state = self.optimizer.stateless_apply(
            optimizer_state, grads, trainable
        )
        logs, metrics_state = self._measure(metrics_state, outputs)
        state = (trainable, non_trainable, optimizer_state, metrics_state)
        return logs, state

    def test_step(self, state, data):
        trainable, non_trainable, metrics_state = state
        scope = _scope(
            (self.trainable_variables, trainable),
            (self.non_trainable_variables, non_trainable),
        )
        with scope:
            _, outputs = self.step_outputs(data, training=False)
        non_trainable = _values(scope, self.non_trainable_variables)
        logs, metrics_state = self._measure(metrics_state, outputs)
        return logs, (trainable, non_trainable, metrics_state)

    def _measure(self, metrics_state, outputs):
        scope = _scope((self.metrics_variables, metrics_state))
        with scope:
            self.update_metrics(outputs)
            logs = self.get_metrics_result()
        return logs, _values(scope, self.metrics_variables)


def compile_function(model, function):
    """A jitted `function` of tensors that reads the model's variables."""

    @jax.jit
    def stateless(values, *args):
        with _scope((model.variables, values)):
            return function(*args)

    def compiled(*args):
        return stateless([v.value for v in model.variables], *args)

    return compiled


def _scope(*pairs):
    mapping = [
        p for refs, values in pairs for p in zip(refs, values, strict=True)
    ]
    return keras.StatelessScope(state_mapping=mapping)


def _values(scope, variables):
    return [scope.get_current_value(v) for v in variables]

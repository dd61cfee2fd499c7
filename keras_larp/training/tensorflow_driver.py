"""Differentiating and applying on TensorFlow: a gradient tape."""

import tensorflow as tf


class TrainStep:
    """One train step inside Keras' `tf.function`; see `keras_larp.training`."""

    def train_step(self, data):
        with tf.GradientTape() as tape:
            loss, outputs = self.step_outputs(data, training=True)
            loss = self.optimizer.scale_loss(loss)
        gradients = tape.gradient(loss, self.trainable_weights)
        self.optimizer.apply(gradients, self.trainable_weights)
        self.update_metrics(outputs)
        return self.get_metrics_result()

    def test_step(self, data):
        _, outputs = self.step_outputs(data, training=False)
        self.update_metrics(outputs)
        return self.get_metrics_result()


def compile_function(model, function):
    """A graph of `function`; variables are found by TensorFlow itself."""
    return tf.function(function, reduce_retracing=False)

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_larp")
class Mean(keras.metrics.Mean):
    """Mean of values; NaN without values, where Keras' mean is 0.

    So an epoch in which all steps were skipped does not look like the best.
    """

    def result(self):
        count = ops.convert_to_tensor(self.count)
        return ops.where(count > 0, super().result(), float("nan"))

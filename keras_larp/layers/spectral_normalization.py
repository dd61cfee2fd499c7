from keras import layers, ops


class SpectralNormalization(layers.SpectralNormalization):
    """`keras.layers.SpectralNormalization` with equal gradients per backend.

    The Keras layer assigns the normalized kernel to the variable. On
    TensorFlow and PyTorch the gradient is therefore taken with respect to the
    normalized kernel; on JAX it would also flow through the normalization.
    This class stops it there. Under mixed precision the kernel is normalized
    in float32, the dtype in which it is stored.

    Args:
        layer: Layer whose `kernel` is normalized.
    """

    def __init__(self, layer, **kwargs):
        super().__init__(layer, **{"dtype": layer.dtype_policy, **kwargs})
        # Autocasting would round the stored kernel to half precision at each
        # step.
        self.autocast = False

    def normalized_weights(self):
        vector_u, kernel = super().normalized_weights()
        change = ops.stop_gradient(kernel - self.kernel)
        return vector_u, self.kernel + change

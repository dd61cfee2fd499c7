from keras import layers, ops


class SpectralNormalization(layers.SpectralNormalization):
    """Keras' layer, with the same gradient on every backend.

    It assigns the normalized kernel and computes with that, so that on
    TensorFlow and PyTorch gradients are those by the normalized kernel. On JAX
    they would go on through the normalization. Under mixed precision the kernel
    is normalized as it is stored, in float32.
    """

    def __init__(self, layer, **kwargs):
        super().__init__(layer, **{"dtype": layer.dtype_policy, **kwargs})
        # What is assigned would be rounded to half precision at each step.
        self.autocast = False

    def normalized_weights(self):
        vector_u, kernel = super().normalized_weights()
        change = ops.stop_gradient(kernel - self.kernel)
        return vector_u, self.kernel + change

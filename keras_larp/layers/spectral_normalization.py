from keras import layers, ops


class SpectralNormalization(layers.SpectralNormalization):
    """Keras' layer, with the same gradient on every backend.

    It assigns the normalized kernel and computes with that, so that on
    TensorFlow and PyTorch gradients are those by the normalized kernel. On JAX
    they would go on through the normalization.
    """

    def normalized_weights(self):
        vector_u, kernel = super().normalized_weights()
        change = ops.stop_gradient(kernel - self.kernel)
        return vector_u, self.kernel + change

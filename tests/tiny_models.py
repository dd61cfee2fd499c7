"""Models that train within a second, and clips for them."""

import keras
import numpy as np

from keras_larp import models


def tiny_tokenizer(**kwargs):
    options = {
        "num_frames": 4,
        "image_size": 16,
        "patch_size": (2, 8, 8),
        "num_tokens": 6,
        "codebook_size": 32,
        "code_dim": 4,
        "hidden_dim": 16,
        "num_heads": 2,
        "encoder_num_layers": 1,
        "decoder_num_layers": 1,
        "prior": {"num_layers": 1, "num_heads": 2, "hidden_dim": 16},
    }
    return models.LARPTokenizer(**{**options, **kwargs})


def tiny_generator(**kwargs):
    options = {
        "vocab_size": 32,
        "num_tokens": 6,
        "num_classes": 3,
        "hidden_dim": 16,
        "num_layers": 1,
        "num_heads": 2,
        "mlp_dim": 32,
    }
    return models.ARVideoGenerator(**{**options, **kwargs})


def random_generator(**kwargs):
    """A generator whose logits depend on all preceding tokens."""
    keras.utils.set_random_seed(1)
    model = tiny_generator(num_layers=2, **kwargs)
    random = np.random.default_rng(2)
    for weight in model.trainable_variables:
        weight.assign(0.3 * random.standard_normal(weight.shape, "float32"))
    return model


def tiny_discriminator(**kwargs):
    options = {
        "num_frames": 4,
        "image_size": 16,
        "patch_size": (2, 8, 8),
        "hidden_dim": 16,
        "num_layers": 1,
        "num_heads": 2,
    }
    return models.VideoDiscriminator(**{**options, **kwargs})


def write_tiny_presets(folder):
    """Writes the presets `tokenizer`, `generator` and `frames` (for frame
    prediction), and returns the tokenizer."""
    keras.utils.set_random_seed(0)
    tokenizer = tiny_tokenizer()
    # The kernel is initialized to zero, which decodes to gray clips.
    kernel = tokenizer.decoder.pixels.kernel
    kernel.assign(np.random.default_rng(0).normal(size=kernel.shape))
    tokenizer.save_to_preset(folder / "tokenizer")
    tiny_generator(num_classes=12).save_to_preset(folder / "generator")
    tiny_generator(
        conditioning="frames", num_condition_frames=2
    ).save_to_preset(folder / "frames")
    return tokenizer


def write_torchscript_i3d(path):
    """Writes a TorchScript stand-in for I3D that returns the mean color."""
    import torch

    class MeanColors(torch.nn.Module):
        def forward(
            self, x, rescale: bool, resize: bool, return_features: bool
        ):
            return x.mean((2, 3, 4))

    torch.jit.save(torch.jit.script(MeanColors()), str(path))
    return path


def clips(count=4):
    return np.random.default_rng(0).random((count, 4, 16, 16, 3), "float32")


def gradient(function, x):
    """Gradient of a scalar function of one array, as an array."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return np.asarray(jax.grad(function)(x))
    x = keras.ops.convert_to_tensor(x)
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(x)
            result = function(x)
        dx = tape.gradient(result, x)
        return np.zeros(x.shape) if dx is None else dx.numpy()
    x.requires_grad_(True)
    function(x).backward()
    return np.zeros(x.shape) if x.grad is None else x.grad.numpy()

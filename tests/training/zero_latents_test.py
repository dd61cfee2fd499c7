"""Gradients of normalizations stay bounded for vectors close to zero."""

import keras
import numpy as np
import pytest
from keras import ops
from tiny_models import clips, gradient, tiny_tokenizer

from keras_larp.backend.weighted_mean import weighted_mean
from keras_larp.layers.vector_quantizer import unit_length
from keras_larp.losses import lecam_penalty
from keras_larp.metrics import psnr, ssim
from keras_larp.models import lpips

NORMALIZATIONS = {
    "layer": lambda dtype: keras.layers.LayerNormalization(
        epsilon=1e-6, dtype=dtype
    ),
    "rms": lambda dtype: keras.layers.RMSNormalization(
        epsilon=1e-5, dtype=dtype
    ),
    "codes": lambda dtype: unit_length,
    "features": lambda dtype: lpips._unit_length,
    "lecam": lambda dtype: (
        lambda x: lecam_penalty(
            ops.reshape(x, (-1, 1)), ops.reshape(x, (-1, 1)), 0.0, 0.0
        )
    ),
    "weights": lambda dtype: (
        lambda x: weighted_mean(x, ops.zeros((2,)), normalize=True)
    ),
    "psnr": lambda dtype: lambda x: psnr(x, 0.0 * x),
    "ssim": lambda dtype: lambda x: ssim(x, 0.0 * x),
}


@pytest.mark.parametrize(
    "normalize", [unit_length, lpips._unit_length], ids=["codes", "features"]
)
@pytest.mark.parametrize("norm", [0.0, 1e-30, 1e-12, 1e-6, 1e-4, 1e-2, 1.0])
def test_gradients_of_unit_vectors_are_bounded(normalize, norm):
    direction = np.array([0.6, 0.0, 0.8], "float32")
    x = np.float32(norm) * direction[None]

    def first_component(x):
        return ops.sum(normalize(x)[:, 1])

    received = gradient(first_component, x)
    assert np.abs(received).max() <= 1e3
    if norm >= 1e-2:
        np.testing.assert_allclose(received[0, 1], 1.0 / norm, rtol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "mixed_float16"])
@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_gradients_at_zero_are_bounded(name, dtype):
    normalize = NORMALIZATIONS[name](dtype)
    zeros = np.zeros((2, 16, 16, 3), "float32")
    normalize(ops.convert_to_tensor(zeros))  # Builds layers.

    def first_component(x):
        y = normalize(ops.cast(x, dtype.removeprefix("mixed_")))
        y = y[..., :1] if len(y.shape) else y
        return ops.sum(ops.cast(y, "float32"))

    received = gradient(first_component, zeros)
    assert np.abs(received).max() <= 1e3


@pytest.mark.parametrize("dtype", ["float32", "mixed_float16"])
@pytest.mark.parametrize("num_clips", [1, 2])
def test_equal_clips_train_through_a_batch_normalization(num_clips, dtype):
    model = tiny_tokenizer(
        latent_norm="batch_joint", prior=None, seed=0, dtype=dtype
    )
    model.compile(keras.optimizers.Adam(1e-3))
    video = np.repeat(clips(1), num_clips, axis=0)
    logs = {}
    for _ in range(4):
        logs = model.train_on_batch(video, return_dict=True)
        assert np.isfinite(logs["loss"])
    assert ops.convert_to_numpy(model.training_state.skipped) == 0
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    moments = [
        np.abs(ops.convert_to_numpy(v)).max()
        for v in optimizer.main_optimizer.variables
        if "velocity" in v.path
    ]
    assert moments and max(moments) < 1e3

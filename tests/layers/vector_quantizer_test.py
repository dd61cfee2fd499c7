import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops
from tiny_models import gradient

from keras_larp import layers


def numpy(x):
    return ops.convert_to_numpy(x)


def latents(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


@settings(max_examples=6, deadline=None)
@given(
    codebook_size=st.integers(2, 300),
    code_dim=st.integers(1, 9),
    num_tokens=st.integers(1, 5),
    normalize=st.booleans(),
)
def test_selects_the_nearest_code(
    codebook_size, code_dim, num_tokens, normalize
):
    layer = layers.VectorQuantizer(
        codebook_size, code_dim, normalize=normalize, stochastic=normalize
    )
    z = latents(2, num_tokens, code_dim)
    out = layer(z)
    codes = numpy(layer.codebook())
    if normalize:
        z = z / np.linalg.norm(z, axis=-1, keepdims=True)
    distances = ((z[..., None, :] - codes) ** 2).sum(-1)
    selected = np.take_along_axis(
        distances, numpy(out["token_ids"])[..., None], axis=-1
    )[..., 0]
    np.testing.assert_allclose(selected, distances.min(-1), atol=1e-5)
    np.testing.assert_allclose(
        numpy(out["quantized"]), codes[numpy(out["token_ids"])], atol=1e-5
    )


def test_straight_through_gradient():
    layer = layers.VectorQuantizer(8, 4, normalize=False, stochastic=False)
    z = latents(1, 3, 4)
    layer(z)
    weights = latents(1, 3, 4)[:, ::-1].copy()
    factor = ops.convert_to_tensor(weights)
    received = gradient(lambda x: ops.sum(layer(x)["quantized"] * factor), z)
    np.testing.assert_allclose(received, weights, rtol=1e-5)


def test_codebook_loss_has_no_gradient_for_latents():
    layer = layers.VectorQuantizer(8, 4, normalize=False, stochastic=False)
    z = latents(1, 3, 4)
    layer(z)
    received = gradient(lambda x: layer(x)["codebook_loss"], z)
    np.testing.assert_array_equal(received, 0.0)
    received = gradient(lambda x: layer(x)["commitment_loss"], z)
    assert np.abs(received).max() > 0


def test_temperature_controls_sampling_in_training():
    layer = layers.VectorQuantizer(16, 4, temperature=0.5, seed=0)
    z = latents(4, 64, 4)
    nearest = numpy(layer(z)["token_ids"])
    sampled = numpy(layer(z, training=True)["token_ids"])
    assert (nearest != sampled).mean() > 0.2
    cold = numpy(layer(z, training=True, temperature=1e-4)["token_ids"])
    assert (nearest == cold).mean() > 0.99


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_computes_in_float32_under_mixed_precision(dtype):
    layer = layers.VectorQuantizer(16, 4, dtype=dtype)
    out = layer(ops.cast(latents(1, 3, 4), layer.compute_dtype))
    assert keras.backend.standardize_dtype(out["quantized"].dtype) == "float32"
    assert keras.backend.standardize_dtype(layer.embeddings.dtype) == "float32"


def test_entropy_loss_is_lowest_for_confident_and_diverse_codes():
    layer = layers.VectorQuantizer(
        2, 2, entropy_weight=1.0, entropy_temperature=0.1
    )
    layer.build()
    layer.embeddings.assign([[1.0, 0.0], [-1.0, 0.0]])
    diverse = np.array([[[1.0, 0.0], [-1.0, 0.0]]], "float32")
    collapsed = np.array([[[1.0, 0.0], [1.0, 0.0]]], "float32")
    uncertain = np.array([[[0.0, 1.0], [0.0, -1.0]]], "float32")
    losses = [
        float(numpy(layer(z)["entropy_loss"]))
        for z in (diverse, collapsed, uncertain)
    ]
    np.testing.assert_allclose(losses, [-np.log(2), 0, 0], atol=1e-3)


@pytest.mark.parametrize(
    "options",
    [
        {"codebook_size": 1},
        {"code_dim": 0},
        {"normalize": False},
    ],
)
def test_invalid_arguments_raise(options):
    with pytest.raises(ValueError, match="Received"):
        layers.VectorQuantizer(**{"codebook_size": 8, "code_dim": 4, **options})

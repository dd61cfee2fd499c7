"""Blocks, embedding, encoder, decoder: shapes, saving, dtype policies."""

import json

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops
from tiny_models import gradient

from keras_larp import layers
from keras_larp.layers import attention
from keras_larp.layers.patches import patchify, unpatchify

# Layer and input shape, including the batch.
CASES = {
    "embedding": (
        lambda **k: layers.VideoPatchEmbedding((4, 8, 8), (2, 4, 4), 16, **k),
        (2, 4, 8, 8, 3),
    ),
    "encoder": (
        lambda **k: layers.HolisticQueryEncoder(5, 16, 2, 2, **k),
        (2, 7, 16),
    ),
    "decoder": (
        lambda **k: layers.PatchQueryDecoder(
            5, (4, 8, 8), (2, 4, 4), 16, 2, 2, **k
        ),
        (2, 5, 16),
    ),
    "block": (lambda **k: layers.TransformerBlock(16, 2, **k), (2, 7, 16)),
    "causal": (
        lambda **k: layers.CausalTransformerBlock(16, 4, 2, **k),
        (2, 7, 16),
    ),
}
cases = pytest.mark.parametrize("name", CASES)


def inputs(shape):
    return np.random.default_rng(0).random(shape, "float32")


def numpy(x):
    return ops.convert_to_numpy(x)


@cases
def test_config_is_json_serializable(name):
    make, shape = CASES[name]
    layer, x = make(), inputs(shape)
    expected = numpy(layer(x))
    config = json.loads(json.dumps(layer.get_config()))
    twin = type(layer).from_config(config)
    twin(x)
    twin.set_weights(layer.get_weights())
    np.testing.assert_allclose(numpy(twin(x)), expected, atol=1e-6)


@cases
def test_works_in_a_functional_model(name):
    make, shape = CASES[name]
    symbolic_input = keras.Input(shape[1:])
    layer = make()
    model = keras.Model(symbolic_input, layer(symbolic_input))
    x = inputs(shape)
    assert model.output_shape == (None, *numpy(layer(x)).shape[1:])
    expected = numpy(layer(x))
    received = model.predict(x, verbose=0)
    np.testing.assert_allclose(received, expected, rtol=1e-4, atol=1e-5)


@cases
@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_is_close_to_float32(name, dtype):
    make, shape = CASES[name]
    x = inputs(shape)
    exact, layer = make(), make(dtype=dtype)
    expected = numpy(exact(x))
    received = layer(x)
    layer.set_weights(exact.get_weights())
    received = layer(x)
    assert keras.backend.standardize_dtype(received.dtype) == dtype[6:]
    received = numpy(ops.cast(received, "float32"))
    np.testing.assert_allclose(received, expected, atol=0.1)


def test_causal_block_does_not_attend_to_later_tokens():
    make, shape = CASES["causal"]
    block, x = make(), inputs(shape)
    changed = x.copy()
    changed[:, 4:] += 1.0
    first, second = numpy(block(x)), numpy(block(changed))
    np.testing.assert_allclose(first[:, :4], second[:, :4], atol=1e-5)
    assert np.abs(first[:, 4:] - second[:, 4:]).max() > 1e-3


def test_cached_steps_match_a_single_pass():
    make, shape = CASES["causal"]
    block, x = make(), inputs(shape)
    expected = numpy(block(x))
    cache = block.empty_cache(2, 7)
    output, cache = block(x[:, :3], cache=cache, index=0)
    outputs = [output]
    for i in range(3, 7):
        output, cache = block(x[:, i : i + 1], cache=cache, index=i)
        outputs.append(output)
    received = np.concatenate([numpy(y) for y in outputs], axis=1)
    np.testing.assert_allclose(received, expected, rtol=1e-4, atol=1e-5)


def test_chunked_attention_matches_attention(monkeypatch):
    query, key, value = (
        ops.convert_to_tensor(inputs((2, 3, 8, 4)) + 0.1 * i) for i in range(3)
    )

    def squares(query):
        return ops.sum(attention.attend(query, key, value) ** 2)

    expected = numpy(attention.attend(query, key, value))
    expected_gradient = gradient(squares, query)
    monkeypatch.setattr(attention, "CHUNKING_THRESHOLD", 64)
    monkeypatch.setattr(attention, "QUERY_CHUNK_SIZE", 2)
    received = numpy(attention.attend(query, key, value))
    np.testing.assert_allclose(received, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        gradient(squares, query), expected_gradient, rtol=1e-4, atol=1e-6
    )


def test_num_outputs_matches_the_last_outputs():
    block, x = CASES["block"][0](), inputs((2, 7, 16))
    expected = numpy(block(x))[:, 4:]
    received = numpy(block(x, num_outputs=3))
    np.testing.assert_allclose(received, expected, rtol=1e-4, atol=1e-5)


@settings(max_examples=20, deadline=None)
@given(
    grid=st.tuples(*[st.integers(1, 3)] * 3),
    patch=st.tuples(*[st.integers(1, 3)] * 3),
    channels=st.integers(1, 3),
)
def test_unpatchify_inverts_patchify(grid, patch, channels):
    sizes = [g * p for g, p in zip(grid, patch, strict=True)]
    video = inputs((2, *sizes, channels))
    patches = patchify(ops.convert_to_tensor(video), patch)
    assert patches.shape == (2, np.prod(grid), np.prod(patch) * channels)
    np.testing.assert_array_equal(
        numpy(unpatchify(patches, grid, patch)), video
    )


def test_patches_are_ordered_by_time_row_column():
    video = np.arange(16.0).reshape(1, 2, 2, 4, 1)
    patches = numpy(patchify(ops.convert_to_tensor(video), (1, 2, 2)))
    np.testing.assert_array_equal(
        patches[0],
        [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]],
    )


@pytest.mark.parametrize(
    "make",
    [
        lambda: layers.TransformerBlock(16, 3),
        lambda: layers.CausalTransformerBlock(16, 4, 3),
        lambda: layers.VideoPatchEmbedding((4, 8, 8), (3, 4, 4), 16),
        lambda: layers.PatchQueryDecoder(5, (4, 8, 9), (2, 4, 4), 16, 1, 2),
        lambda: layers.sincos_1d(4, 5),
        lambda: layers.sincos_3d((1, 2, 2), 6),
    ],
)
def test_incompatible_sizes_raise(make):
    with pytest.raises(ValueError, match="Received"):
        make()


def test_dropout_is_active_in_training_only():
    block = layers.TransformerBlock(16, 2, dropout=0.5)
    x = inputs((2, 7, 16))
    np.testing.assert_array_equal(numpy(block(x)), numpy(block(x)))
    first = numpy(block(x, training=True))
    assert (first != numpy(block(x, training=True))).any()


def test_stochastic_depth_skips_branches_per_sample():
    keras.utils.set_random_seed(0)
    block = layers.CausalTransformerBlock(16, 2, drop_path=0.5)
    block.build((None, 3, 16))
    x = inputs((400, 3, 16))
    for layer in (block.projection, block.mlp_out):
        layer.kernel.assign(100.0 * layer.kernel)
    y, full = numpy(block(x, training=True)), numpy(block(x))
    # Both branches are skipped for a quarter of the samples. Kept branches
    # are scaled by 2.
    unchanged = np.all(y == x, axis=(1, 2))
    assert 70 < np.sum(unchanged) < 130
    assert not np.any(np.all(full == x, axis=(1, 2)))
    assert not np.any(np.all(np.isclose(y, full), axis=(1, 2)))


jax_cudnn = pytest.mark.skipif(
    keras.backend.backend() != "jax", reason="cuDNN attention of JAX"
)


@jax_cudnn
@pytest.mark.parametrize(
    ("queries", "keys", "causal"),
    [(5, 5, False), (1, 5, False), (5, 5, True), (4, 6, False), (3, 8, False)],
)
def test_attention_padded_for_cudnn_matches_attention(
    queries, keys, causal, monkeypatch
):
    from keras_larp.backend import jax_driver

    lengths = (queries, keys, keys)
    query, key, value = (
        ops.convert_to_tensor(inputs((2, 3, length, 8)) + 0.1 * i)
        for i, length in enumerate(lengths)
    )

    def squares(query):
        return ops.sum(attention.attend(query, key, value, causal=causal) ** 2)

    expected = numpy(attention.attend(query, key, value, causal=causal))
    expected_gradient = gradient(squares, query)
    calls = []
    monkeypatch.setattr(
        jax_driver, "_cudnn_supports", lambda query: calls.append(1) or True
    )
    # The same call on CPU.
    monkeypatch.setattr(jax_driver, "FUSED_ATTENTION", "xla")
    received = numpy(attention.attend(query, key, value, causal=causal))
    np.testing.assert_allclose(received, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        gradient(squares, query), expected_gradient, rtol=1e-4, atol=1e-5
    )
    assert calls


@jax_cudnn
def test_second_derivatives_do_not_use_fused_attention(monkeypatch):
    from keras_larp.backend import jax_driver

    x = ops.convert_to_tensor(inputs((2, 3, 4, 8)))
    step = jax_driver.StepDriver()

    def total(x):
        return ops.sum(attention.attend(x, x, x)), None

    expected, _ = step.input_gradient(total, x)
    monkeypatch.setattr(jax_driver, "_cudnn_supports", lambda query: True)
    monkeypatch.setattr(jax_driver, "FUSED_ATTENTION", "none such")
    received, _ = step.input_gradient(total, x, differentiable=True)
    np.testing.assert_allclose(numpy(received), numpy(expected), rtol=1e-6)
    with pytest.raises(ValueError, match="none such"):
        step.input_gradient(total, x)

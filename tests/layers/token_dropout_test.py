import keras
import numpy as np
import pytest
from keras import ops

from keras_larp import layers, losses, metrics
from keras_larp.layers import TokenDropout

MASK = np.array([[1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 1, 1]], "float32")


def draw(count=2000, **options):
    layer = TokenDropout(32, code_dim=4, seed=0, **options)
    return ops.convert_to_numpy(layer.draw(count))


def test_some_clips_keep_all_tokens():
    kept = draw(rate=0.25)
    assert kept.dtype == "int32"
    assert np.mean(kept < 32) == pytest.approx(0.25, abs=0.05)
    dropped = kept[kept < 32]
    assert (dropped.min(), dropped.max()) == (2, 24)
    assert np.mean(dropped) == pytest.approx(13, abs=1.5)


@pytest.mark.parametrize("rate", [0, 1])
def test_all_or_no_clips_lose_tokens(rate):
    assert np.all((draw(rate=rate, max_tokens=31) < 32) == rate)


def test_log_uniform_numbers_are_smaller():
    options = {"rate": 1, "min_tokens": 1, "max_tokens": 31}
    kept = draw(distribution="log_uniform", **options)
    # Each power of two has the same probability.
    counts, _ = np.histogram(kept, [1, 2, 4, 8, 16, 32])
    np.testing.assert_allclose(counts / len(kept), 0.2, atol=0.04)


def test_dropped_codes_are_the_mask_code():
    layer = TokenDropout(6, code_dim=2)
    codes = np.random.default_rng(0).random((2, 6, 2), "float32")
    layer.build(codes.shape)
    layer.mask_code.assign([5.0, 7.0])
    out = ops.convert_to_numpy(layer(codes, np.array([3, 6], "int32")))
    np.testing.assert_array_equal(out[0, :3], codes[0, :3])
    np.testing.assert_array_equal(out[0, 3:], 3 * [[5.0, 7.0]])
    np.testing.assert_array_equal(out[1], codes[1])


@pytest.mark.parametrize(
    "options",
    [
        {"rate": 1.5},
        {"min_tokens": 0},
        {"min_tokens": 33},
        {"min_tokens": 8, "max_tokens": 7},
        {"distribution": "normal"},
        {"seed": -1},
    ],
)
def test_invalid_options_are_named(options):
    name = list(options)[-1]
    with pytest.raises(ValueError, match=f"`{name}`.*Received: {name}="):
        TokenDropout(32, code_dim=4, **options)


def test_one_number_per_clip_is_needed():
    layer, codes = TokenDropout(6, code_dim=2), np.zeros((2, 6, 2), "float32")
    with pytest.raises(ValueError, match="`num_kept` must be"):
        layer(codes, np.array([3], "int32"))


# What masked losses and statistics must equal: those of kept tokens alone.


def quantizer(**options):
    layer = layers.VectorQuantizer(
        8, 4, stochastic=False, entropy_weight=0.5, **options
    )
    layer.build()
    codes = np.random.default_rng(1).standard_normal((8, 4))
    layer.set_codes(codes.astype("float32"))
    return layer


def latents():
    values = np.random.default_rng(0).standard_normal((2, 6, 4))
    return values.astype("float32")


def test_losses_of_the_quantizer_are_means_over_kept_tokens():
    layer, x = quantizer(), latents()
    received = layer(x, token_mask=MASK)
    parts = [layer(x[:1, :3]), layer(x[1:])]
    for name in ("commitment_loss", "codebook_loss"):
        expected = (float(parts[0][name]) + float(parts[1][name])) / 2
        assert float(received[name]) == pytest.approx(expected, rel=1e-5)


def test_entropy_is_that_of_kept_tokens():
    layer, x = quantizer(), latents()[:1]
    received = layer(x, token_mask=MASK[:1])["entropy_loss"]
    expected = layer(x[:, :3])["entropy_loss"]
    assert float(received) == pytest.approx(float(expected), rel=1e-5)


def test_codebook_is_updated_by_kept_tokens():
    x = latents()[:1]
    states = []
    for mask, count in [(MASK[:1], 6), (None, 3)]:
        layer = quantizer(ema_decay=0.5, reset_unused_after=1)
        outputs = layer(x[:, :count], token_mask=mask)
        ids = outputs["token_ids"]
        layer.update(outputs["latents"], ids, token_mask=mask)
        states.append([ops.convert_to_numpy(w) for w in layer.weights])
    used = ops.convert_to_numpy(ids)[0, :3]
    for masked, alone in zip(*states, strict=True):
        np.testing.assert_allclose(masked[used], alone[used], rtol=1e-5)
    # Unused codes are reset to latents of kept tokens.
    codes = states[0][0]
    kept = ops.convert_to_numpy(outputs["latents"])[0, :3]
    for code in np.delete(codes, used, axis=0):
        assert np.isclose(code, kept, atol=1e-6).all(axis=1).any()


def test_cross_entropy_is_the_mean_over_kept_tokens():
    generator = np.random.default_rng(0)
    logits = generator.standard_normal((2, 6, 8)).astype("float32")
    ids = generator.integers(0, 8, (2, 6)).astype("int32")
    received = losses.token_cross_entropy(logits, ids, token_mask=MASK)
    parts = [
        losses.token_cross_entropy(logits[:1, :3], ids[:1, :3]),
        losses.token_cross_entropy(logits[1:], ids[1:]),
    ]
    for value, first, second in zip(received, *parts, strict=True):
        expected = (float(first) + float(second)) / 2
        assert float(value) == pytest.approx(expected, rel=1e-5)


def test_code_statistics_count_kept_tokens():
    ids = np.array([[0, 1, 2, 3, 3, 3], [0, 0, 0, 0, 1, 1]], "int32")
    masked, alone = metrics.CodeStatistics(8), metrics.CodeStatistics(8)
    masked.update_state(ids, MASK)
    alone.update_state(np.concatenate([ids[0, :3], ids[1]]))
    for name, value in alone.result().items():
        assert float(masked.result()[name]) == pytest.approx(float(value))


def test_layer_serializes():
    layer = TokenDropout(32, 4, distribution="log_uniform", seed=1)
    config = keras.saving.serialize_keras_object(layer)
    copy = keras.saving.deserialize_keras_object(config)
    assert copy.get_config() == layer.get_config()

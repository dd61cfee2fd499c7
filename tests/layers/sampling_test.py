"""Sampling from categorical distributions."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from keras_larp.layers.sampling import draw_categorical, filtered_probabilities


def sample(probabilities, uniforms):
    return ops.convert_to_numpy(
        draw_categorical(
            np.asarray(probabilities, "float32"),
            np.asarray(uniforms, "float32"),
        )
    )


@settings(max_examples=10, deadline=None)
@given(size=st.integers(1, 700), seed=st.integers(0, 1000))
def test_categories_of_zero_probability_are_never_sampled(size, seed):
    random = np.random.default_rng(seed)
    weights = random.random((5, size)) * (random.random((5, size)) < 0.3)
    weights[:, random.integers(size)] = 1.0
    indices = sample(weights, random.random(5))
    assert (np.take_along_axis(weights, indices[:, None], 1) > 0).all()


def test_extreme_uniform_numbers_sample_the_outer_categories():
    for size in (4, 1000):
        weights = np.zeros((2, size))
        weights[:, [1, size - 2]] = 0.5
        indices = sample(weights, [0.0, np.nextafter(np.float32(1), 0)])
        np.testing.assert_array_equal(indices, [1, size - 2])


def test_frequencies_match_probabilities():
    for size in (8, 512):
        weights = np.random.default_rng(0).random(size) ** 4
        weights /= weights.sum()
        uniforms = (np.arange(20000) + 0.5) / 20000
        indices = sample(np.tile(weights, (20000, 1)), uniforms)
        frequencies = np.bincount(indices, minlength=size) / 20000
        np.testing.assert_allclose(frequencies, weights, atol=4e-4)


@settings(max_examples=10, deadline=None)
@given(
    size=st.integers(2, 40),
    top_k=st.integers(0, 50),
    top_p=st.floats(0.05, 1.0),
    temperature=st.floats(0.1, 4.0),
)
def test_filters_keep_the_most_likely(size, top_k, top_p, temperature):
    logits = np.random.default_rng(size).normal(size=(3, size))
    logits = logits.astype("float32")
    kept = ops.convert_to_numpy(
        filtered_probabilities(logits, temperature, top_k, top_p)
    )
    np.testing.assert_allclose(kept.sum(-1), 1.0, rtol=1e-4)
    counts = (kept > 0).sum(-1)
    assert (counts >= 1).all()
    if top_k:
        assert (counts <= top_k).all()
    for row, logit in zip(kept, logits, strict=True):
        assert row[logit.argmax()] > 0
        if (row == 0).any():
            assert logit[row > 0].min() > logit[row == 0].max()

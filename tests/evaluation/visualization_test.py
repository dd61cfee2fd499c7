"""Figures of tokens."""

import numpy as np
import pytest
from keras import ops
from tiny_models import tiny_generator, tiny_tokenizer

from keras_larp import evaluation

pytestmark = pytest.mark.once


def test_codebook_usage_sorts_codes_by_frequency():
    token_ids = np.array([[5, 5], [5, 2], [5, 7], [5, 2]])
    usage = evaluation.codebook_usage_by_position(token_ids, codebook_size=8)
    assert usage.shape == (2, 8)
    np.testing.assert_allclose(usage[0], [1, 0, 0, 0, 0, 0, 0, 0])
    np.testing.assert_allclose(usage[1], [0.25, 0.5, 0.25, 0, 0, 0, 0, 0])


def test_codebook_usage_merges_codes_into_bins():
    token_ids = np.arange(1000).reshape(500, 2)
    usage = evaluation.codebook_usage_by_position(token_ids, 1000, num_bins=10)
    np.testing.assert_allclose(usage, 0.1)


@pytest.mark.parametrize(
    ("token_ids", "message"),
    [
        ([1, 2], "shape"),
        ([[8]], "from 0 to 7"),
        (np.empty((0, 2), int), "at least one"),
    ],
)
def test_invalid_token_ids(token_ids, message):
    with pytest.raises(ValueError, match=message):
        evaluation.codebook_usage_by_position(token_ids, 8)


def test_codebook_usage_is_plotted(tmp_path):
    token_ids = np.random.default_rng(0).integers(0, 8, (20, 4))
    token_ids = ops.convert_to_tensor(token_ids)
    evaluation.write_codebook_usage(tmp_path / "usage.png", token_ids, 8)
    assert (tmp_path / "usage.png").read_bytes().startswith(b"\x89PNG")


def test_keeping_all_tokens_returns_the_decoded_clips():
    tokenizer = tiny_tokenizer()
    generator = tiny_generator(
        vocab_size=tokenizer.codebook_size, num_tokens=tokenizer.num_tokens
    )
    draw = np.random.default_rng(0)
    shape = (2, tokenizer.num_tokens)
    token_ids = draw.integers(0, tokenizer.codebook_size, shape)
    counts = [0, tokenizer.num_tokens]
    clips = evaluation.resample_suffix(
        generator, tokenizer, token_ids, [0, 1], counts
    )
    decoded = tokenizer.decode(token_ids)
    if hasattr(decoded, "requires_grad_"):
        decoded.requires_grad_()  # NumPy rejects it, like a tensor on a GPU.
    expected = ops.convert_to_numpy(decoded)
    np.testing.assert_allclose(clips[1], expected, atol=1e-6)
    frames, height, width, _ = decoded.shape[1:]
    video = evaluation.truncation_video(clips, decoded, counts, ["a", "b"])
    assert video.shape[0] == 2 * frames
    assert video.shape[1] == 2 * (height + 2) + 2 + 4
    assert video.shape[2] > 2 * (width + 2) + 2

"""Tokenizers of which any number of leading tokens can be decoded."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops
from tiny_models import clips, tiny_tokenizer

from keras_larp import presets
from keras_larp.models import elastic_tokens


def elastic(**kwargs):
    return tiny_tokenizer(token_dropout={"rate": 0.5}, seed=0, **kwargs)


@pytest.fixture(scope="module")
def tokenizer():
    model = elastic()
    model.token_dropout.mask_code.assign(np.full(4, 0.5, "float32"))
    return model


def decode(tokenizer, token_ids):
    return ops.convert_to_numpy(tokenizer.decode(token_ids))


@settings(deadline=None, max_examples=20)
@given(
    lengths=st.lists(st.integers(1, 6), min_size=1, max_size=3),
    data=st.data(),
)
def test_prefixes_of_any_lengths_decode_as_alone(tokenizer, lengths, data):
    ids = st.integers(0, 31)
    rows = [
        np.array(data.draw(st.lists(ids, min_size=n, max_size=n)))
        for n in lengths
    ]
    videos = decode(tokenizer, rows)
    assert videos.shape == (len(rows), 4, 16, 16, 3)
    assert videos.min() >= 0 and videos.max() <= 1
    for row, video in zip(rows, videos, strict=True):
        alone = decode(tokenizer, row[None])
        np.testing.assert_allclose(alone[0], video, atol=1e-5)


@pytest.mark.parametrize("count", range(1, 7))
def test_encode_keeps_the_leading_tokens(tokenizer, count):
    ids = ops.convert_to_numpy(tokenizer.encode(clips()))
    prefix = ops.convert_to_numpy(tokenizer.encode(clips(), num_tokens=count))
    np.testing.assert_array_equal(prefix, ids[:, :count])


def test_prefix_is_completed_by_the_mask_code(tokenizer):
    ids = ops.convert_to_tensor(np.arange(6, dtype="int32")[None])
    codes = ops.convert_to_numpy(tokenizer.quantizer.lookup(ids)).copy()
    codes[:, 2:] = 0.5
    expected = tokenizer.reconstruct(ops.convert_to_tensor(codes))
    expected = np.clip(ops.convert_to_numpy(expected), 0, 1)
    received = decode(tokenizer, np.arange(2)[None])
    np.testing.assert_allclose(received, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("bits", "count"), [(5, 1), (14.9, 2), (15, 3), (1000, 6)]
)
def test_bits_of_tokens_fit_the_budget(tokenizer, bits, count):
    # Of 32 codes, each takes 5 bits.
    assert tokenizer.encode(clips(), target_bits=bits).shape[1] == count


class Decoder:
    """Stands for a tokenizer whose PSNR is 3 dB per token, and 1 dB less for
    the second clip."""

    num_tokens = 16

    def decode(self, token_ids, video_size):
        psnr = [3.0 * len(ids) - i for i, ids in enumerate(token_ids)]
        errors = 10 ** (-np.array(psnr) / 20)
        return np.zeros((2, 1, 2, 2, 3)) + errors[:, None, None, None, None]


@pytest.mark.parametrize(
    ("target", "lengths"),
    [(0.1, [1, 1]), (12, [4, 5]), (29.5, [10, 11]), (47.5, [16, 16])],
)
def test_psnr_is_reached_with_as_few_tokens_as_possible(target, lengths):
    ids = np.arange(32).reshape(2, 16)
    video = np.zeros((2, 1, 2, 2, 3), "float32")
    found = elastic_tokens.shortest_prefixes(Decoder(), ids, video, target)
    assert [len(row) for row in found] == lengths
    np.testing.assert_array_equal(found[1], 16 + np.arange(lengths[1]))


def test_unreachable_psnr_takes_all_tokens(tokenizer):
    found = tokenizer.encode(clips(2), target_psnr=90)
    assert [len(row) for row in found] == [6, 6]


def test_full_length_does_not_depend_on_token_dropout(tokenizer):
    fixed = tiny_tokenizer(seed=0)
    copy = fixed.with_token_dropout(rate=0.5)
    ids = ops.convert_to_numpy(fixed.encode(clips()))
    np.testing.assert_array_equal(copy.encode(clips()), ids)
    np.testing.assert_allclose(decode(copy, ids), decode(fixed, ids), atol=1e-6)


def train(tokenizer):
    tokenizer.compile("sgd")
    return tokenizer.fit(
        clips(), batch_size=2, epochs=2, shuffle=False, verbose=0
    ).history


def test_training_with_rate_0_equals_a_fixed_tokenizer():
    prior = {"num_layers": 1, "num_heads": 2, "hidden_dim": 16, "dropout": 0}
    fixed = tiny_tokenizer(prior=prior, seed=0)
    copy = fixed.with_token_dropout(rate=0.0, seed=1)
    expected, received = train(fixed), train(copy)
    for name, values in expected.items():
        np.testing.assert_allclose(received[name], values, 1e-4, 1e-6, name)


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_training_learns_the_mask_code(dtype):
    model = tiny_tokenizer(
        token_dropout={"rate": 1.0},
        quantizer={"ema_decay": 0.9, "reset_unused_after": 2},
        dtype=dtype,
    )
    history = train(model)
    assert np.isfinite(history["loss"]).all()
    assert np.abs(ops.convert_to_numpy(model.token_dropout.mask_code)).max() > 0


def test_numbers_of_tokens_are_part_of_the_saved_state():
    assert any(
        state is elastic_state
        for model in [elastic()]
        for elastic_state in [model.token_dropout.seed_generator.state]
        for state in model.seed_states()
    )


def test_elastic_preset_loads(tokenizer, tmp_path):
    tokenizer.save_to_preset(tmp_path / "preset")
    loaded = presets.load(tmp_path / "preset")
    ids = np.arange(3)[None]
    np.testing.assert_allclose(decode(loaded, ids), decode(tokenizer, ids))


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        ({"num_tokens": 0}, "`num_tokens`"),
        ({"num_tokens": 7}, "`num_tokens`"),
        ({"num_tokens": "3"}, "`num_tokens`"),
        ({"target_psnr": -1}, "`target_psnr`"),
        ({"target_psnr": float("nan")}, "`target_psnr`"),
        ({"target_bits": 4.9}, "takes 5 bits"),
        ({"num_tokens": 3, "target_bits": 50}, "only one of"),
    ],
)
def test_invalid_budgets(tokenizer, budget, message):
    with pytest.raises(ValueError, match=message):
        tokenizer.encode(clips(), **budget)


@pytest.mark.parametrize(
    "budget", [{"num_tokens": 3}, {"target_psnr": 20}, {"target_bits": 10}]
)
def test_fixed_tokenizer_refuses_budgets(budget):
    with pytest.raises(ValueError, match="with_token_dropout"):
        tiny_tokenizer().encode(clips(), **budget)


@pytest.mark.parametrize(
    ("token_ids", "message"),
    [
        (np.zeros((2, 7), int), r"shape \(batch, 6\)"),
        (np.zeros((2, 0), int), r"shape \(batch, 6\)"),
        (np.zeros((2, 3)), "integer token ids"),
        ([np.zeros(2, int), np.zeros(0, int)], "1 to 6 token ids.*clip 1"),
        ([np.zeros(2)], "integer token ids"),
        ([np.array([3, 32])], "from 0 to 31"),
    ],
)
def test_invalid_prefixes(tokenizer, token_ids, message):
    with pytest.raises(ValueError, match=message):
        tokenizer.decode(token_ids)


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_trains_in_half_precision(dtype):
    options = {
        "ema_decay": 0.9,
        "reset_unused_after": 2,
        "entropy_weight": 0.1,
    }
    model = elastic(dtype=dtype, latent_norm="batch_joint", quantizer=options)
    model.compile("adam", total_steps=4)
    for _ in range(4):
        logs = model.train_on_batch(clips(), return_dict=True)
        assert all(np.isfinite(value) for value in logs.values()), logs
    assert logs["skipped_steps"] == 0
    mask_code = model.token_dropout.mask_code
    assert mask_code.dtype == "float32"
    assert np.any(ops.convert_to_numpy(mask_code))
    assert np.isfinite(decode(model, [np.arange(3), np.arange(5)])).all()

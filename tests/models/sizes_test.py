"""Sizes of models, named and custom."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops
from tiny_models import clips, tiny_generator, tiny_tokenizer

from keras_larp import models


@settings(max_examples=4, deadline=None)
@given(
    num_tokens=st.integers(1, 11),
    codebook_size=st.integers(2, 40),
    batch=st.integers(1, 3),
)
def test_any_number_of_tokens_and_codes(num_tokens, codebook_size, batch):
    tokenizer = tiny_tokenizer(
        num_tokens=num_tokens, codebook_size=codebook_size, prior=None
    )
    ids = ops.convert_to_numpy(tokenizer.encode(clips(batch)))
    assert ids.shape == (batch, num_tokens) and ids.dtype == np.int32
    assert ids.min() >= 0 and ids.max() < codebook_size
    video = ops.convert_to_numpy(tokenizer.decode(ids))
    assert video.shape == (batch, 4, 16, 16, 3)
    assert video.min() >= 0.0 and video.max() <= 1.0


def test_decoder_size_differs_from_encoder():
    tokenizer = tiny_tokenizer(
        prior=None,
        decoder_hidden_dim=24,
        decoder_num_heads=3,
        decoder_patch_size=(4, 4, 4),
    )
    assert tuple(tokenizer(clips(2)).shape) == (2, 4, 16, 16, 3)


@pytest.mark.parametrize(
    "make, millions",
    [
        (lambda: models.ARPrior.from_size("gptc-XXS", code_dim=16), 5.0),
        (lambda: models.ARPrior.from_size("gptc-XS", code_dim=16), 11.1),
        (
            lambda: models.ARVideoGenerator.from_size(
                "llama-abs-S", num_tokens=8, vocab_size=8, num_classes=1
            ),
            21.7,
        ),
    ],
)
def test_named_sizes_have_the_parameter_counts_of_the_paper(make, millions):
    model = make()
    count = sum(
        np.prod(v.shape)
        for v in model.trainable_variables
        if "embedding" not in v.path and "head" not in v.path
    )
    assert count / 1e6 == pytest.approx(millions, rel=0.05)


@pytest.mark.parametrize("make", [tiny_tokenizer, tiny_generator])
def test_config_is_json_serializable(make):
    model = make()
    config = json.loads(json.dumps(model.get_config()))
    twin = type(model).from_config(config)
    assert [v.shape for v in twin.weights] == [v.shape for v in model.weights]
    assert json.dumps(twin.get_config()) == json.dumps(model.get_config())


@pytest.mark.parametrize(
    "make",
    [
        lambda: models.ARPrior.from_size("gptc-Q"),
        lambda: tiny_tokenizer(prior="gptc-Q"),
    ],
)
def test_unknown_prior_size_raises(make):
    message = "Unknown size of ARPrior: 'gptc-Q'.*Expected one of: .*gptc-XXS"
    with pytest.raises(ValueError, match=message):
        make()


def test_unknown_generator_size_raises():
    message = "Unknown size of ARVideoGenerator: .*one of: .*llama-abs-B"
    with pytest.raises(ValueError, match=message):
        models.ARVideoGenerator.from_size("llama-abs-Q")


@pytest.mark.parametrize("num_tokens, max_length", [(6, 1024), (1100, 1100)])
@pytest.mark.parametrize(
    "prior",
    ["gptc-tiny", {"num_layers": 1, "num_heads": 2, "hidden_dim": 16}],
)
def test_prior_has_a_position_per_token(prior, num_tokens, max_length):
    tokenizer = tiny_tokenizer(prior=prior, num_tokens=num_tokens)
    assert tokenizer.prior.max_length == max_length
    latents = ops.zeros((1, num_tokens - 1, tokenizer.code_dim))
    assert tokenizer.prior(latents).shape == latents.shape


def test_prior_keeps_an_explicit_max_length():
    prior = {"num_layers": 1, "num_heads": 2, "hidden_dim": 16}
    tokenizer = tiny_tokenizer(prior={**prior, "max_length": 7})
    assert tokenizer.prior.max_length == 7


def test_frame_prediction_condition_has_tokens_and_a_separator():
    generator = tiny_generator(conditioning="frames", class_dropout=0.0)
    condition = np.zeros((2, 7), "int32")
    condition[:, -1] = 32
    ids = generator.generate(condition_ids=condition, temperature=0)
    assert tuple(ids.shape) == (2, 6)
    with pytest.raises(ValueError, match="Received"):
        generator.generate(condition_ids=condition[:, 1:])

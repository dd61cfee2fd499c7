"""Error messages state what was expected and received."""

import numpy as np
import pytest
from tiny_models import clips, tiny_generator, tiny_tokenizer

from keras_larp import models, presets


@pytest.mark.parametrize(
    "video",
    [
        clips()[0],
        clips()[:, :3],
        clips()[..., :1],
        np.zeros((1, 4, 16, 16, 3), "uint8"),
    ],
)
def test_invalid_clips_raise(video):
    with pytest.raises(ValueError, match="Received"):
        tiny_tokenizer(prior=None).encode(video)


@pytest.mark.parametrize(
    "ids",
    [np.full((1, 6), 32), np.full((1, 6), -1), np.zeros((1, 5), int)],
)
def test_invalid_token_ids_raise(ids):
    with pytest.raises(ValueError, match="Received"):
        tiny_tokenizer(prior=None).decode(ids)


def test_class_ids_out_of_range_raise():
    with pytest.raises(ValueError, match="class ids from 0 to 2"):
        tiny_generator().generate([3])


@pytest.mark.parametrize(
    "options",
    [
        {"image_size": 20},
        {"num_heads": 3},
        {"patch_size": 8},
        {"decoder_patch_size": (4, 8)},
        {"latent_norm": "group"},
        {"prior": "gptc-Q"},
        {"num_tokens": 0},
    ],
)
def test_invalid_tokenizer_arguments_raise(options):
    with pytest.raises(ValueError, match="Received|Expected"):
        tiny_tokenizer(**options)


@pytest.mark.parametrize(
    "name, value",
    [
        ("temperature", -1),
        ("temperature", float("nan")),
        ("temperature", float("inf")),
        ("temperature", "1"),
        ("top_p", 0.0),
        ("top_p", 1.5),
        ("top_p", float("nan")),
        ("top_k", -1),
        ("top_k", 2.5),
        ("guidance_scale", -0.5),
        ("guidance_scale", float("nan")),
        ("guidance_scale", float("inf")),
        ("guidance_interval", -5),
        ("guidance_interval", 1.5),
        ("num_samples", 1.5),
        ("num_samples", 0),
        ("batch_size", 1.5),
        ("sample_offset", 0.5),
    ],
)
def test_invalid_sampling_options_raise(name, value):
    class_ids = None if name == "num_samples" else [0]
    with pytest.raises(ValueError, match=f"`{name}` must be .*Received"):
        tiny_generator().generate(class_ids, **{name: value})


def test_unknown_preset_suggests_close_names():
    with pytest.raises(ValueError, match="Did you mean 'larp_l_long_tokenizer"):
        models.LARPTokenizer.from_preset("larp_l_tokenizer")


def test_missing_hub_library_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match=r"keras-larp\[hub\]"):
        presets.load("larp_l_long_tokenizer")


def test_prior_of_a_single_token_raises():
    with pytest.raises(ValueError, match="at least 2.*num_tokens=1"):
        tiny_tokenizer(num_tokens=1)
    video = tiny_tokenizer(num_tokens=1, prior=None).decode([[3]])
    assert video.shape == (1, 4, 16, 16, 3)


@pytest.mark.once
@pytest.mark.parametrize(
    "name, value",
    [
        ("pixel_loss_weight", "1"),
        ("prior_loss_weight", float("nan")),
        ("quantizer_loss_weight", -0.1),
        ("lecam_weight", float("inf")),
        ("gradient_penalty_weight", -1),
        ("prior_learning_rate_multiplier", float("nan")),
        ("discriminator_start", -1),
        ("adversarial_start", 1.5),
        ("total_steps", 0),
    ],
)
def test_invalid_training_arguments_are_named(name, value):
    with pytest.raises(ValueError, match=f"`{name}` must be"):
        tiny_tokenizer().compile("adam", **{name: value})


@pytest.mark.once
def test_invalid_weights_of_further_terms_are_named():
    with pytest.raises(ValueError, match="motion_loss.*must be a finite num"):
        tiny_tokenizer().compile("adam", loss_weights={"motion_loss": "1"})

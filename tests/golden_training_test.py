"""Adversarial training against golden values of the reference code."""

import importlib
import json

import keras
import numpy as np
import pytest
from golden_case import assert_close, golden_video
from keras import ops

from keras_larp import losses, models
from keras_larp.presets.converters.larp_config import build_from_larp_config
from keras_larp.presets.converters.larp_weights import (
    load_larp_state,
    mappings,
    to_larp_state,
)
from keras_larp.training import tokenizer_losses


def make_discriminator(config):
    patch = config["patch_size"]
    return models.VideoDiscriminator(
        num_frames=config["frame_num"],
        image_size=config["input_size"],
        patch_size=(config["temporal_patch_size"], patch, patch),
        hidden_dim=config["hidden_size"],
        num_layers=config["n_layers"],
        num_heads=config["n_heads"],
    )


@pytest.fixture
def discriminator_case(golden_dir):
    golden = importlib.import_module("golden")
    folder = golden_dir / "discriminator"
    config = json.loads((folder / "config.json").read_text())
    model = make_discriminator(config)
    load_larp_state(model, golden.golden_state_dict(folder))
    case = dict(np.load(folder / "arrays.npz", allow_pickle=False))
    real = golden_video(case["video_shape"])
    scale, shift = case["fake_scale_and_shift"]
    fake = golden_video(case["video_shape"], float(case["fake_seed"]))
    return model, case, real, (scale * fake + shift).astype("float32")


def test_discriminator_logits_and_losses(discriminator_case):
    model, case, real, fake = discriminator_case
    real, fake = model(real), model(fake)
    assert_close(real, case["logits_real"])
    assert_close(fake, case["logits_fake"])
    for kind in ("hinge", "non_saturating"):
        loss = losses.discriminator_loss(real, fake, kind)
        assert_close(loss, case[f"{kind}_discriminator_loss"])
        loss = losses.adversarial_loss(fake, kind)
        assert_close(loss, case[f"{kind}_generator_loss"])
    averages = float(case["lecam_ema_real"]), float(case["lecam_ema_fake"])
    penalty = losses.lecam_penalty(real, fake, *averages)
    assert_close(penalty, case["lecam_loss"])


def test_gradient_penalty(discriminator_case):
    discriminator, case, real, _ = discriminator_case
    tokenizer = models.LARPTokenizer(
        8, 32, num_tokens=2, hidden_dim=16, num_heads=2, encoder_num_layers=1,
        decoder_num_layers=1, prior=None,
    )  # fmt: skip
    tokenizer.compile(discriminator=discriminator)
    penalty = tokenizer._gradient_penalty(ops.convert_to_tensor(real))
    cost = float(case["r1_penalty_cost"])
    assert_close(cost * penalty, case["r1_penalty"])


def test_training_trajectory(golden_dir, monkeypatch):
    golden = importlib.import_module("golden")
    folder = golden_dir / "training_trajectory"
    config = json.loads((folder / "config.json").read_text())
    case = dict(np.load(folder / "arrays.npz", allow_pickle=False))
    state = golden.golden_state_dict(folder)
    discriminator_state = {
        name.removeprefix("discriminator."): state.pop(name)
        for name in list(state)
        if name.startswith("discriminator.")
    }
    model = build_from_larp_config(config["tokenizer"])
    discriminator = make_discriminator(config["discriminator"])
    load_larp_state(model, state)
    load_larp_state(discriminator, discriminator_state)

    # Codes are not sampled, and the uniform random numbers of scheduled
    # sampling are those of the golden case, passed as "labels".
    model.quantizer.stochastic = False
    uniforms = {}
    monkeypatch.setattr(
        keras.random, "uniform", lambda *_, **__: uniforms["current"]
    )
    rounds = tokenizer_losses.prior_rounds
    monkeypatch.setattr(
        tokenizer_losses,
        "prior_rounds",
        lambda *args, **options: rounds(
            *args, **{**options, "draw_uniforms": None}
        ),
    )
    original_step_outputs = model.step_outputs

    def step_outputs(data, training):
        uniforms["current"] = ops.convert_to_tensor(data[1])
        return original_step_outputs(data[0], training)

    monkeypatch.setattr(model, "step_outputs", step_outputs)

    def adam(learning_rate):
        return keras.optimizers.Adam(
            learning_rate,
            config["adam_beta_1"],
            config["adam_beta_2"],
            config["adam_epsilon"],
        )

    model.compile(
        adam(config["learning_rate"]),
        config["prior_learning_rate_multiplier"],
        discriminator=discriminator,
        discriminator_optimizer=adam(config["discriminator_learning_rate"]),
        discriminator_every=config["discriminator_update_every"],
        adversarial_loss=config["adversarial_loss"],
        adversarial_loss_weight=config["adversarial_weight"],
        lecam_weight=config["lecam_weight"],
    )
    model.training_state.total_steps.assign(config["max_steps"])
    shape = case["video_shape"]
    steps = config["steps"]
    for step in range(steps):
        data = golden_video(shape, step), case["sampling_uniforms"][step]
        logs = model.train_on_batch(*data, return_dict=True)
        model.reset_metrics()
        # From 1e-4 to 1e-3: rounding differences accumulate over the steps.
        tolerance = 1e-4 * 10 ** (step / (steps - 1))
        terms = ["pixel_loss", "quantizer_loss", "prior_loss"]
        terms += ["discriminator_loss", "lecam_loss"]
        expected = {name: case[name][step] for name in terms}
        expected["adversarial_loss"] = case["generator_loss"][step]
        expected["loss"] = case["total_loss"][step]
        for name, value in expected.items():
            if np.isfinite(value):
                np.testing.assert_allclose(
                    logs[name], value, tolerance, err_msg=f"{name} {step}"
                )
    training = model.training_state
    assert_close(training.average_real, case["lecam_ema_real"], 1e-3)
    assert_close(training.average_fake, case["lecam_ema_fake"], 1e-3)
    video = golden_video(shape)[:1]
    np.testing.assert_array_equal(
        ops.convert_to_numpy(model.encode(video)), case["final_token_ids"][:1]
    )
    # Keras' Adam adds epsilon before the bias correction of the second moment,
    # PyTorch's after it, which is visible in pixels with small gradients.
    expected = case["final_reconstruction"][:1]
    error = np.linalg.norm(ops.convert_to_numpy(model(video)) - expected)
    assert error < 1e-3 * np.linalg.norm(expected)
    names = json.loads((folder / "parameter_names.json").read_text())
    for part, key, norms in (
        (model, "tokenizer", "final_parameter_norms"),
        (discriminator, "discriminator", "final_discriminator_norms"),
    ):
        arrays = [ops.convert_to_numpy(m.variable) for m in mappings(part)]
        weights = to_larp_state(part, arrays)
        received = np.array([np.linalg.norm(weights[n]) for n in names[key]])
        assert_close(received, case[norms], 1e-3)

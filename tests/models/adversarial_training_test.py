"""Adversarial training, and non-finite steps."""

import keras
import numpy as np
import pytest
from keras import ops
from tiny_models import clips, tiny_discriminator, tiny_tokenizer

from keras_larp import models
from keras_larp.training import prior_loss as prior_terms
from keras_larp.training import tokenizer_losses
from keras_larp.training.schedules import LinearRamp


def numpy(x):
    return ops.convert_to_numpy(x)


def adversarial_tokenizer(
    prior=None, learning_rate=1e-2, dtype="float32", model=None, **options
):
    keras.utils.set_random_seed(0)
    tokenizer = tiny_tokenizer(
        seed=0, prior=prior, dtype=dtype, **(model or {})
    )
    arguments = {
        "discriminator": tiny_discriminator(dtype=dtype),
        "discriminator_optimizer": keras.optimizers.Adam(1e-2),
        "discriminator_every": 2,
        "total_steps": 8,
    }
    tokenizer.compile(
        keras.optimizers.Adam(learning_rate), **{**arguments, **options}
    )
    return tokenizer


def weights_of(model):
    return [numpy(w).copy() for w in model.weights]


def has_changed(before, model):
    pairs = zip(before, weights_of(model), strict=True)
    return any(not np.array_equal(old, new) for old, new in pairs)


def test_discriminator_is_updated_every_n_steps():
    tokenizer = adversarial_tokenizer(discriminator_start=3)
    updated = []
    for _ in range(6):
        discriminator = weights_of(tokenizer.discriminator)
        encoder = weights_of(tokenizer.encoder)
        tokenizer.train_on_batch(clips())
        updated.append(has_changed(discriminator, tokenizer.discriminator))
        assert has_changed(encoder, tokenizer.encoder)
        tokenizer.evaluate(clips(), verbose=0)  # Does not count as a step.
    # Every second step, starting at the fourth.
    assert updated == [False, False, False, True, False, True]


def test_discriminator_metrics_are_means_over_its_updates():
    tokenizer = adversarial_tokenizer()
    logs = tokenizer.train_on_batch(clips(), return_dict=True)
    assert logs["discriminator_loss"] == 0  # No update is due.
    second = tokenizer.train_on_batch(clips(), return_dict=True)
    assert second["discriminator_loss"] > 0.5
    # Two steps per epoch, with one update of the discriminator.
    tokenizer = adversarial_tokenizer()
    options = {"batch_size": 4, "shuffle": False, "verbose": 0}
    history = tokenizer.fit(np.tile(clips(), (2, 1, 1, 1, 1)), **options)
    np.testing.assert_allclose(
        history.history["discriminator_loss"][0],
        second["discriminator_loss"],
        rtol=1e-4,
    )


@pytest.mark.parametrize(
    "kind", ["non_saturating_smooth", "non_saturating", "hinge"]
)
def test_discriminator_separates_clips_from_reconstructions(kind):
    tokenizer = adversarial_tokenizer(
        adversarial_loss=kind,
        learning_rate=1e-6,
        discriminator_every=1,
    )
    history = tokenizer.fit(clips(), batch_size=4, epochs=12, verbose=0).history
    gap = np.subtract(history["logits_real"], history["logits_fake"])
    assert gap[-1] > gap[0] + 0.1
    assert history["discriminator_loss"][-1] < history["discriminator_loss"][0]


def assert_loss_has_adversarial_weight(logs, weight):
    rest = logs["pixel_loss"] + 0.1 * logs["quantizer_loss"]
    np.testing.assert_allclose(
        logs["loss"], rest + weight * logs["adversarial_loss"], rtol=1e-5
    )


def test_adversarial_loss_counts_from_its_start():
    tokenizer = adversarial_tokenizer(adversarial_start=1)
    for weight in (0.0, 0.3):
        logs = tokenizer.train_on_batch(clips(), return_dict=True)
        assert_loss_has_adversarial_weight(logs, weight)


def test_validation_loss_omits_terms_that_have_not_started():
    tokenizer = adversarial_tokenizer(adversarial_start=2)
    weights = []
    for _ in range(3):
        # The loss of the next training step.
        logs = tokenizer.evaluate(clips(), verbose=0, return_dict=True)
        rest = logs["pixel_loss"] + 0.1 * logs["quantizer_loss"]
        weights.append((logs["loss"] - rest) / logs["adversarial_loss"])
        tokenizer.train_on_batch(clips())
    np.testing.assert_allclose(weights, [0.0, 0.0, 0.3], atol=1e-5)


def test_validation_loss_follows_the_ramp_of_a_loss_weight():
    prior = {"num_layers": 1, "num_heads": 2, "hidden_dim": 16}
    tokenizer = tiny_tokenizer(prior=prior)
    ramp = LinearRamp(0.0, 0.5, num_steps=1, first_step=2)
    tokenizer.compile("adam", prior_loss_weight=ramp, total_steps=4)
    weights = []
    for _ in range(4):
        logs = tokenizer.evaluate(clips(), verbose=0, return_dict=True)
        rest = logs["pixel_loss"] + 0.1 * logs["quantizer_loss"]
        weights.append((logs["loss"] - rest) / logs["prior_loss"])
        tokenizer.train_on_batch(clips())
    np.testing.assert_allclose(weights, [0.0, 0.0, 0.0, 0.5], atol=1e-5)


def test_gradient_penalty_reduces_the_gradient_of_the_discriminator():
    def penalty(weight):
        tokenizer = adversarial_tokenizer(
            gradient_penalty_weight=weight, discriminator_every=1
        )
        logs = tokenizer.fit(clips(), batch_size=4, epochs=8, verbose=0)
        return logs.history["gradient_penalty"][-1]

    assert penalty(100.0) < 0.5 * penalty(1e-6)


def test_spectral_norms_stay_near_one():
    keras.utils.set_random_seed(0)
    tokenizer = adversarial_tokenizer(
        discriminator=tiny_discriminator(spectral_normalization=True),
        discriminator_every=1,
    )
    tokenizer.fit(clips(), batch_size=4, epochs=10, verbose=0)
    discriminator = tokenizer.discriminator
    discriminator(clips(), training=True)
    kernel = discriminator.blocks[0].mlp_in.layer.kernel
    norm = np.linalg.norm(numpy(kernel), 2)
    assert 0.8 < norm < 1.3


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_spectral_normalization_keeps_kernels_in_float32(dtype):
    def kernel(dtype):
        keras.utils.set_random_seed(0)
        discriminator = tiny_discriminator(
            spectral_normalization=True, dtype=dtype
        )
        discriminator(clips(), training=True)
        return numpy(discriminator.blocks[0].mlp_in.layer.kernel)

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(dtype)
    try:
        received = kernel(dtype)
    finally:
        keras.config.set_dtype_policy(before)
    np.testing.assert_allclose(received, kernel("float32"), rtol=1e-6)


def test_spectral_normalization_of_normalized_kernels_changes_no_update():
    # Orthogonal kernels have a spectral norm of 1.
    def trained(spectral_normalization):
        tokenizer = adversarial_tokenizer(
            discriminator=tiny_discriminator(
                spectral_normalization=spectral_normalization
            ),
            discriminator_optimizer=keras.optimizers.SGD(0.1),
            discriminator_every=1,
            adversarial_loss="non_saturating",
        )
        weights = tokenizer.discriminator.trainable_variables
        for seed, weight in enumerate(weights):
            initializer = keras.initializers.RandomNormal
            if len(weight.shape) == 2:
                initializer = keras.initializers.Orthogonal
            weight.assign(initializer(seed=seed)(weight.shape))
        tokenizer.train_on_batch(clips())
        return [numpy(w) for w in weights]

    for received, expected in zip(trained(True), trained(False), strict=True):
        np.testing.assert_allclose(received, expected, atol=1e-5)


def test_perceptual_model_adds_its_weighted_mean_distance():
    class Distance(keras.layers.Layer):
        def call(self, video, reconstruction):
            return ops.mean((video - reconstruction) ** 2, axis=(1, 2, 3, 4))

    tokenizer = tiny_tokenizer(prior=None)
    tokenizer.compile(
        perceptual_model=Distance(),
        perceptual_loss_weight=2.0,
        pixel_loss="l2",
    )
    logs = tokenizer.evaluate(clips(), verbose=0, return_dict=True)
    expected = 3.0 * logs["pixel_loss"] + 0.1 * logs["quantizer_loss"]
    np.testing.assert_allclose(logs["loss"], expected, rtol=1e-5)


def test_resuming_with_a_discriminator_continues_exactly(tmp_path):
    options = {"batch_size": 2, "verbose": 0, "shuffle": False}
    prior = {"num_layers": 1, "num_heads": 2, "hidden_dim": 16}
    original = adversarial_tokenizer(prior=prior)
    original.fit(clips(), epochs=1, **options)
    original.save(tmp_path / "model.keras")
    expected = original.fit(clips(), epochs=3, **options).history
    resumed = keras.saving.load_model(tmp_path / "model.keras")
    received = resumed.fit(clips(), epochs=3, **options).history
    for name, values in expected.items():
        np.testing.assert_allclose(
            received[name], values, rtol=1e-5, atol=1e-6, err_msg=name
        )


def test_a_loaded_tokenizer_requires_its_perceptual_model(tmp_path):
    tokenizer = tiny_tokenizer(prior=None)
    layer = keras.layers.Lambda(lambda x: x)
    tokenizer.compile(perceptual_model=layer)
    tokenizer.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    with pytest.raises(ValueError, match="perceptual_model="):
        loaded.fit(clips(), verbose=0)


def test_compiling_again_removes_the_previous_training_state():
    tokenizer = adversarial_tokenizer()
    count = len(tokenizer.weights)
    tokenizer.compile(discriminator=tiny_discriminator())
    assert len(tokenizer.weights) == count
    assert len(tokenizer.metrics) == len({m.name for m in tokenizer.metrics})
    tokenizer.compile()
    plain = len(tiny_tokenizer(prior=None).weights)
    assert len(tokenizer.weights) == plain + 6  # The training state.
    logs = tokenizer.train_on_batch(clips(), return_dict=True)
    assert "adversarial_loss" not in logs


def test_a_preset_omits_the_discriminator(tmp_path):
    tokenizer = adversarial_tokenizer()
    tokenizer.train_on_batch(clips())
    tokenizer.save_to_preset(tmp_path / "preset")
    loaded = models.LARPTokenizer.from_preset(tmp_path / "preset")
    assert loaded.count_params() == tiny_tokenizer(prior=None).count_params()
    np.testing.assert_array_equal(
        numpy(loaded.encode(clips())), numpy(tokenizer.encode(clips()))
    )


def test_a_non_finite_step_is_skipped_and_counted():
    # With all state that a forward pass or an update can change.
    tokenizer = adversarial_tokenizer(
        model={
            "latent_norm": "batch",
            "quantizer": {"ema_decay": 0.9, "reset_unused_after": 1},
        }
    )
    for _ in range(3):  # At the next step, a discriminator update is due.
        tokenizer.train_on_batch(clips())
    weights = tokenizer.model_weights + tokenizer.discriminator.weights
    training_state = tokenizer.training_state
    weights += [training_state.average_real, training_state.average_fake]
    before = [numpy(w).copy() for w in weights]
    state = [numpy(v).copy() for v in tokenizer.optimizer.variables]
    broken = clips()
    broken[0, 0, 0, 0] = np.nan
    logs = tokenizer.train_on_batch(broken, return_dict=True)
    assert logs["skipped_steps"] == logs["skipped_discriminator_steps"] == 1
    assert np.isnan(logs["loss"])  # The mean of no step.
    for old, new in zip(before, weights, strict=True):
        np.testing.assert_array_equal(old, numpy(new))
    for old, new in zip(state, tokenizer.optimizer.variables, strict=True):
        np.testing.assert_array_equal(old, numpy(new))
    for _ in range(2):  # At the second, a discriminator update is due.
        logs = tokenizer.train_on_batch(clips(), return_dict=True)
        assert logs["skipped_steps"] == 0
    assert logs["skipped_discriminator_steps"] == 0
    assert all(np.isfinite(list(logs.values())))
    averages = [
        numpy(training_state.average_real),
        numpy(training_state.average_fake),
    ]
    assert not np.array_equal(averages, before[-2:])
    assert numpy(training_state.skipped) == 1


class NanDistance(keras.layers.Layer):
    def call(self, video, reconstruction):
        return reconstruction[:, 0, 0, 0, 0] * float("nan")


def set_to_nan(model):
    weight = model.trainable_variables[0]
    weight.assign(np.full(weight.shape, np.nan))


@pytest.mark.parametrize(
    "first",
    [
        "input_mean",
        "quantizer_loss",
        "pixel_loss",
        "perceptual_loss",
        "prior_loss",
        "adversarial_loss",
        "gradients",
        "discriminator gradients",
    ],
)
def test_too_many_skipped_steps_stop_the_run_and_name_the_term(first):
    video, options = clips(), {}
    if first == "input_mean":
        # `fit` checks the first 32 clips of an array.
        video = np.concatenate([clips(32), np.full_like(video, np.inf)])
    elif first == "perceptual_loss":
        options["perceptual_model"] = NanDistance()
    tokenizer = adversarial_tokenizer(
        max_skipped_steps=2,
        discriminator_every=1,
        prior={"num_layers": 1, "num_heads": 2, "hidden_dim": 16},
        **options,
    )
    if first == "discriminator gradients":
        tokenizer.lecam_weight = float("nan")
    if first == "gradients":
        tokenizer.loss_weights["adversarial_loss"] = float("nan")
    parts = {
        "quantizer_loss": tokenizer.encoder,
        "pixel_loss": tokenizer.decoder,
        "prior_loss": tokenizer.prior,
        "adversarial_loss": tokenizer.discriminator,
    }
    if first in parts:
        set_to_nan(parts[first])
    with pytest.raises(FloatingPointError, match=f"non-finite value: {first}"):
        tokenizer.fit(video, batch_size=1, shuffle=False, verbose=0)


@pytest.mark.parametrize("name", ["max_skipped_steps", "discriminator_every"])
def test_step_counts_must_be_positive(name):
    with pytest.raises(ValueError, match=f"{name}.* >= 1"):
        adversarial_tokenizer(**{name: 0})


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_trains_with_both_losses_scaled(dtype):
    tokenizer = adversarial_tokenizer(dtype=dtype, discriminator_every=1)
    scaled = dtype == "mixed_float16"
    for optimizer in (tokenizer.optimizer, tokenizer.discriminator_optimizer):
        kind = keras.optimizers.LossScaleOptimizer
        assert isinstance(optimizer, kind) == scaled
    before = weights_of(tokenizer.discriminator)
    history = tokenizer.fit(clips(), batch_size=4, epochs=8, verbose=0).history
    assert has_changed(before, tokenizer.discriminator)
    assert history["pixel_loss"][-1] < history["pixel_loss"][0]
    assert history["skipped_steps"][-1] == 0


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_losses_and_prior_outputs_are_float32(dtype, monkeypatch):
    drawn_from, logits = [], []

    def draw(logits, uniforms):
        drawn_from.append(logits)
        return draw_from_logits(logits, uniforms)

    def loss(rounds, *args):
        logits.extend(rounds)
        return prior_loss(rounds, *args)

    draw_from_logits = prior_terms.draw_from_logits
    prior_loss = tokenizer_losses.prior_loss
    monkeypatch.setattr(prior_terms, "draw_from_logits", draw)
    monkeypatch.setattr(tokenizer_losses, "prior_loss", loss)
    prior = {"num_layers": 1, "num_heads": 2, "hidden_dim": 16}
    tokenizer = adversarial_tokenizer(
        dtype=dtype,
        prior=prior,
        model={"quantizer": {"entropy_weight": 0.1}},
        gradient_penalty_weight=1.0,
    )
    predictions = tokenizer.prior(np.zeros((1, 5, 4), "float32"))
    outputs = tokenizer.step_outputs(clips(), training=True)
    adversarial_loss, adversarial_terms = tokenizer.adversarial_terms(
        outputs.reconstruction, step=0
    )
    discriminator_loss, discriminator = tokenizer.discriminator_terms(
        outputs.video, outputs.reconstruction
    )
    assert len(logits) == 2 and len(drawn_from) == 1  # Rounds.
    tensors = {
        "predictions": predictions,
        "logits": logits,
        "drawn": drawn_from,
        "loss": outputs.loss,
        "input_mean": outputs.input_mean,
        "video": outputs.video,
        "reconstruction": outputs.reconstruction,
        "latents": outputs.latents,
        "weighted_adversarial_loss": adversarial_loss,
        "weighted_discriminator_loss": discriminator_loss,
        **outputs.terms,
        **adversarial_terms,
        **discriminator.terms,
    }
    assert {"prior_loss", "quantizer_loss", "lecam_loss"} <= set(tensors)
    for name, tensor in tensors.items():
        for part in keras.tree.flatten(tensor):
            assert keras.backend.standardize_dtype(part.dtype) == "float32", (
                name
            )


def test_an_undone_update_leaves_the_state_unchanged():
    if keras.backend.backend() != "torch":
        pytest.skip("Only PyTorch undoes updates to skip a step.")
    import torch

    tokenizer = adversarial_tokenizer()
    variables = tokenizer.model_trainable_variables
    gradients = [torch.full_like(v.value, float("nan")) for v in variables]
    state = [*variables, *tokenizer.optimizer.variables]
    before = [numpy(v).copy() for v in state]
    tokenizer.apply_and_undo_unless(
        torch.tensor(False), tokenizer.optimizer, gradients, variables
    )
    for old, new in zip(before, state, strict=True):
        np.testing.assert_array_equal(old, numpy(new))


def test_discriminator_for_other_clips_is_rejected():
    with pytest.raises(ValueError, match=r"of shape \(4, 8, 8, 3\)"):
        adversarial_tokenizer(discriminator=tiny_discriminator(image_size=8))


def test_unknown_adversarial_loss_is_rejected():
    with pytest.raises(ValueError, match="'wasserstein'"):
        adversarial_tokenizer(adversarial_loss="wasserstein")

"""Gradient checkpointing, gradient accumulation and averaged weights."""

import keras
import numpy as np
import pytest
from keras import ops
from tiny_models import (
    clips,
    tiny_discriminator,
    tiny_generator,
    tiny_tokenizer,
)


def numpy(x):
    return ops.convert_to_numpy(x)


def token_data(count=8):
    generator = np.random.default_rng(0)
    return {
        "token_ids": generator.integers(0, 32, (count, 6)).astype("int32"),
        "class_ids": generator.integers(0, 3, count).astype("int32"),
    }


@pytest.mark.parametrize("kind", ["tokenizer", "generator"])
def test_gradient_checkpointing_changes_no_result(kind):
    # Including dropout: both forward passes draw the same numbers.
    def losses(gradient_checkpointing):
        keras.utils.set_random_seed(0)
        make, data = {
            "tokenizer": (tiny_tokenizer, clips(8)),
            "generator": (tiny_generator, token_data()),
        }[kind]
        model = make(gradient_checkpointing=gradient_checkpointing, seed=0)
        model.compile(keras.optimizers.Adam(1e-2))
        return model.fit(
            data, batch_size=4, epochs=3, shuffle=False, verbose=0
        ).history["loss"]

    np.testing.assert_allclose(losses(True), losses(False), rtol=1e-5)


def test_checkpointing_the_discriminator_changes_no_result(monkeypatch):
    remat, rematerialized = keras.remat, []

    def watched(function):
        rematerialized.append(function)
        return remat(function)

    monkeypatch.setattr(keras, "remat", watched)

    def train(gradient_checkpointing):
        keras.utils.set_random_seed(0)
        rematerialized.clear()
        model = tiny_tokenizer(prior=None, seed=0)
        discriminator = tiny_discriminator(
            num_layers=2, gradient_checkpointing=gradient_checkpointing
        )
        model.compile(
            keras.optimizers.SGD(0.1),
            discriminator=discriminator,
            discriminator_optimizer=keras.optimizers.SGD(0.1),
            discriminator_every=2,
        )
        losses = model.fit(clips(), batch_size=2, verbose=0).history
        assert bool(rematerialized) == gradient_checkpointing
        # With SGD, the weights determine the gradients.
        weights = [*model.model_weights, *discriminator.weights]
        return list(losses.values()), [numpy(w) for w in weights]

    received, expected = train(True), train(False)
    np.testing.assert_allclose(received[0], expected[0], rtol=1e-5, atol=1e-9)
    for first, second in zip(received[1], expected[1], strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-7)


def test_checkpointing_is_rejected_if_blocks_cannot_be_rematerialized():
    with pytest.raises(ValueError, match="Spectral normalization updates"):
        tiny_discriminator(
            spectral_normalization=True, gradient_checkpointing=True
        )
    discriminator = tiny_discriminator(gradient_checkpointing=True)
    with pytest.raises(ValueError, match="gradient_penalty_weight=10.0"):
        tiny_tokenizer(prior=None).compile(
            discriminator=discriminator, gradient_penalty_weight=10.0
        )


@pytest.mark.parametrize("kind", ["tokenizer", "generator"])
def test_accumulated_gradients_equal_a_large_batch(kind):
    # Without anything that is random or depends on the step.
    make, data = {
        "tokenizer": (
            lambda: tiny_tokenizer(
                prior={
                    "num_layers": 1,
                    "num_heads": 2,
                    "hidden_dim": 16,
                    "dropout": 0.0,
                },
                prior_num_rounds=1,
                quantizer={"stochastic": False},
            ),
            clips(8),
        ),
        "generator": (
            lambda: tiny_generator(
                class_dropout=0.0, token_dropout=0.0, dropout=0.0
            ),
            token_data(),
        ),
    }[kind]

    def seeded():
        keras.utils.set_random_seed(0)
        return make()

    def weights(batch_size, steps):
        model = seeded()
        optimizer = keras.optimizers.Adam(
            1e-2, gradient_accumulation_steps=steps
        )
        model.compile(optimizer)
        model.fit(
            data, batch_size=batch_size, epochs=2, shuffle=False, verbose=0
        )
        return [numpy(w) for w in model.model_weights]

    start = [numpy(w) for w in seeded().model_weights]
    small, large = weights(2, 4), weights(8, None)
    for old, new in zip(start, large, strict=True):
        assert old.dtype != "float32" or not np.array_equal(old, new)
    for one, other in zip(small, large, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)


def test_averaged_weights_are_evaluated_and_saved():
    model = tiny_tokenizer()
    optimizer = keras.optimizers.SGD(0.5, use_ema=True, ema_momentum=0.5)
    model.compile(optimizer)
    seen = {}

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if keras.backend.backend() == "jax":
                self.model.jax_state_sync()
            kernel = self.model.to_code.kernel
            seen.setdefault("raw", []).append(numpy(kernel).copy())

        def on_test_begin(self, logs=None):
            seen["tested"] = numpy(self.model.to_code.kernel).copy()

    callbacks = [keras.callbacks.SwapEMAWeights(), Watch()]
    model.fit(
        clips(), batch_size=2, validation_data=clips(), verbose=0,
        callbacks=callbacks,
    )  # fmt: skip
    average = seen["raw"][0]  # Keras starts from the first step's weights.
    for raw in seen["raw"][1:]:
        average = 0.5 * average + 0.5 * raw
    np.testing.assert_allclose(seen["tested"], average, rtol=1e-5)
    # `SwapEMAWeights` leaves the model with the averages.
    np.testing.assert_allclose(numpy(model.to_code.kernel), average, rtol=1e-5)

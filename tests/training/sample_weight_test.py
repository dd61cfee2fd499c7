"""Sample weights, class weights and unsupported arguments of `compile`."""

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

from keras_larp import models

WEIGHTS = np.array([2.0, 0.0, 1.0, 0.0], "float32")
TERMS = ["pixel_loss", "quantizer_loss", "prior_loss", "perceptual_loss"]
TERMS += ["entropy_loss", "commitment_loss", "codebook_loss"]
TERMS += ["adversarial_loss"]


class FrameDistance(keras.Model):
    def call(self, videos, reconstructions):
        error = ops.square(videos - reconstructions)
        return ops.mean(error, axis=(1, 2, 3, 4))


def weighted_tokenizer(**options):
    keras.utils.set_random_seed(0)
    quantizer = {"entropy_weight": 0.1}
    model = tiny_tokenizer(seed=0, quantizer=quantizer, **options)
    model.compile(
        keras.optimizers.SGD(0.1),
        perceptual_model=FrameDistance(),
        discriminator=tiny_discriminator(),
        discriminator_optimizer=keras.optimizers.SGD(0.1),
        discriminator_every=1,
        gradient_penalty_weight=0.1,
    )
    return model


def generator_data(labels=(0, 1, 2, 0)):
    ids = np.random.default_rng(0).integers(0, 32, (4, 6))
    return {"token_ids": ids, "class_ids": np.array(labels)}


def weighted_generator(optimizer="sgd", **options):
    keras.utils.set_random_seed(0)
    options = {"token_dropout": 0, "dropout": 0, "class_dropout": 0, **options}
    model = tiny_generator(**options)
    model.compile(optimizer)
    return model


def weights_of(model):
    return [ops.convert_to_numpy(w) for w in model.model_trainable_variables]


def assert_same_weights(first, second, **tolerances):
    for a, b in zip(weights_of(first), weights_of(second), strict=True):
        np.testing.assert_allclose(a, b, **tolerances)


def test_weighted_losses_of_a_tokenizer_are_those_of_its_clips():
    model = weighted_tokenizer()
    per_clip = [
        model.evaluate(clips()[i : i + 1], verbose=0, return_dict=True)
        for i in range(4)
    ]
    model_logs = model.evaluate(
        clips(), sample_weight=WEIGHTS, verbose=0, return_dict=True
    )
    for name in TERMS:
        if name in ("entropy_loss", "quantizer_loss"):
            continue  # The entropy is not a mean over clips.
        expected = sum(
            w * logs[name] for w, logs in zip(WEIGHTS, per_clip, strict=True)
        )
        np.testing.assert_allclose(
            model_logs[name], expected / 4, rtol=1e-4, err_msg=name
        )


def test_equal_sample_weights_scale_all_losses():
    model = weighted_tokenizer()
    plain = model.evaluate(clips(), verbose=0, return_dict=True)
    double = model.evaluate(
        clips(), sample_weight=np.full(4, 2.0), verbose=0, return_dict=True
    )
    for name in [*TERMS, "loss", "discriminator_loss"]:
        np.testing.assert_allclose(double[name], 2 * plain[name], rtol=1e-5)
    for name in ["psnr", "prior_top1", "logits_real"]:
        np.testing.assert_allclose(double[name], plain[name], rtol=1e-5)


def test_clips_of_weight_zero_do_not_train_a_tokenizer():
    first, second = weighted_tokenizer(), weighted_tokenizer()
    other = clips()
    other[WEIGHTS == 0] = 1.0 - other[WEIGHTS == 0]
    start = weights_of(first)
    for model, video in ((first, clips()), (second, other)):
        options = {"batch_size": 4, "shuffle": False, "verbose": 0}
        model.fit(video, sample_weight=WEIGHTS, **options)
    assert_same_weights(first, second, atol=1e-6)
    for a, b in zip(
        first.discriminator.weights, second.discriminator.weights, strict=True
    ):
        np.testing.assert_allclose(
            ops.convert_to_numpy(a), ops.convert_to_numpy(b), atol=1e-6
        )
    trained = weights_of(first)
    assert any((a != b).any() for a, b in zip(start, trained, strict=True))


def test_clips_of_weight_zero_do_not_move_averaged_codes():
    def trained(video):
        keras.utils.set_random_seed(0)
        quantizer = {"ema_decay": 0.5}
        model = tiny_tokenizer(prior=None, quantizer=quantizer, seed=0)
        model.compile(keras.optimizers.SGD(0.0))
        options = {"batch_size": 4, "shuffle": False, "verbose": 0}
        model.fit(video, sample_weight=WEIGHTS, **options)
        return ops.convert_to_numpy(model.quantizer.embeddings)

    other = clips()
    other[WEIGHTS == 0] = 1.0 - other[WEIGHTS == 0]
    np.testing.assert_allclose(trained(clips()), trained(other), atol=1e-6)


def test_weighted_loss_of_a_generator_is_that_of_its_clips():
    # The head starts at zero, where all tokens are equally likely.
    model, data = weighted_generator(), generator_data()
    model.head.kernel.assign(keras.random.normal((16, 32), seed=1))
    per_clip = [
        model.evaluate(
            {name: ids[i : i + 1] for name, ids in data.items()}, verbose=0
        )[0]
        for i in range(4)
    ]
    loss = model.evaluate(data, sample_weight=WEIGHTS, verbose=0)[0]
    np.testing.assert_allclose(loss, np.dot(WEIGHTS, per_clip) / 4, rtol=1e-5)


@pytest.mark.parametrize("source", ["tokens", "video"])
def test_class_weights_are_sample_weights_by_label(source):
    class_weight = {0: 0.5, 1: 3.0, 2: 0.0}
    sample_weight = np.array([0.5, 3.0, 0.0, 0.5])
    data, options = (generator_data(),), {}
    if source == "video":
        data = clips(), generator_data()["class_ids"]
        options = {"tokenizer": tiny_tokenizer(prior=None, seed=0)}
    trained = []
    for weights in (
        {"class_weight": class_weight},
        {"sample_weight": sample_weight},
        {},
    ):
        model = weighted_generator()
        model.fit(
            *data, batch_size=4, epochs=2, verbose=0, **weights, **options
        )
        trained.append(model)
    assert_same_weights(trained[0], trained[1], rtol=1e-4, atol=1e-6)
    with pytest.raises(AssertionError):
        assert_same_weights(trained[0], trained[2], rtol=1e-4, atol=1e-6)


def test_weights_of_a_validation_set_are_used():
    model, data = weighted_generator(), generator_data()
    weights = np.full(4, 3.0)
    history = model.fit(
        data, validation_data=(data, None, weights), verbose=0
    ).history
    expected = 3.0 * model.evaluate(data, verbose=0)[0]
    np.testing.assert_allclose(history["val_loss"], [expected], rtol=1e-5)


def test_sample_weights_per_token_are_refused():
    model = weighted_generator()
    with pytest.raises(
        ValueError, match=r"sample_weight of shape \((4|None), 6\)"
    ):
        model.evaluate(
            generator_data(), sample_weight=np.ones((4, 6)), verbose=0
        )


class MeanTokenizer(models.LARPTokenizer):
    axis = None

    def loss_terms(self, video, reconstruction, codes, training=False):
        terms = super().loss_terms(video, reconstruction, codes, training)
        terms["mean_loss"] = ops.mean(reconstruction, axis=self.axis)
        return terms


def test_added_terms_are_weighted_per_clip_or_refused():
    config = tiny_tokenizer(prior=None, seed=0).get_config()
    scalar, model = (MeanTokenizer.from_config(config) for _ in range(2))
    model.axis = (1, 2, 3, 4)
    for tokenizer in (scalar, model):
        tokenizer.compile(loss_weights={"mean_loss": 0.5})
    plain = scalar.evaluate(clips(), verbose=0, return_dict=True)
    model.set_weights(scalar.get_weights())
    same = model.evaluate(clips(), verbose=0, return_dict=True)
    np.testing.assert_allclose(same["mean_loss"], plain["mean_loss"], 1e-5)
    double = model.evaluate(
        clips(), sample_weight=np.full(4, 2.0), verbose=0, return_dict=True
    )
    np.testing.assert_allclose(
        double["mean_loss"], 2 * same["mean_loss"], rtol=1e-5
    )
    # On JAX, a model whose step fails loses its weights.
    with pytest.raises(ValueError, match="mean_loss with shape"):
        scalar.evaluate(clips(), sample_weight=WEIGHTS, verbose=0)


@pytest.mark.once
@pytest.mark.parametrize("make", [tiny_tokenizer, tiny_generator])
@pytest.mark.parametrize("name", ["loss", "metrics", "weighted_metrics"])
def test_unsupported_compile_arguments_are_refused_by_name(make, name):
    with pytest.raises(ValueError, match=f"does not support `{name}`"):
        make().compile("adam", **{name: ["mse"]})


@pytest.mark.once
@pytest.mark.parametrize("make", [tiny_tokenizer, tiny_generator])
def test_unknown_compile_arguments_are_refused_by_name(make):
    with pytest.raises(TypeError, match="no argument `learning_rate`"):
        make().compile("adam", learning_rate=0.1)
    with pytest.raises(ValueError, match="`loss_weights`"):
        tiny_generator().compile("adam", loss_weights={"loss": 1.0})

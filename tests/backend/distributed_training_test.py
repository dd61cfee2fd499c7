"""Training under `tf.distribute.MirroredStrategy`, on two logical CPUs."""

import os
import pathlib
import subprocess
import sys

import keras
import pytest

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="tests tf.distribute"
)
ROOT = pathlib.Path(__file__).resolve().parents[2]
# In another process, since logical devices must be created first.
SCRIPT = """
import numpy as np
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * 2
)
import keras
from tiny_models import (
    clips, tiny_discriminator, tiny_generator, tiny_tokenizer
)

from keras_larp.utils.input_checks import without_value_checks

OPTIONS = {"batch_size": 4, "shuffle": False, "verbose": 0}


def mirrored():
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


def train_generator():
    ids = np.arange(24).reshape(4, 6)
    model = tiny_generator(class_dropout=0, token_dropout=0, dropout=0)
    model.compile(keras.optimizers.SGD(0.1))
    data = {"token_ids": ids, "class_ids": np.array([0, 1, 2, 0])}
    model.fit(data, epochs=3, **OPTIONS)
    return model


def train_tokenizer():
    model = tiny_tokenizer(
        prior=None, seed=0, quantizer={"stochastic": False}
    )
    model.compile(
        keras.optimizers.SGD(0.1),
        discriminator=tiny_discriminator(),
        discriminator_optimizer=keras.optimizers.SGD(0.1),
        discriminator_every=2,
        adversarial_loss="hinge",
        lecam_weight=0.0,
    )
    model.fit(clips(), epochs=3, **OPTIONS)
    return model


def weights(model):
    parts = [model, model.discriminator]
    parts = [part for part in parts if part is not None]
    return [v.numpy() for part in parts for v in part.trainable_variables]


def compare(train):
    trained = []
    for strategy in (tf.distribute.get_strategy(), mirrored()):
        keras.utils.set_random_seed(0)
        with strategy.scope():
            model = train()
        trained.append(weights(model))
        assert int(model.training_state.step.numpy()) == 3
        assert int(model.training_state.skipped.numpy()) == 0
    for a, b in zip(*trained, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


def train_all_options():
    with mirrored().scope():
        tokenizer = tiny_tokenizer(
            latent_norm="batch",
            quantizer={"ema_decay": 0.9, "reset_unused_after": 2},
        )
        tokenizer.compile(
            discriminator=tiny_discriminator(spectral_normalization=True),
            discriminator_every=1,
            gradient_penalty_weight=0.1,
        )
        generator = tiny_generator()
        generator.compile()
    data = clips(), np.array([0, 1, 2, -1])
    weights = np.array([1.0, 0.5, 2.0, 0.0])
    options = {"epochs": 2, "validation_data": (*data, weights), **OPTIONS}
    for model in (tokenizer, generator):
        more = {} if model is tokenizer else {"tokenizer": tokenizer}
        logs = model.fit(
            *data, sample_weight=weights, **more, **options
        ).history
        assert np.isfinite(logs["loss"] + logs["val_loss"]).all()
        assert logs["skipped_steps"] == [0, 0]


def skip_non_finite():
    video = clips()
    video[3] = np.nan  # On one of the replicas.
    with mirrored().scope():
        model = tiny_tokenizer(prior=None)
        model.compile(keras.optimizers.SGD(0.1))
    before = weights(model)
    with without_value_checks():  # As if a later batch were not finite.
        logs = model.fit(video, **OPTIONS).history
    assert int(model.training_state.skipped.numpy()) == 1
    assert logs["skipped_steps"] == logs["invalid_clips"] == [1]
    for a, b in zip(before, weights(model), strict=True):
        np.testing.assert_array_equal(a, b)


"""


@pytest.mark.parametrize(
    "call",
    [
        "compare(train_generator)",
        "compare(train_tokenizer)",
        "train_all_options()",
        "skip_non_finite()",
    ],
)
def test_two_replicas_train_like_one_device(call):
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT + call],
        env={**os.environ, "PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "2"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-3000:]

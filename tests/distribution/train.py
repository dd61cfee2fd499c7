"""Trains a small model, as one process of a job or alone.

    python -m distribution.train OUTPUT MODEL [name=value ...]

Writes the metrics of each epoch and all weights to OUTPUT/INDEX.npz.
"""

import json
import pathlib
import sys

import keras
import numpy as np
from tiny_models import tiny_discriminator, tiny_generator, tiny_tokenizer

import keras_larp
from keras_larp.data import MovingShapes, video_dataset

NUM_DEVICES = 8  # That batches must be divisible by.


def make_tokenizer():
    """A tokenizer that is trained with everything that depends on more than
    one clip."""
    tokenizer = tiny_tokenizer(
        latent_norm="batch_joint",
        quantizer={
            "ema_decay": 0.9,
            "reset_unused_after": 2,
            "entropy_weight": 0.1,
            "entropy_temperature": 1.0,  # Does not amplify rounding errors.
        },
        # Dropout masks differ between devices.
        prior={"num_layers": 1, "num_heads": 2, "hidden_dim": 16, "dropout": 0},
        seed=0,
    )
    tokenizer.compile(
        # Of Adam's updates, rounding errors may change the sign.
        keras.optimizers.SGD(
            0.05, gradient_accumulation_steps=2, global_clipnorm=1.0
        ),
        discriminator=tiny_discriminator(),
        discriminator_optimizer=keras.optimizers.SGD(0.05),
        discriminator_every=2,
        lecam_weight=0.1,
        gradient_penalty_weight=0.1,
        motion_loss_weight=1.0,
    )
    return tokenizer


def make_generator():
    generator = tiny_generator(
        num_classes=8, class_dropout=0.5, token_dropout=0, dropout=0, seed=0
    )
    generator.compile(keras.optimizers.SGD(0.1))
    return generator


def noise(video, seed):
    """A clip of noise. The latents of similar clips differ by little more
    than rounding errors, which batch normalization would amplify."""
    return np.random.default_rng(seed).random(video.shape, "float32")


def weights(model):
    """All variables of a run but those of metrics and random states."""
    variables = [*model.weights, *model.optimizer.variables]
    return {
        f"{i} {variable.path}": keras.ops.convert_to_numpy(variable)
        for i, variable in enumerate(variables)
    }


def main(output, model, epochs=2, batch_size=8, num_clips=24):
    keras_larp.distribution.initialize(timeout=60)
    keras_larp.distribution.data_parallel()
    keras.utils.set_random_seed(1)
    source = MovingShapes(int(num_clips), 4, 16)
    options = {"batch_size": int(batch_size), "augment": noise}
    train = video_dataset(source, **options)
    test = video_dataset(
        MovingShapes(13, 4, 16, seed=9), repeat=False, shuffle=False, **options
    )
    if model == "tokenizer":
        trained, arguments = make_tokenizer(), {}
    else:
        trained = make_generator()
        arguments = {"tokenizer": tiny_tokenizer(seed=0)}
    history = trained.fit(
        train,
        validation_data=test,
        epochs=int(epochs),
        verbose=0,
        **arguments,
    ).history
    path = pathlib.Path(output) / f"{keras_larp.distribution.process_index()}"
    np.savez(path.with_suffix(".npz"), **weights(trained))
    path.with_suffix(".json").write_text(json.dumps(history))


if __name__ == "__main__":
    options = dict(argument.split("=") for argument in sys.argv[3:])
    main(*sys.argv[1:3], **options)

"""Trains a small model, as one process of a job or alone.

    python -m distribution.train OUTPUT MODEL [name=value ...]

Writes the metrics of each epoch and all weights to OUTPUT/INDEX.npz. The
options are the arguments of `main`.
"""

import contextlib
import json
import os
import pathlib
import signal
import sys
import time

if os.environ.get("KERAS_BACKEND") == "torch":
    # `keras.utils.set_random_seed` would import it, which takes seconds.
    sys.modules["tensorflow"] = None

import keras
import numpy as np
from tiny_models import tiny_discriminator, tiny_generator, tiny_tokenizer

import keras_larp
from keras_larp.data import MovingShapes, video_dataset

NUM_DEVICES = 8  # That batches must be divisible by.


def make_tokenizer(token_dropout=None):
    """A tokenizer that is trained with everything that depends on more than
    one clip."""
    tokenizer = tiny_tokenizer(
        token_dropout=token_dropout,
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
        total_steps=8,  # Also of a run that is interrupted.
    )
    return tokenizer


def make_elastic_tokenizer():
    """A tokenizer whose numbers of kept tokens depend on the row of the clip
    in the batch of all processes."""
    tokenizer = make_tokenizer(token_dropout={"rate": 1.0})

    def draw(count):
        first = count * keras_larp.distribution.process_index()
        return (keras.ops.arange(count, dtype="int32") + first) % 6 + 1

    tokenizer.token_dropout.draw = draw
    return tokenizer


def make_generator(class_dropout=0.5, optimizer=None):
    generator = tiny_generator(
        num_classes=12,
        class_dropout=class_dropout,
        token_dropout=0,
        dropout=0,
        seed=0,
    )
    generator.compile(optimizer or keras.optimizers.SGD(0.1))
    return generator


def make_adam():
    """Adam with all that precedes and follows its update."""
    return keras.optimizers.AdamW(
        0.01,
        weight_decay=0.1,
        global_clipnorm=0.5,
        gradient_accumulation_steps=2,
        use_ema=True,
    )


def noise(video, seed):
    """A clip of noise. The latents of similar clips differ by little more
    than rounding errors, which batch normalization would amplify."""
    return np.random.default_rng(seed).random(video.shape, "float32")


def not_a_number(video, seed):
    return np.full_like(video, np.nan)


def weights(model):
    """All variables of a run but those of metrics and random states."""
    variables = [*model.weights, *model.optimizer.variables]
    return {
        f"{i} {variable.path}": keras.ops.convert_to_numpy(variable)
        for i, variable in enumerate(variables)
    }


class Fault(keras.callbacks.Callback):
    """Makes the second process of a job fail at the third step."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind

    def on_train_batch_begin(self, batch, logs=None):
        if batch == 2 and keras_larp.distribution.process_index() == 1:
            if self.kind == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.kind == "terminate":
                os.kill(os.getpid(), signal.SIGTERM)
            if self.kind == "hang":
                time.sleep(60)


def main(
    output,
    model,
    epochs=2,
    batch_size=8,
    num_clips=16,
    checkpoints=None,
    fault=None,
    timeout=60,
    adam=None,
):
    """Trains a model.

    Args:
        output: String, the folder of the results.
        model: String, `"tokenizer"`, `"elastic_tokenizer"` or `"generator"`.
        epochs: Integer.
        batch_size: Integer.
        num_clips: Integer.
        checkpoints: String, the folder of checkpoints to resume from.
        fault: String, what goes wrong in the second process: `"kill"`,
            `"terminate"`, `"hang"`, `"nan"` (in its clips) or `"settings"`
            (which differ).
        timeout: Float, see `keras_larp.distribution.initialize`.
        adam: String, trains the generator by Adam, whose state is
            `"complete"` or `"sharded"`.
    """
    keras_larp.distribution.initialize(timeout=float(timeout))
    keras_larp.distribution.data_parallel(shard_optimizer=adam == "sharded")
    keras.utils.set_random_seed(1)
    source = MovingShapes(int(num_clips), 4, 16)
    index = keras_larp.distribution.process_index()
    has_nan = fault == "nan" and index == 1
    options = {
        "batch_size": int(batch_size),
        "augment": not_a_number if has_nan else noise,
    }
    train = video_dataset(source, **options)
    test = video_dataset(
        MovingShapes(13, 4, 16, seed=9), repeat=False, shuffle=False, **options
    )
    if model == "tokenizer":
        trained, arguments = make_tokenizer(), {}
    elif model == "elastic_tokenizer":
        trained, arguments = make_elastic_tokenizer(), {}
    else:
        has_other_settings = fault == "settings" and index == 1
        trained = make_generator(
            0.4 if has_other_settings else 0.5, make_adam() if adam else None
        )
        arguments = {"tokenizer": tiny_tokenizer(seed=0)}
    callbacks, stop_on_signals = [Fault(fault)], contextlib.nullcontext()
    if checkpoints:
        checkpoint = keras_larp.callbacks.Checkpoint(checkpoints, train)
        stop_on_signals = checkpoint.stop_on_signals()
        callbacks.append(checkpoint)
    with stop_on_signals:
        history = trained.fit(
            train,
            validation_data=test,
            epochs=int(epochs),
            verbose=0,
            callbacks=callbacks,
            **arguments,
        ).history
    path = pathlib.Path(output) / str(index)
    np.savez(path.with_suffix(".npz"), **weights(trained))
    path.with_suffix(".json").write_text(json.dumps(history))


if __name__ == "__main__":
    options = dict(argument.split("=") for argument in sys.argv[3:])
    main(*sys.argv[1:3], **options)

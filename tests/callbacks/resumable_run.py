"""A short run with checkpoints. As a script, it kills itself.

Usage: resumable_run.py FOLDER step|save|SIGTERM|SIGINT|twice
"""

import os
import signal
import sys

import keras
import numpy as np

from keras_larp import callbacks, data

EPOCHS = 3
STEPS_PER_EPOCH = 4  # Of 5 batches, so that epochs start at other clips.


class Regression(keras.Model):
    """Predicts class ids from clips, with dropout.

    It saves its seed like the models of this package.
    """

    def __init__(self):
        super().__init__()
        self.dropout = keras.layers.Dropout(0.5, seed=0)
        self.dense = keras.layers.Dense(1)
        self.build((None, 4, 16, 16, 3))

    def build(self, input_shape):
        self.dense.build((None, int(np.prod(input_shape[1:]))))
        self.built = True

    def call(self, video, training=False):
        x = keras.ops.reshape(video, (-1, self.dense.kernel.shape[0]))
        return self.dense(self.dropout(x, training=training))

    def save_own_variables(self, store):
        state = self.dropout.seed_generator.state
        store["seed"] = keras.ops.convert_to_numpy(state)

    def load_own_variables(self, store):
        self.dropout.seed_generator.state.assign(store["seed"])


def run(folder, seed=0, extra=(), first=(), **options):
    """Trains the model, and returns it and the history of `fit`."""
    keras.utils.set_random_seed(seed)
    model = Regression()
    schedule = keras.optimizers.schedules.CosineDecay(1e-2, 12)
    model.compile(keras.optimizers.Adam(schedule, use_ema=True), "mse")
    source = data.MovingShapes(10, num_frames=4, image_size=16)
    train = data.video_dataset(source, batch_size=2, seed=3)
    options = {"save_every_steps": 3, **options}
    checkpoint = callbacks.Checkpoint(folder, train, **options)
    with checkpoint.stop_on_signals():
        history = model.fit(
            train,
            epochs=EPOCHS,
            steps_per_epoch=STEPS_PER_EPOCH,
            callbacks=[*first, checkpoint, *extra],
            verbose=0,
        )
    return model, history


class SignalInStep(keras.callbacks.Callback):
    """Sends signals to this process after a step, before it is counted."""

    def __init__(self, *signals):
        super().__init__()
        self.signals = signals

    def on_train_begin(self, logs=None):
        inner, self.steps = self.model.train_function, 0

        def train_function(*args):
            outputs = inner(*args)
            self.steps += 1
            if self.steps == 8:
                for number in self.signals:
                    os.kill(os.getpid(), number)
            return outputs

        self.model.train_function = train_function


class KillInSave(keras.callbacks.Callback):
    """Kills this process when half of a checkpoint file is written."""

    def on_train_begin(self, logs=None):
        inner, self.saves = self.model.save_weights, 0

        def save_weights(path):
            inner(path)
            self.saves += 1
            if self.saves == 3:
                os.truncate(path, os.path.getsize(path) // 2)
                os.kill(os.getpid(), signal.SIGKILL)

        self.model.save_weights = save_weights


if __name__ == "__main__":
    kill = {
        "step": SignalInStep(signal.SIGKILL),
        "save": KillInSave(),
        "SIGTERM": SignalInStep(signal.SIGTERM),
        "SIGINT": SignalInStep(signal.SIGINT),
        "twice": SignalInStep(signal.SIGTERM, signal.SIGTERM),
    }[sys.argv[2]]
    run(sys.argv[1], extra=[kill])

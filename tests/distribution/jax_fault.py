"""The first process of a job saves a model, and the second one is killed.

The first argument is a folder for files.
"""

import os
import pathlib
import signal
import sys

import keras
import numpy as np
from tiny_models import tiny_generator

from keras_larp import distribution, models
from keras_larp.backend import processes

# Seconds without a sign of life after which a process counts as dead.
TIMEOUT = 10


def main(folder):
    distribution.initialize(timeout=TIMEOUT)
    distribution.data_parallel()
    model = tiny_generator()
    model.compile("adam")
    if distribution.is_chief():
        model.save_to_preset(folder / "preset")
        model.save(folder / "model.keras")
    processes.wait_for_all()
    loaded = [
        models.ARVideoGenerator.from_preset(folder / "preset"),
        keras.saving.load_model(folder / "model.keras"),
    ]
    for other in loaded:
        for a, b in zip(model.model_weights, other.model_weights, strict=True):
            np.testing.assert_array_equal(np.array(a), np.array(b))
    inputs = {"token_ids": np.zeros((2, 6), int), "class_ids": np.zeros(2, int)}
    np.testing.assert_allclose(
        model.predict(inputs, verbose=0), model(inputs), rtol=1e-4, atol=1e-6
    )
    processes.wait_for_all()
    print("loaded", flush=True)
    if not distribution.is_chief():
        os.kill(os.getpid(), signal.SIGKILL)
    while True:
        processes.any_process(False)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))

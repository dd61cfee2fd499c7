"""Measures the package of one checkout; started by `compare_revisions.py`.

Reads names of cases from the standard input, one per line, runs each once, and
prints its seconds.
"""

import pathlib
import sys
import time

import numpy as np
from absl import app, flags
from measuring import seconds_of

FLAGS = flags.FLAGS
flags.DEFINE_string("checkout", None, "Folder with the package.", required=True)
flags.DEFINE_enum("clock", "cpu", ["cpu", "wall"], "What to measure.")
flags.DEFINE_enum("size", "small", ["small", "tiny"], "Size of the models.")

TOKENIZERS = {
    "small": {
        "num_frames": 16,
        "image_size": 64,
        "num_tokens": 64,
        "codebook_size": 1024,
        "hidden_dim": 128,
        "num_heads": 2,
        "encoder_num_layers": 3,
        "decoder_num_layers": 3,
        "prior": "gptc-tiny",
    },
    "tiny": {
        "num_frames": 4,
        "image_size": 16,
        "patch_size": (2, 8, 8),
        "num_tokens": 4,
        "codebook_size": 16,
        "hidden_dim": 16,
        "num_heads": 2,
        "encoder_num_layers": 1,
        "decoder_num_layers": 1,
        "prior": None,
    },
}
GENERATORS = {
    "small": {
        "vocab_size": 1024,
        "num_tokens": 32,
        "num_classes": 10,
        "hidden_dim": 128,
        "num_layers": 3,
        "num_heads": 2,
    },
    "tiny": {
        "vocab_size": 16,
        "num_tokens": 4,
        "num_classes": 10,
        "hidden_dim": 16,
        "num_layers": 1,
        "num_heads": 2,
    },
}
NUM_WARMUP_RUNS = 2
CLOCKS = {"cpu": time.process_time, "wall": time.perf_counter}


def main(_):
    functions = cases()
    for function in functions.values():
        for _ in range(NUM_WARMUP_RUNS):
            seconds_of(function)
    print("READY", flush=True)
    for line in sys.stdin:
        seconds = seconds_of(functions[line.strip()], CLOCKS[FLAGS.clock])
        print("SECONDS", seconds, flush=True)


def cases():
    """Returns functions without arguments, by name."""
    import keras

    import keras_larp

    package = pathlib.Path(keras_larp.__file__).resolve()
    if not package.is_relative_to(pathlib.Path(FLAGS.checkout).resolve()):
        raise ImportError(f"Expected a package in {FLAGS.checkout}: {package}")
    keras.utils.set_random_seed(0)
    tokenizer = keras_larp.models.LARPTokenizer(**TOKENIZERS[FLAGS.size])
    trained = keras_larp.models.LARPTokenizer(**TOKENIZERS[FLAGS.size])
    trained.compile(keras.optimizers.Adam(1e-4), 50.0, total_steps=1000)
    generator = keras_larp.models.ARVideoGenerator(**GENERATORS[FLAGS.size])
    # With more clips for the faster cases, all take about the same time.
    shape = (4, tokenizer.num_frames, *2 * [tokenizer.image_size], 3)
    video = np.random.default_rng(0).random(shape, "float32")
    token_ids = keras.ops.convert_to_numpy(tokenizer.encode(video))
    return {
        "encode": lambda: tokenizer.encode(video),
        "decode": lambda: tokenizer.decode(token_ids),
        "train step": lambda: trained.train_on_batch(video[:1]),
        "sampling": lambda: generator.generate(
            [0, 1], guidance_scale=1.25, seed=0
        ),
    }


if __name__ == "__main__":
    app.run(main)

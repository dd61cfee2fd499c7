"""Counts tokens that differ between backends.

    KERAS_BACKEND=jax python benchmarks/preset_tokens.py \\
        --preset=larp_tiny_moving_shapes_tokenizer

Writes the tokens of clips to runs/presets, and compares them with the tokens
that other backends have written there.
"""

import pathlib

import keras
import numpy as np
from absl import app, flags
from keras import ops

from keras_larp import data, models

FLAGS = flags.FLAGS

flags.DEFINE_string(
    "preset", None, "Name of a bundled tokenizer.", required=True
)
flags.DEFINE_integer("num_clips", 480, "Number of clips to encode.", 1)
flags.DEFINE_integer("seed", 7, "Seed of the clips; training used 0.", 0)

FOLDER = pathlib.Path("runs/presets")


def main(_):
    tokenizer = models.LARPTokenizer.from_preset(FLAGS.preset)
    maker = data.AtariGameplay if "atari" in FLAGS.preset else data.MovingShapes
    sizes = tokenizer.num_frames, tokenizer.image_size
    source = maker(FLAGS.num_clips, *sizes, seed=FLAGS.seed)
    token_ids = np.concatenate(
        [
            encode(tokenizer, source, start)
            for start in range(0, len(source), 16)
        ]
    )
    stem = f"{FLAGS.preset}-{FLAGS.num_clips}-{FLAGS.seed}"
    FOLDER.mkdir(parents=True, exist_ok=True)
    np.save(FOLDER / f"{stem}-{keras.backend.backend()}.npy", token_ids)
    for path in sorted(FOLDER.glob(f"{stem}-*.npy")):
        differing = np.sum(np.load(path, allow_pickle=False) != token_ids)
        print(f"{path.stem}: {differing} of {token_ids.size} tokens differ")


def encode(tokenizer, source, start):
    stop = min(start + 16, len(source))
    clips = [source.render(index) for index in range(start, stop)]
    return ops.convert_to_numpy(tokenizer.encode(np.stack(clips)))


if __name__ == "__main__":
    app.run(main)

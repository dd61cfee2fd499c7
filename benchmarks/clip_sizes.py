"""Measures what training on clips of several sizes gains.

    KERAS_BACKEND=torch python benchmarks/clip_sizes.py --steps=1000

It continues the training of a preset on moving shapes twice, for equally many
steps: with the preset's size only, and with a size per batch. It prints a table
of the PSNR of unseen clips by size.
"""

import keras
import numpy as np
from absl import app, flags

import keras_larp

FLAGS = flags.FLAGS
flags.DEFINE_string(
    "preset", "larp_tiny_moving_shapes_tokenizer", "The tokenizer."
)
flags.DEFINE_integer("steps", 1000, "Training steps of each tokenizer.", 1)
flags.DEFINE_integer("batch_size", 16, "Clips per step.", 1)
flags.DEFINE_float("learning_rate", 0.004, "Of Muon, with cosine decay.")
flags.DEFINE_integer("num_clips", 96, "Unseen clips to measure.", 1)
flags.DEFINE_integer("seed", 0, "Seed of everything that is random.")

OWN_SIZE = (16, 32)
TRAINED = [OWN_SIZE, (8, 32), (24, 32), (16, 24), (16, 48), (1, 32)]
UNSEEN = [(12, 32), (16, 40)]


def main(_):
    preset = keras_larp.presets.load(FLAGS.preset)
    tokenizers = [preset, train([OWN_SIZE]), train(TRAINED)]
    print("| frames | size | median frame | preset | own size | all sizes |")
    print("|---|---|---|---|---|---|")
    for frames, size in TRAINED + UNSEEN:
        videos = read_clips(frames, size)
        median = np.median(videos, axis=1, keepdims=True)
        values = [psnr(videos, median)] + [
            psnr(videos, reconstruct(tokenizer, videos))
            for tokenizer in tokenizers
        ]
        cells = " | ".join(f"{value:.2f}" for value in values)
        print(f"| {frames} | {size} | {cells} |", flush=True)


def make_source(count, seed):
    return keras_larp.data.MovingShapes(
        count, num_frames=24, image_size=48, seed=seed
    )


def train(sizes):
    """Returns a copy of the preset, trained further on clips of some sizes."""
    keras.utils.set_random_seed(FLAGS.seed)
    tokenizer = keras_larp.presets.load(FLAGS.preset)
    recipe = keras_larp.recipes.small_data_tokenizer(
        steps_per_epoch=FLAGS.steps,
        epochs=1,
        warmup_epochs=0.05,
        learning_rate=FLAGS.learning_rate,
        temperature=0.01,
    )
    dataset = keras_larp.data.video_dataset(
        make_source(4096, FLAGS.seed),
        batch_size=FLAGS.batch_size,
        seed=FLAGS.seed,
        clip_sizes=sizes,
    )
    tokenizer.compile(**recipe.compile_arguments())
    tokenizer.fit(dataset, **recipe.fit_arguments(), verbose=2)
    return tokenizer


def read_clips(frames, size):
    """Unseen clips of the same videos, float32 `(N, frames, size, size, 3)`."""
    source = make_source(FLAGS.num_clips, FLAGS.seed + 1_000_003)
    dataset = keras_larp.data.video_dataset(
        source,
        frames,
        size,
        FLAGS.num_clips,
        shuffle=False,
        frame_sampling="center",
        repeat=False,
    )
    return next(iter(dataset))[0]


def reconstruct(tokenizer, videos):
    parts = []
    for batch in np.array_split(videos, max(1, len(videos) // 16)):
        token_ids = tokenizer.encode(batch)
        decoded = tokenizer.decode(token_ids, video_size=batch.shape[1:4])
        parts.append(keras.ops.convert_to_numpy(decoded))
    return np.concatenate(parts)


def psnr(videos, reconstructions):
    """Mean over clips, in dB."""
    mse = np.mean((videos - reconstructions) ** 2, axis=(1, 2, 3, 4))
    return float(np.mean(-10 * np.log10(np.maximum(mse, 1e-10))))


if __name__ == "__main__":
    app.run(main)

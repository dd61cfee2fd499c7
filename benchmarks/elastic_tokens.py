"""Measures the PSNR of the leading tokens of fixed and elastic tokenizers.

    KERAS_BACKEND=torch python benchmarks/elastic_tokens.py --steps=2000

It continues the training of a preset on moving shapes twice, for equally many
steps: with a fixed number of tokens, and with token dropout. It prints a table
of the PSNR of unseen clips by the number of tokens. Dropped tokens of the fixed
tokenizer are replaced by zeros, or by the mean of the codes.
"""

import keras
import numpy as np
from absl import app, flags

import keras_larp

FLAGS = flags.FLAGS
flags.DEFINE_string(
    "preset", "larp_tiny_moving_shapes_tokenizer", "The tokenizer."
)
flags.DEFINE_integer("steps", 2000, "Training steps of each tokenizer.", 1)
flags.DEFINE_integer("batch_size", 16, "Clips per step.", 1)
flags.DEFINE_float("learning_rate", 5e-4, "Of AdamW, with cosine decay.")
flags.DEFINE_float("rate", 0.5, "Fraction of clips that lose tokens.", 0, 1)
flags.DEFINE_integer("num_clips", 200, "Unseen clips to measure.", 1)
flags.DEFINE_integer("seed", 0, "Seed of everything that is random.")


def main(_):
    preset = keras_larp.presets.load(FLAGS.preset)
    fixed, elastic = (
        preset.with_token_dropout(rate=rate, seed=FLAGS.seed)
        for rate in (0.0, FLAGS.rate)
    )
    for tokenizer in (fixed, elastic):
        train(tokenizer)
    fixed_mean = fixed.with_token_dropout(rate=0.0)
    codes = keras.ops.convert_to_numpy(fixed.quantizer.codebook())
    fixed_mean.token_dropout.mask_code.assign(codes.mean(axis=0))

    clips = make_clips(FLAGS.num_clips, FLAGS.seed + 1_000_003)
    videos = np.stack([clips.read(i, np.arange(16)) for i in range(len(clips))])
    videos = videos.astype("float32") / 255
    median = np.median(videos, axis=1, keepdims=True)
    print(f"Median frame: {psnr(videos, median):.2f} dB")
    print("| tokens | preset | fixed, zeros | fixed, mean code | elastic |")
    print("|---|---|---|---|---|")
    count = preset.num_tokens
    models = preset.with_token_dropout(rate=0.0), fixed, fixed_mean, elastic
    encoded = [encode(model, videos) for model in models]
    for number in sorted({max(1, count * i // 16) for i in range(17)}):
        values = [
            psnr(videos, decode(model, token_ids[:, :number]))
            for model, token_ids in zip(models, encoded, strict=True)
        ]
        cells = " | ".join(f"{value:.2f}" for value in values)
        print(f"| {number} | {cells} |", flush=True)


def make_clips(count, seed):
    return keras_larp.data.MovingShapes(
        count, num_frames=16, image_size=32, seed=seed
    )


def train(tokenizer):
    keras.utils.set_random_seed(FLAGS.seed)
    dataset = keras_larp.data.video_dataset(
        make_clips(4096, FLAGS.seed),
        batch_size=FLAGS.batch_size,
        seed=FLAGS.seed,
    )
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0,
        FLAGS.steps,
        warmup_target=FLAGS.learning_rate,
        warmup_steps=FLAGS.steps // 20,
    )
    tokenizer.compile(keras.optimizers.AdamW(schedule, global_clipnorm=1.0))
    tokenizer.fit(dataset, epochs=1, steps_per_epoch=FLAGS.steps, verbose=2)


def encode(tokenizer, videos):
    return in_batches(tokenizer.encode, videos)


def decode(tokenizer, token_ids):
    return in_batches(tokenizer.decode, token_ids)


def in_batches(function, x):
    parts = np.array_split(x, max(1, len(x) // 16))
    return np.concatenate(
        [keras.ops.convert_to_numpy(function(part)) for part in parts]
    )


def psnr(videos, reconstructions):
    """Mean over clips, in dB."""
    mse = np.mean((videos - reconstructions) ** 2, axis=(1, 2, 3, 4))
    return float(np.mean(-10 * np.log10(np.maximum(mse, 1e-10))))


if __name__ == "__main__":
    app.run(main)

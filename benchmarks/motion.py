"""Measures which settings make a small tokenizer draw what moves.

    python benchmarks/motion.py
    python benchmarks/motion.py --variant=weight_10 --variant=decoder_2 --seed=1

Each variant is the recipe `small_data_tokenizer` with the settings of
`VARIANTS`, trained for the same number of steps on the same clips of Atari
games (seed 0) and evaluated on clips of an unseen seed (7). Writes one
JSON file per run, and a table of all runs, to --output. Completed runs are not
repeated. Seconds are those of the CPU, not of the clock, because the machine
may be busy with other work.
"""

import json
import pathlib
import time

import keras
from absl import app, flags

from keras_larp import data, evaluation, recipes
from keras_larp.utils.files import atomic_write_text

FLAGS = flags.FLAGS
COMMON = {
    "num_frames": 16,
    "image_size": 64,
    "num_tokens": 128,
    "codebook_size": 1024,
    "hidden_dim": 128,
    "num_heads": 2,
    "encoder_num_layers": 3,
    "decoder_num_layers": 3,
    "batch_size": 8,
    "codebook_reset_unused_after": 100,
    "temperature": 0.01,
    "learning_rate": 0.015,
    "warmup_epochs": 0.5,
    "epochs": 10,
    "motion_loss_weight": 10.0,
}
VARIANTS = {
    "weight_10": {},
    "weight_0": {"motion_loss_weight": 0.0},
    "weight_3": {"motion_loss_weight": 3.0},
    "weight_30": {"motion_loss_weight": 30.0},
    # Two frames per patch of the decoder in place of four.
    "decoder_2": {"decoder_patch_size": (2, 8, 8)},
    "both_2": {"patch_size": (2, 8, 8)},
    "l1": {"pixel_loss": "l1"},
    "tokens_256": {"num_tokens": 256},
    "codes_4096": {"codebook_size": 4096},
    "no_prior_loss": {"prior_loss_weight": 0.0},
    "adam": {"optimizer": "adam", "learning_rate": 1e-3},
}
# Column of the table -> name of the result.
COLUMNS = {
    "PSNR": "PSNR",
    "moving pixels": "PSNR_of_moving_pixels",
    "SSIM": "SSIM",
    "perplexity": "perplexity",
    "CPU s per step": "seconds_per_step",
}

flags.DEFINE_multi_enum(
    "variant", ["weight_10"], list(VARIANTS), "Variants to train."
)
flags.DEFINE_integer("seed", 0, "Seed of weights and batches.", 0)
flags.DEFINE_integer("steps", 400, "Training steps per run.", 10)
flags.DEFINE_list("games", ["boxing", "breakout", "freeway"], "Atari games.")
flags.DEFINE_integer("num_clips", 384, "Training clips.", 8)
flags.DEFINE_integer("num_evaluated", 96, "Clips of the unseen seed.", 8)
flags.DEFINE_string("dtype", "mixed_bfloat16", "Keras dtype policy.")
flags.DEFINE_string("output", "runs/motion_study", "Folder of the results.")


def main(_):
    output = pathlib.Path(FLAGS.output)
    train, test = (
        make_source(0, FLAGS.num_clips),
        make_source(7, FLAGS.num_evaluated),
    )
    for variant in FLAGS.variant:
        path = output / f"{variant}_{FLAGS.seed}.json"
        if not path.exists():
            results = measure(variant, train, test)
            atomic_write_text(path, json.dumps(results, indent=2) + "\n")
            print(path.stem, results, flush=True)
    print(write_table(output))


def make_source(seed, num_clips):
    """Returns clips that are played once and then kept in memory."""
    source = data.AtariGameplay(num_clips, games=FLAGS.games, seed=seed)
    return data.CachedSource(source)


def measure(variant, train, test):
    """Trains and evaluates a variant; returns its results by name."""
    keras.utils.set_random_seed(FLAGS.seed)
    settings = {**COMMON, "dtype": FLAGS.dtype, **VARIANTS[variant]}
    recipe = recipes.small_data_tokenizer(
        FLAGS.steps // settings["epochs"], **settings
    )
    dataset = data.video_dataset(
        train,
        batch_size=recipe.batch_size,
        shuffle=True,
        seed=FLAGS.seed,
        repeat=True,
    )
    tokenizer = recipe.build(dataset)
    # Reads all clips, so that the first variant takes no longer than others.
    for index in range(len(train)):
        train.read(index, range(recipe.num_frames))
    start = time.process_time()
    tokenizer.fit(dataset, verbose=2, **recipe.fit_arguments())
    seconds = time.process_time() - start
    folder = pathlib.Path(FLAGS.output) / f"{variant}_{FLAGS.seed}"
    evaluation.evaluate_reconstruction(
        folder,
        tokenizer,
        evaluation.EvaluationClips(test, 16, 64),
        batch_size=16,
        overwrite=True,
        verbose=0,
    )
    results, _ = evaluation.merge(folder)
    numbers = {k: v for k, v in results.items() if isinstance(v, int | float)}
    return {
        **numbers,
        "seconds_per_step": seconds / recipe.total_steps,
        "steps": recipe.total_steps,
        "games": FLAGS.games,
        "parameters": tokenizer.count_params(),
    }


def write_table(output):
    """Writes and returns the table of all completed runs."""
    lines = [
        f"| variant | seed | {' | '.join(COLUMNS)} |",
        "|---" * (len(COLUMNS) + 2) + "|",
    ]
    for path in sorted(output.glob("*.json")):
        results = json.loads(path.read_text())
        variant, seed = path.stem.rsplit("_", 1)
        cells = [f"{results[name]:.4g}" for name in COLUMNS.values()]
        lines.append(f"| {variant} | {seed} | {' | '.join(cells)} |")
    table = "\n".join(lines) + "\n"
    atomic_write_text(output / "motion.md", table)
    return table


if __name__ == "__main__":
    app.run(main)

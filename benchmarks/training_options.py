"""Measures the effect of training options.

    python benchmarks/training_options.py --table=precision
    python benchmarks/training_options.py --table=checkpointing

`precision`: the mean loss of the last epoch of the paper's recipe at a small
size on moving shapes, for each dtype policy. It is averaged over several seeds,
since codes are sampled and runs differ.

`checkpointing`: peak memory of the process and seconds per step, with and
without gradient checkpointing. The tokenizer is for 16x64x64 clips, with width
384, 6 + 6 layers, prior XS and batch size 4; the discriminator has the same
width and depth and is updated in each step. On JAX, XLA's memory-optimized
scheduler is measured, too. Each value is from a separate process.

Both train with a discriminator unless `--nodiscriminator` is given. Results are
written as JSON and Markdown.
"""

import json
import os
import statistics
import time

from absl import app, flags
from measuring import (
    FOLDER,
    peak_megabytes,
    report,
    run_in_process,
    write_results,
)

FLAGS = flags.FLAGS

flags.DEFINE_enum(
    "table", "precision", ["precision", "checkpointing"], "What to measure."
)
flags.DEFINE_list(
    "backends", ["jax", "tensorflow", "torch"], "Backends to measure."
)
flags.DEFINE_integer("steps", 200, "Steps per run of `precision`.", 20)
flags.DEFINE_integer("num_seeds", 3, "Runs per policy of `precision`.", 1)
flags.DEFINE_bool("discriminator", True, "Train with a discriminator.")
flags.DEFINE_string(
    "child", None, "Measure this option in this process (internal)."
)

OPTIONS = {
    "precision": ["float32", "mixed_bfloat16", "mixed_float16"],
    "checkpointing": ["stored", "rematerialized"],
}
# By default, XLA schedules a step on CPUs for concurrency, which computes
# rematerialized activations early.
MEMORY_FIRST = "--xla_cpu_scheduler_type=CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED"


def main(_):
    if FLAGS.child:
        measure = {
            "precision": measure_precision,
            "checkpointing": measure_checkpointing,
        }[FLAGS.table]
        report(measure(FLAGS.child))
        return
    results = {
        backend: {
            option: run_in_process(
                __file__,
                backend,
                child=option,
                table=FLAGS.table,
                steps=FLAGS.steps,
                num_seeds=FLAGS.num_seeds,
                discriminator=FLAGS.discriminator,
            )
            for option in options(backend)
        }
        for backend in FLAGS.backends
    }
    name = FLAGS.table
    if not FLAGS.discriminator:
        name += "_without_discriminator"
    path = FOLDER / f"{name}.json"
    if path.exists():  # Keeps the results of other backends.
        results = {**json.loads(path.read_text()), **results}
    rows = {
        (backend, option): row
        for backend, by_option in results.items()
        for option, row in by_option.items()
    }
    head = ["backend", "option", *next(iter(rows.values()))]
    cells = [(*names, *row.values()) for names, row in rows.items()]
    write_results(name, results, head, cells)


def options(backend):
    """Returns the names of the options to measure on a backend."""
    names = OPTIONS[FLAGS.table]
    if backend == "jax" and FLAGS.table == "checkpointing":
        return [*names, *(f"{name}, memory first" for name in names)]
    return names


def measure_precision(dtype):
    """Returns the loss of the last epoch and the number of skipped steps."""
    runs = [train_with(dtype, seed) for seed in range(FLAGS.num_seeds)]
    losses = [history["loss"][-1] for history in runs]
    pixel_losses = [history["pixel_loss"][-1] for history in runs]
    return {
        "num_seeds": FLAGS.num_seeds,
        "last_loss": statistics.mean(losses),
        "spread": statistics.pstdev(losses),
        "last_pixel_loss": statistics.mean(pixel_losses),
        "skipped_steps": sum(sum(h["skipped_steps"]) for h in runs),
    }


def train_with(dtype, seed):
    """Trains once and returns the history."""
    import keras

    from keras_larp import data, recipes

    keras.utils.set_random_seed(seed)
    source = data.MovingShapes(512, num_frames=8, image_size=32)
    dataset = data.video_dataset(source, batch_size=8)
    recipe = recipes.larp_l_long_tokenizer(
        FLAGS.steps // 10,
        epochs=10,
        warmup_epochs=0.5,
        learning_rate=2e-3,
        discriminator_learning_rate=2e-4,
        prior_learning_rate_multiplier=1.0,
        num_frames=8,
        image_size=32,
        num_tokens=16,
        codebook_size=128,
        code_dim=8,
        hidden_dim=64,
        num_heads=4,
        encoder_num_layers=2,
        decoder_num_layers=2,
        latent_norm="batch_joint",
        query_init_std=1.0,
        prior="gptc-XXS",
        perceptual_model=None,
        discriminator=FLAGS.discriminator,
        discriminator_hidden_dim=64,
        discriminator_num_heads=4,
        discriminator_num_layers=2,
        dtype=dtype,
    )
    tokenizer = recipe.build()
    arguments = recipe.fit_arguments()
    return tokenizer.fit(dataset, verbose=0, **arguments).history


def measure_checkpointing(option):
    """Returns memory before training, peak memory and seconds per step."""
    option, _, memory_first = option.partition(", ")
    if memory_first:
        os.environ["XLA_FLAGS"] = MEMORY_FIRST

    import keras
    import numpy as np

    from keras_larp import models

    sizes = {
        "image_size": 64,
        "hidden_dim": 384,
        "num_heads": 6,
        "gradient_checkpointing": option == "rematerialized",
    }
    tokenizer = models.LARPTokenizer(
        num_tokens=256,
        encoder_num_layers=6,
        decoder_num_layers=6,
        prior="gptc-XS",
        **sizes,
    )
    discriminator = None
    if FLAGS.discriminator:
        discriminator = models.VideoDiscriminator(num_layers=6, **sizes)
    tokenizer.compile(
        keras.optimizers.Adam(1e-4),
        total_steps=100,
        discriminator=discriminator,
        discriminator_every=1,
    )
    video = np.random.default_rng(0).random((4, 16, 64, 64, 3), "float32")
    before = peak_megabytes()
    times = []
    for _ in range(5):
        start = time.perf_counter()
        tokenizer.train_on_batch(video)
        times.append(time.perf_counter() - start)
    return {
        "megabytes_before": before,
        "megabytes": peak_megabytes(),
        "step_seconds": statistics.median(times[2:]),
    }


if __name__ == "__main__":
    app.run(main)

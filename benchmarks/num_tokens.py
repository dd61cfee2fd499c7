"""Measures how long it takes to generate the first tokens of clips.

    KERAS_BACKEND=torch python benchmarks/num_tokens.py

It prints a table of seconds per batch by the number of tokens: the median of
runs after a warm-up run, and the CPU time of the process, which other processes
on the machine affect less.
"""

import statistics
import time

import keras
from absl import app, flags

import keras_larp

FLAGS = flags.FLAGS
flags.DEFINE_string(
    "preset", "larp_tiny_moving_shapes_generator", "The generator."
)
flags.DEFINE_integer("batch_size", 8, "Clips per batch.", 1)
flags.DEFINE_integer("repeats", 9, "Measured runs.", 1)


def main(_):
    generator = keras_larp.models.ARVideoGenerator.from_preset(FLAGS.preset)
    total = generator.num_tokens
    lengths = total, total // 2, total // 4
    times = {length: [] for length in lengths}
    for repeat in range(FLAGS.repeats + 1):
        for length in lengths:
            seconds = measure(generator, length)
            if repeat:  # The first run compiles.
                times[length].append(seconds)
    print("| tokens | seconds | speedup | CPU seconds | speedup |")
    print("|---|---|---|---|---|")
    full = medians(times[total])
    for length in lengths:
        cells = [
            f"{value:.3f} | {all_tokens / value:.2f}"
            for value, all_tokens in zip(
                medians(times[length]), full, strict=True
            )
        ]
        print(f"| {length} | {' | '.join(cells)} |")


def measure(generator, num_tokens):
    """Elapsed and CPU time of a batch."""
    elapsed, used = time.perf_counter(), time.process_time()
    token_ids = generator.generate(
        num_samples=FLAGS.batch_size, seed=0, num_tokens=num_tokens
    )
    keras.ops.convert_to_numpy(token_ids)  # Waits for the result.
    return time.perf_counter() - elapsed, time.process_time() - used


def medians(pairs):
    return [statistics.median(values) for values in zip(*pairs, strict=True)]


if __name__ == "__main__":
    app.run(main)

"""Measures speed on each backend, and writes a table as JSON and Markdown.

    python benchmarks/benchmark.py --table=tokenizer
    python benchmarks/benchmark.py --table=training
    python benchmarks/benchmark.py --table=sampling

Each backend runs in a separate process. Values are medians of repeated runs
after a warm-up; weights and data are random. To compare with the reference
implementation, measure it on the same machine at the same time, and pass its
seconds:

    python benchmarks/benchmark.py --table=tokenizer --reference=3.6,3.4
"""

import os
import pathlib
import platform
import statistics

from absl import app, flags
from measuring import report, run_in_process, seconds_of, write_results

FLAGS = flags.FLAGS

flags.DEFINE_enum(
    "table",
    "tokenizer",
    ["tokenizer", "training", "sampling"],
    "What to measure.",
)
flags.DEFINE_list(
    "backends", ["jax", "tensorflow", "torch"], "Backends to measure."
)
flags.DEFINE_integer("repeats", 5, "Measured runs.", 1)
flags.DEFINE_list(
    "reference",
    None,
    "Seconds of the reference implementation on this machine, one value per "
    "column. Default: values from another machine with two such cores.",
)
flags.DEFINE_bool("child", False, "Measure in this process (internal).")

REFERENCE = {
    "tokenizer": {"encode_seconds": 3.4, "decode_seconds": 3.4},
    "training": {"step_seconds": 4.2},
    "sampling": {"seconds": 4 * 256 / 42},
}


def main(_):
    if FLAGS.child:
        measure = {
            "tokenizer": measure_tokenizer,
            "training": measure_training,
            "sampling": measure_sampling,
        }[FLAGS.table]
        report(measure())
        return
    options = {"child": True, "table": FLAGS.table, "repeats": FLAGS.repeats}
    write(
        {
            backend: run_in_process(__file__, backend, **options)
            for backend in FLAGS.backends
        }
    )


def measure_tokenizer():
    """Seconds for encoding and decoding one clip with the paper's LARP-L."""
    import keras

    from keras_larp import models

    tokenizer = models.LARPTokenizer(prior=None)
    video = keras.random.uniform((1, 16, 128, 128, 3), seed=0)
    token_ids = tokenizer.encode(video)
    return {
        "encode_seconds": median_time(lambda: tokenizer.encode(video)),
        "decode_seconds": median_time(lambda: tokenizer.decode(token_ids)),
        "parameters": tokenizer.count_params(),
    }


def measure_training():
    """Seconds per step: 16x64x64, width 384, 6 + 6 layers, batch size 4."""
    import keras
    import numpy as np

    from keras_larp import models

    tokenizer = models.LARPTokenizer(
        image_size=64,
        num_tokens=256,
        hidden_dim=384,
        num_heads=6,
        encoder_num_layers=6,
        decoder_num_layers=6,
        prior="gptc-XS",
    )
    tokenizer.compile(keras.optimizers.Adam(1e-4), 50.0, total_steps=1000)
    video = np.random.default_rng(0).random((4, 16, 64, 64, 3), "float32")

    def step():
        return tokenizer.train_on_batch(video)

    return {
        "step_seconds": median_time(step),
        "parameters": tokenizer.count_params(),
    }


def measure_sampling():
    """Seconds for 256 tokens of 4 clips with llama-abs-B and guidance."""
    from keras_larp import models

    generator = models.ARVideoGenerator.from_size(
        "llama-abs-B", num_tokens=256, vocab_size=8192, num_classes=101
    )

    def sample():
        return generator.generate([0, 1, 2, 3], guidance_scale=1.25, seed=0)

    seconds = median_time(sample)
    return {
        "seconds": seconds,
        "tokens_per_second": 4 * 256 / seconds,
        "parameters": generator.count_params(),
    }


def median_time(function):
    """Median seconds of `function`, after two warm-up calls."""
    for _ in range(2):
        seconds_of(function)
    return statistics.median(seconds_of(function) for _ in range(FLAGS.repeats))


def write(results):
    reference = REFERENCE[FLAGS.table]
    if FLAGS.reference is not None:
        measured = map(float, FLAGS.reference)
        reference = dict(zip(reference, measured, strict=True))
    content = {
        "table": FLAGS.table,
        "processor": processor(),
        "cores": os.cpu_count(),
        "repeats": FLAGS.repeats,
        "reference": reference,
        "reference_measured_here": FLAGS.reference is not None,
        "results": results,
    }
    head = ["backend"]
    for name in reference:
        head += [name, "relative to the reference implementation"]
    rows = []
    for backend, result in results.items():
        rows.append([backend])
        for name, seconds in reference.items():
            rows[-1] += [result[name], result[name] / seconds]
    write_results(FLAGS.table, content, head, rows)


def processor():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


if __name__ == "__main__":
    app.run(main)

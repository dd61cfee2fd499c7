"""Measures one table on each backend and writes it as JSON and Markdown.

    python benchmarks/benchmark.py --table=tokenizer
    python benchmarks/benchmark.py --table=training
    python benchmarks/benchmark.py --table=sampling

Each backend is measured in a process of its own. Numbers are medians of
repeated runs after a warm-up; weights and data are random. Whoever has measured
the authors' code on the same machine, in the same hour, says what it took:

    python benchmarks/benchmark.py --table=tokenizer --authors=3.6,3.4
"""

import os
import pathlib
import platform
import statistics
import time

from absl import app, flags
from measuring import in_own_process, report, write_results

FLAGS = flags.FLAGS

flags.DEFINE_enum(
    "table", "tokenizer", ["tokenizer", "training", "sampling"], "What to do."
)
flags.DEFINE_list("backends", ["jax", "tensorflow", "torch"], "On which.")
flags.DEFINE_integer("repeats", 5, "Measured runs.", 1)
flags.DEFINE_list(
    "authors",
    None,
    "Seconds that the authors' code takes here, one a column; those on another "
    "machine of two such cores where not given.",
)
flags.DEFINE_bool("child", False, "Measure the backend of this process.")

AUTHORS = {
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
            backend: in_own_process(__file__, backend, **options)
            for backend in FLAGS.backends
        }
    )


def measure_tokenizer():
    """Seconds to encode and to decode one clip with the paper's LARP-L."""
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
    """Seconds a step, 16x64x64, width 384, 6 + 6 layers, prior XS, batch 4."""
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
    """Seconds for 256 tokens of 4 clips with llama-abs-B, all guided."""
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
    """Median of the seconds that `function` takes, compiled before."""
    from keras import ops, tree

    def run():
        result = function()
        tree.map_structure(ops.convert_to_numpy, result)  # waits for it

    run()
    run()
    times = []
    for _ in range(FLAGS.repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def write(results):
    authors = AUTHORS[FLAGS.table]
    if FLAGS.authors is not None:
        given = map(float, FLAGS.authors)
        authors = dict(zip(authors, given, strict=True))
    content = {
        "table": FLAGS.table,
        "processor": processor(),
        "cores": os.cpu_count(),
        "repeats": FLAGS.repeats,
        "authors": authors,
        "authors_measured_here": FLAGS.authors is not None,
        "results": results,
    }
    head = ["backend"]
    for name in authors:
        head += [name, "over the authors'"]
    rows = []
    for backend, result in results.items():
        rows.append([backend])
        for name, theirs in authors.items():
            rows[-1] += [result[name], result[name] / theirs]
    write_results(FLAGS.table, content, head, rows)


def processor():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


if __name__ == "__main__":
    app.run(main)

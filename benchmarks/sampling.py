"""Tokens a second and peak memory of sampling, as JSON and Markdown.

    python benchmarks/sampling.py                    # everything, hours
    python benchmarks/sampling.py --backends=jax --sizes=B --batches=1,8

Each row is measured in a process of its own, so that its peak of memory is
its own: the median of runs after one that warms up, random weights.
"""

import itertools
import json
import statistics
import time

from absl import app, flags
from measuring import in_own_process, peak_megabytes, report, write_results

FLAGS = flags.FLAGS

flags.DEFINE_list("backends", ["jax", "tensorflow", "torch"], "On which.")
flags.DEFINE_list("sizes", ["S", "B", "L"], "Generators llama-abs-...")
flags.DEFINE_list("batches", ["1", "8", "32"], "Clips at a time.")
flags.DEFINE_list("guidance", ["1.0", "1.25"], "Scales of guidance.")
flags.DEFINE_list("caches", ["growing", "full"], "Key-value caches.")
flags.DEFINE_list("weights", ["float32"], "float32, or int8 (quantized).")
flags.DEFINE_integer("num_tokens", 256, "Tokens a clip.", 1)
flags.DEFINE_integer("repeats", 3, "Measured runs.", 1)
flags.DEFINE_string("row", None, "Measure this row in this process.")

COLUMNS = ["backend", "size", "batch", "guidance", "cache", "weights"]


def main(_):
    if FLAGS.row:
        report(measure(json.loads(FLAGS.row)))
        return
    chosen = itertools.product(
        FLAGS.backends,
        FLAGS.sizes,
        FLAGS.batches,
        FLAGS.guidance,
        FLAGS.caches,
        FLAGS.weights,
    )
    rows = []
    for values in chosen:
        row = dict(zip(COLUMNS, values, strict=True))
        measured = in_own_process(
            __file__,
            row["backend"],
            row=json.dumps(row),
            num_tokens=FLAGS.num_tokens,
            repeats=FLAGS.repeats,
        )
        rows.append({**row, **measured})
        content = {"num_tokens": FLAGS.num_tokens, "rows": rows}
        cells = [row.values() for row in rows]
        write_results("sampling_sizes", content, list(rows[0]), cells)


def measure(row):
    import numpy as np
    from keras import ops

    from keras_larp import models
    from keras_larp.models import video_generation

    if row["cache"] == "full":
        video_generation.CACHE_GROWTH = FLAGS.num_tokens
    generator = models.ARVideoGenerator.from_size(
        f"llama-abs-{row['size']}",
        num_tokens=FLAGS.num_tokens,
        vocab_size=8192,
        num_classes=101,
    )
    if row["weights"] == "int8":
        generator.quantize("int8")
    labels = np.arange(int(row["batch"]))

    def run():
        start = time.perf_counter()
        scale = float(row["guidance"])
        ids = generator.generate(labels, guidance_scale=scale, seed=0)
        ops.convert_to_numpy(ids)  # Waits for it.
        return time.perf_counter() - start

    first = run()
    seconds = statistics.median(run() for _ in range(FLAGS.repeats))
    return {
        "tokens_per_second": len(labels) * FLAGS.num_tokens / seconds,
        "milliseconds_per_step": 1000 * seconds / FLAGS.num_tokens,
        "first_call_seconds": first,
        "peak_megabytes": peak_megabytes(),
    }


if __name__ == "__main__":
    app.run(main)

"""Tokens a second and peak memory of sampling, as JSON and Markdown.

    python benchmarks/sampling.py                    # everything, hours
    python benchmarks/sampling.py --backends=jax --sizes=B --batches=1,8

Each row is measured in a process of its own, so that its peak of memory is
its own: the median of runs after one that warms up, random weights.
"""

import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import time

from absl import app, flags

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

PATH = pathlib.Path(__file__).parent / "results" / "sampling_sizes.json"
COLUMNS = ["backend", "size", "batch", "guidance", "cache", "weights"]


def main(_):
    if FLAGS.row:
        print("RESULT" + json.dumps(measure(json.loads(FLAGS.row))))
        return
    rows = [
        dict(zip(COLUMNS, values, strict=True))
        for values in combinations(
            FLAGS.backends,
            FLAGS.sizes,
            FLAGS.batches,
            FLAGS.guidance,
            FLAGS.caches,
            FLAGS.weights,
        )
    ]
    for row in rows:
        row.update(run_child(row))
        print(row, flush=True)
        write(rows)


def combinations(first, *others):
    tails = combinations(*others) if others else [()]
    return [(value, *tail) for value in first for tail in tails]


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
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "tokens_per_second": len(labels) * FLAGS.num_tokens / seconds,
        "milliseconds_per_step": 1000 * seconds / FLAGS.num_tokens,
        "first_call_seconds": first,
        "peak_memory_gib": peak / 2**20,
    }


def run_child(row):
    command = [sys.executable, __file__, f"--row={json.dumps(row)}"]
    command += [f"--num_tokens={FLAGS.num_tokens}"]
    result = subprocess.run(
        [*command, f"--repeats={FLAGS.repeats}"],
        env={**os.environ, "KERAS_BACKEND": row["backend"]},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    (line,) = [s for s in result.stdout.splitlines() if s.startswith("RESULT")]
    return json.loads(line.removeprefix("RESULT"))


def write(rows):
    rows = [row for row in rows if "tokens_per_second" in row]
    content = {"num_tokens": FLAGS.num_tokens, "rows": rows}
    PATH.parent.mkdir(exist_ok=True)
    PATH.write_text(json.dumps(content, indent=2) + "\n")
    names = list(rows[0])
    lines = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    for row in rows:
        cells = [
            f"{v:.1f}" if isinstance(v, float) else str(v) for v in row.values()
        ]
        lines.append(f"| {' | '.join(cells)} |")
    PATH.with_suffix(".md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    app.run(main)

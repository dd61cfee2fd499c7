"""Tokens a second and peak memory of sampling, as JSON and Markdown.

    python benchmarks/sampling.py                    # everything, hours
    python benchmarks/sampling.py --backends=jax --sizes=B --batches=1,8

Each row is measured in a process of its own, so that its peak of memory is
its own: the median of runs after one that warms up, random weights. Beside it,
in the same process, stands how long it takes to read all weights once, which is
the least that a step of one clip can take: on processors with as many threads
as there are cores, on an accelerator by summing them there. Rows that are in
`results/sampling_sizes.json` are not measured again.

    python benchmarks/sampling.py --backends=torch --sizes=LP --batches=64 \\
        --guidance=1.25 --caches=growing --dtypes=bfloat16 --num_tokens=1024
"""

import itertools
import json
import os
import re
import statistics
import time
from concurrent.futures import ThreadPoolExecutor

from absl import app, flags
from measuring import (
    FOLDER,
    in_own_process,
    peak_megabytes,
    report,
    write_results,
)

FLAGS = flags.FLAGS

flags.DEFINE_list("backends", ["jax", "tensorflow", "torch"], "On which.")
flags.DEFINE_list("sizes", ["S", "B", "L"], "Generators llama-abs-...")
flags.DEFINE_list("batches", ["1", "8", "32"], "Clips at a time.")
flags.DEFINE_list("guidance", ["1.0", "1.25"], "Scales of guidance.")
flags.DEFINE_list("caches", ["growing", "full"], "Key-value caches.")
flags.DEFINE_list("weights", ["float32"], "float32, or int8 (quantized).")
flags.DEFINE_list("dtypes", ["float32"], "Policies; float32, bfloat16, ...")
flags.DEFINE_integer("num_tokens", 256, "Tokens a clip.", 1)
flags.DEFINE_integer("repeats", 3, "Measured runs.", 1)
flags.DEFINE_string("row", None, "Measure this row in this process.")

COLUMNS = [
    "backend", "size", "batch", "guidance", "cache", "weights", "dtype",
]  # fmt: skip


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
        FLAGS.dtypes,
    )
    path = FOLDER / "sampling_sizes.json"
    rows = json.loads(path.read_text())["rows"] if path.exists() else []
    # Those that were measured before there was a choice of dtypes.
    rows = [{c: row.get(c, "float32") for c in COLUMNS} | row for row in rows]
    for values in chosen:
        row = {
            **dict(zip(COLUMNS, values, strict=True)),
            "num_tokens": FLAGS.num_tokens,
        }
        if any(row.items() <= done.items() for done in rows):
            continue
        measured = in_own_process(
            __file__,
            row["backend"],
            row=json.dumps(row),
            repeats=FLAGS.repeats,
        )
        rows.append({**row, **measured})
        cells = [row.values() for row in rows]
        write_results(path.stem, {"rows": rows}, list(rows[0]), cells)


def measure(row):
    import numpy as np
    from keras import ops

    from keras_larp import models
    from keras_larp.models import video_generation

    if row["cache"] == "full":
        video_generation.CACHE_GROWTH = row["num_tokens"]
    generator = models.ARVideoGenerator.from_size(
        f"llama-abs-{row['size']}",
        num_tokens=row["num_tokens"],
        vocab_size=8192,
        num_classes=101,
        dtype=row["dtype"],
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
    peak = peak_megabytes()
    milliseconds = 1000 * seconds / row["num_tokens"]
    reading = milliseconds_to_read(generator)
    return {
        "tokens_per_second": 1000 * len(labels) / milliseconds,
        "milliseconds_per_step": milliseconds,
        "milliseconds_to_read_weights": reading,
        "readings_per_step": milliseconds / reading,
        "first_call_seconds": first,
        "peak_megabytes": peak,
    }


def milliseconds_to_read(generator):
    """As many bytes as a step reads: blocks and head, without embeddings."""
    import numpy as np
    from keras import ops

    weights = [w for block in generator.blocks for w in block.weights]
    weights += generator.head.weights
    size = 0
    for weight in weights:
        # A mixed policy's kernels are cast before the first step.
        is_int8 = weight.dtype == "int8"
        dtype = weight.dtype if is_int8 else generator.compute_dtype
        bits = int(re.search("[0-9]+", dtype)[0])
        size += bits // 8 * int(np.prod(weight.shape))

    if "cpu" in str(ops.ones(()).device).lower():
        parts = np.array_split(np.ones(size, "uint8"), os.cpu_count())
        pool = ThreadPoolExecutor(len(parts))
        once, repeats = lambda: list(pool.map(np.max, parts)), 1
    else:
        numbers = ops.ones((size // 4,), "float32")
        # Several in a row, so that launching and waiting do not count.
        once, repeats = lambda: ops.sum(numbers), 10
    times = []
    for _ in range(10):
        start = time.perf_counter()
        for _ in range(repeats):
            result = once()
        ops.convert_to_numpy(result)  # Waits for it.
        times.append((time.perf_counter() - start) / repeats)
    return 1000 * statistics.median(times)


if __name__ == "__main__":
    app.run(main)

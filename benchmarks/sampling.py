"""Measures tokens per second and peak memory of sampling.

    python benchmarks/sampling.py                    # everything, hours
    python benchmarks/sampling.py --backends=jax --sizes=B --batches=1,8

Each row is measured in a separate process, so that peak memory is per row.
Times are medians after a warm-up run, with random weights. The same process
also measures how long it takes to read all weights once, a lower bound for a
step with one clip: on CPU with one thread per core, on an accelerator by
summing them. Results are written as JSON and Markdown; rows that are already in
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
    peak_megabytes,
    report,
    run_in_process,
    write_results,
)

FLAGS = flags.FLAGS

flags.DEFINE_list(
    "backends", ["jax", "tensorflow", "torch"], "Backends to measure."
)
flags.DEFINE_list(
    "sizes", ["S", "B", "L"], "Generator sizes: S for llama-abs-S, and so on."
)
flags.DEFINE_list("batches", ["1", "8", "32"], "Batch sizes.")
flags.DEFINE_list(
    "guidance", ["1.0", "1.25"], "Classifier-free guidance scales."
)
flags.DEFINE_list(
    "caches", ["growing", "full"], "Key-value caches: growing or full."
)
flags.DEFINE_list(
    "weights", ["float32"], "Weights: float32 or int8 (quantized)."
)
flags.DEFINE_list(
    "dtypes", ["float32"], "Dtype policies, such as float32, bfloat16."
)
flags.DEFINE_integer("num_tokens", 256, "Tokens per clip.", 1)
flags.DEFINE_integer("repeats", 3, "Measured runs.", 1)
flags.DEFINE_string("row", None, "Measure this row in this process (internal).")

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
    # The first measurements have no column for the dtype.
    rows = [{c: row.get(c, "float32") for c in COLUMNS} | row for row in rows]
    for values in chosen:
        row = {
            **dict(zip(COLUMNS, values, strict=True)),
            "num_tokens": FLAGS.num_tokens,
        }
        if any(row.items() <= done.items() for done in rows):
            continue
        measured = run_in_process(
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
    from keras_larp.models import token_sampler

    if row["cache"] == "full":
        token_sampler.CACHE_GROWTH = row["num_tokens"]
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
        ops.convert_to_numpy(ids)  # Waits for the result.
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
    """Times reading the weights that a step reads: blocks and head."""
    import numpy as np
    from keras import ops

    weights = [w for block in generator.blocks for w in block.weights]
    weights += generator.head.weights
    size = 0
    for weight in weights:
        # With a mixed policy, kernels are cast before the first step.
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
        # Repeated, so that launch and synchronization do not count.
        once, repeats = lambda: ops.sum(numbers), 10
    times = []
    for _ in range(10):
        start = time.perf_counter()
        for _ in range(repeats):
            result = once()
        ops.convert_to_numpy(result)  # Waits for the result.
        times.append((time.perf_counter() - start) / repeats)
    return 1000 * statistics.median(times)


if __name__ == "__main__":
    app.run(main)

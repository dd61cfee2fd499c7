"""Compares the speed of the working tree with that of a revision.

    python benchmarks/compare_revisions.py --base=main
    make benchmark BASE=main

Encoding, decoding, training steps and sampling of small models are measured on
each installed backend. Both versions run in processes of their own, which take
turns, so that a change of the machine's speed affects both. A verdict comes
from the bootstrap interval of the median ratio of two successive runs.
"""

import contextlib
import importlib.util
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np
from absl import app, flags

FLAGS = flags.FLAGS
flags.DEFINE_string("base", "HEAD", "Revision to compare with.")
flags.DEFINE_list("backends", None, "Backends; by default all installed ones.")
flags.DEFINE_integer("threads", 1, "Threads of each process.", 1)
flags.DEFINE_float("seconds", 270, "Time for all backends, start included.", 1)
flags.DEFINE_enum(
    "clock",
    "cpu",
    ["cpu", "wall"],
    "What to measure. The CPU time of a process hardly depends on other "
    "processes of the machine; GPUs and several threads need `wall`.",
)
flags.DEFINE_enum("size", "small", ["small", "tiny"], "Size of the models.")

ROOT = pathlib.Path(__file__).resolve().parents[1]
WORKER = pathlib.Path(__file__).with_name("revision_worker.py")
CASES = ("encode", "decode", "train step", "sampling")
MIN_ROUNDS = 5
CONFIDENCE = 0.99
# Equal code differs by up to this much between two processes, by the layout of
# their memory.
MARGIN = 0.02


def main(_):
    backends = FLAGS.backends or [
        name
        for name in ("jax", "tensorflow", "torch")
        if importlib.util.find_spec(name)
    ]
    head = f"{FLAGS.base}, ms | working tree, ms | pairs | ratio | verdict"
    print(f"| | {head} |\n|---|---|---|---|---|---|", flush=True)
    end = time.monotonic() + FLAGS.seconds
    with tempfile.TemporaryDirectory() as folder:
        extract(FLAGS.base, folder)
        for index, backend in enumerate(backends):
            left = (end - time.monotonic()) / (len(backends) - index)
            seconds = measure(backend, [folder, ROOT], left)
            for case in CASES:
                print(row(f"{backend}, {case}", *seconds[case]), flush=True)


def extract(revision, folder):
    """Writes the package of a revision to a folder."""
    archive = subprocess.run(
        ["git", "-C", ROOT, "archive", revision, "keras_larp"],
        stdout=subprocess.PIPE,
        check=True,
    )
    subprocess.run(
        ["tar", "-x", "-C", folder], input=archive.stdout, check=True
    )


def measure(backend, checkouts, seconds):
    """Measures two checkouts alternately.

    Returns:
        Dictionary from cases to arrays `(2, rounds)` of seconds.
    """
    end = time.monotonic() + seconds
    results = {case: [] for case in CASES}
    with contextlib.ExitStack() as stack:
        workers = [
            stack.enter_context(Worker(backend, checkout))
            for checkout in checkouts
        ]
        for worker in workers:
            worker.wait_until_ready()
        num_rounds = 0
        while num_rounds < MIN_ROUNDS or time.monotonic() < end:
            # The first of a pair alternates.
            order = (0, 1) if num_rounds % 2 == 0 else (1, 0)
            for case in CASES:
                pair = {index: workers[index].run(case) for index in order}
                results[case].append([pair[0], pair[1]])
            num_rounds += 1
    return {case: np.array(pairs).T for case, pairs in results.items()}


class Worker:
    """A process that measures the package of one checkout."""

    def __init__(self, backend, checkout):
        threads = str(FLAGS.threads)
        self._errors = tempfile.TemporaryFile("w+")
        self._command = [
            *(sys.executable, str(WORKER)),
            *(f"--checkout={checkout}", f"--clock={FLAGS.clock}"),
            f"--size={FLAGS.size}",
        ]
        self._process = subprocess.Popen(
            self._command,
            env={
                **os.environ,
                "KERAS_BACKEND": backend,
                "PYTHONPATH": str(checkout),
                "OMP_NUM_THREADS": threads,
                "TF_NUM_INTRAOP_THREADS": threads,
                "TF_NUM_INTEROP_THREADS": threads,
                "NPROC": threads,  # JAX
                "TF_CPP_MIN_LOG_LEVEL": "2",
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()
        self._errors.close()

    def wait_until_ready(self):
        """Waits until the process has compiled all cases."""
        self._read("READY")

    def run(self, case):
        """Returns the seconds of one run of a case."""
        self._process.stdin.write(f"{case}\n")
        self._process.stdin.flush()
        return float(self._read("SECONDS"))

    def _read(self, keyword):
        for line in self._process.stdout:
            if line.startswith(keyword):
                return line.removeprefix(keyword)
        self._errors.seek(0)
        raise RuntimeError(
            f"A process has failed: {self._command}\n{self._errors.read()}"
        )


def row(label, base, new):
    ratio, low, high = ratio_interval(base, new)
    milliseconds = [f"{1000 * np.median(x):.1f}" for x in (base, new)]
    interval = f"{ratio:.3f} ({low:.3f} to {high:.3f})"
    cells = [label, *milliseconds, str(len(base)), interval, verdict(low, high)]
    return f"| {' | '.join(cells)} |"


def ratio_interval(base, new, num_resamples=2000):
    """Estimates how many times as long `new` takes as `base`.

    Args:
        base: Array `(rounds,)`, seconds.
        new: Array `(rounds,)`, seconds measured right before or after.
        num_resamples: Integer.

    Returns:
        Median of the ratios, and the bounds of its bootstrap interval.
    """
    ratios = np.asarray(new) / np.asarray(base)
    random = np.random.default_rng(0)
    indices = random.integers(len(ratios), size=(num_resamples, len(ratios)))
    medians = np.median(ratios[indices], axis=1)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(medians, [tail, 1 - tail])
    return float(np.median(ratios)), float(low), float(high)


def verdict(low, high):
    """What an interval of ratios means, in words."""
    if low > 1 + MARGIN:
        return f"slower by {low - 1:.0%} to {high - 1:.0%}".replace("%", " %")
    if high < 1 - MARGIN:
        return f"faster by {1 - high:.0%} to {1 - low:.0%}".replace("%", " %")
    return "no difference"


if __name__ == "__main__":
    app.run(main)

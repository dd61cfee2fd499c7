"""Helpers of the benchmarks: separate processes, results in files."""

import json
import os
import pathlib
import resource
import subprocess
import sys
import time

FOLDER = pathlib.Path(__file__).parent / "results"


def run_in_process(script, backend, **options):
    """Runs a script in a new process, and returns what it passes to `report`.

    Args:
        script: Path of the script.
        backend: String. Value of `KERAS_BACKEND`.
        **options: Flags of the script.
    """
    flags = [f"--{name}={value}" for name, value in options.items()]
    result = subprocess.run(
        [sys.executable, script, *flags],
        env={**os.environ, "KERAS_BACKEND": backend},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    (line,) = [s for s in result.stdout.splitlines() if s.startswith("RESULT")]
    line = line.removeprefix("RESULT")
    print(backend, *options.values(), line, flush=True)
    return json.loads(line)


def report(result):
    """Passes a dictionary to the process that called `run_in_process`."""
    print("RESULT" + json.dumps(result))


def seconds_of(function, clock=time.perf_counter):
    """Returns the seconds until the result of a function is computed."""
    from keras import ops, tree

    start = clock()
    # The conversion waits for the result.
    tree.map_structure(ops.convert_to_numpy, function())
    return clock() - start


def peak_megabytes():
    """Returns the peak memory (resident set size) of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def write_results(name, content, head, rows):
    """Writes `results/<name>.json`, and the rows as a table to `.md`."""
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{name}.json"
    path.write_text(json.dumps(content, indent=2) + "\n")
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for row in rows:
        cells = [f"{v:.4g}" if isinstance(v, float) else str(v) for v in row]
        lines.append(f"| {' | '.join(cells)} |")
    table = "\n".join(lines) + "\n"
    path.with_suffix(".md").write_text(table)
    print(table)

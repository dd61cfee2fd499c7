"""Prints a table of faults and their outcomes; see README.md."""

import argparse
import pathlib
import sys
import tempfile
import time

import keras
from faults.harness import PARTS, Harness, format_table
from faults.processes import import_everything


def main():
    parser = argparse.ArgumentParser(prog="python -m faults")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--commands", nargs="+", help="default: all commands")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    import_everything()
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        harness = Harness(pathlib.Path(folder), options.seed, options.commands)
        rows = []
        for part in options.parts:
            for row in harness.run(part):
                print(format_table([row]).splitlines()[2], flush=True)
                rows.append(row)
    minutes = (time.perf_counter() - start) / 60
    print(f"\n{keras.backend.backend()}, {minutes:.0f} minutes\n")
    print(format_table(rows))
    sys.exit(any(row.problems for row in rows))


if __name__ == "__main__":
    main()

"""Calls the public interface with many invalid arguments.

    make fuzz BACKEND=jax CASES=5000

It prints a table of the outcomes by package, and all calls that were not
refused clearly. The exit status is 1 if any was accepted silently or did not
end in time, if more than 1 % were refused unclearly, or if one of these is not
listed in `exceptions.py`.
"""

import argparse
import collections
import faulthandler
import sys

import keras
from fuzz.entries import all_entries
from fuzz.exceptions import is_listed
from fuzz.outcomes import CLEAR, HANG, SILENT, UNCLEAR
from hypothesis import HealthCheck, Phase, given, seed, settings

MAX_UNCLEAR = 0.01  # Fraction of the cases.


def try_entry(entry, num_cases, random_seed):
    """Returns a list of (argument, value, outcome, message)."""
    found = []

    @seed(random_seed)
    @settings(
        max_examples=num_cases,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(entry.bad_calls())
    def draw(call):
        name, value = call
        found.append((name, value, *entry.outcome(name, value)))

    draw()
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="prefix of entry names")
    arguments = parser.parse_args()
    entries = {
        name: entry
        for name, entry in all_entries().items()
        if name.startswith(arguments.only)
    }
    num_kinds = sum(len(entry.kinds) for entry in entries.values())
    per_kind = -(-arguments.cases // num_kinds)
    num_unlisted = 0
    table = collections.defaultdict(collections.Counter)
    for name, entry in entries.items():
        # A call that blocks in native code ends the process.
        faulthandler.dump_traceback_later(1800, exit=True)
        cases = try_entry(entry, per_kind * len(entry.kinds), arguments.seed)
        counts = table[name.split(".")[0].split(" ")[0]]
        for argument, value, outcome, message in cases:
            counts[outcome] += 1
            if outcome == CLEAR:
                continue
            listed = outcome == UNCLEAR and is_listed(name, message)
            num_unlisted += not listed
            text = repr(value)[:80].replace("\n", " ")
            print(
                f"{outcome}{' (listed)' * listed}: {name}({argument}={text}) "
                f"{message}",
                flush=True,
            )
    faulthandler.cancel_dump_traceback_later()
    return report(table, num_unlisted)


def report(table, num_unlisted):
    """Prints the table and returns the exit status."""
    outcomes = (CLEAR, UNCLEAR, SILENT, HANG)
    total = sum(table.values(), collections.Counter())
    rows = [*sorted(table.items()), ("all", total)]
    print(f"\n{keras.backend.backend()}")
    print(f"| package | cases | {' | '.join(outcomes)} |")
    print("|---|---|---|---|---|---|")
    for name, counts in rows:
        cells = [sum(counts.values()), *(counts[o] for o in outcomes)]
        print(f"| {name} | {' | '.join(map(str, cells))} |")
    print(f"not listed in exceptions.py: {num_unlisted}")
    too_many = total[UNCLEAR] > MAX_UNCLEAR * sum(total.values())
    return 1 if num_unlisted or too_many else 0


if __name__ == "__main__":
    sys.exit(main())

"""Injects faults into the commands that write, and checks what remains."""

import dataclasses
import pathlib
import random
import re
import signal
import time

from faults import artifacts, memory
from faults.cases import EVERY_STEP, make_cases, shard_arguments, write_presets
from faults.disks import Disk, can_mount
from faults.processes import Command, call, run

# Number of interruptions per command.
KILLS = {
    "train-tokenizer": 6,
    "train-generator": 6,
    "tokenize": 4,
    "generate": 4,
    "reconstruct": 3,
    "predict-frames": 4,
    "evaluate reconstruction": 3,
    "evaluate generation": 3,
    "evaluate frame-prediction": 3,
    "evaluate merge": 2,
    "convert": 2,
}
TERMINATIONS = {
    "train-tokenizer": 4,
    "train-generator": 4,
    "tokenize": 2,
    "generate": 2,
    "reconstruct": 1,
    "predict-frames": 2,
    "evaluate reconstruction": 1,
    "evaluate generation": 1,
    "evaluate frame-prediction": 1,
    "evaluate merge": 1,
    "convert": 1,
}
# Free space on a full disk, as fractions of the size of the artifacts.
FREE_SPACE = (0.02, 0.5, 0.9)
PARTS = ("kills", "terminations", "writers", "disks", "memory")
TERMINATED = 128 + signal.SIGTERM
# Checkpoints of a terminated run have other steps.
_CHECKPOINTS = ("checkpoints",)
# What training extends.
_UNFINISHED = ("log.csv", "checkpoints/best")


@dataclasses.dataclass
class Row:
    """A row of the table.

    Args:
        fault: String.
        command: String.
        trials: Integer. Number of faults that hit a running command.
        result: String, such as what the commands ended with.
        problems: List of strings. It is empty if nothing is wrong.
    """

    fault: str
    command: str
    trials: int = 0
    result: str = ""
    problems: list = dataclasses.field(default_factory=list)


class Harness:
    """Runs the parts of the harness.

    Args:
        folder: Path of a new folder for everything that commands write.
        seed: Integer. Seed of the times of interruptions.
        names: List of strings. Names of the commands. `None` selects all.
    """

    def __init__(self, folder, seed=0, names=None):
        self.folder = pathlib.Path(folder)
        self.random = random.Random(seed)
        inputs = self.folder / "inputs"
        call(write_presets, inputs)
        cases = make_cases(inputs)
        self.cases = [c for c in cases if names is None or c.name in names]
        if any(case.input for case in self.cases):
            for index in range(2):
                run(shard_arguments(inputs, index), self.folder / "shard.log")
        self.references, self.durations, self.sizes = {}, {}, {}
        for case in self.cases:
            self._run_reference(case)

    def _run_reference(self, case):
        """Runs a command without a fault."""
        target = case.prepare(self.folder / "reference")
        log = self.folder / "reference.log"
        _, self.durations[case.name] = run(case.start(target), log)
        self.references[case.name] = artifacts.read(target)
        self.sizes[case.name] = sum(
            path.stat().st_size for path in target.rglob("*") if path.is_file()
        )
        found = artifacts.leftovers(target)
        assert not found, f"{case.name} leaves {found}"

    def run(self, part):
        """Yields the rows of a part."""
        return getattr(self, part)()

    def kills(self):
        """SIGKILL at a random time, and the same command again."""
        for case in self.cases:
            row = Row("SIGKILL", case.name)
            for _ in range(KILLS[case.name]):
                self._interrupt(case, signal.SIGKILL, row)
            row.result = "equal after the next start"
            yield row

    def terminations(self):
        """SIGTERM at a random time, and the same command again."""
        for case in self.cases:
            row = Row("SIGTERM", case.name)
            statuses = [
                self._interrupt(case, signal.SIGTERM, row)
                for _ in range(TERMINATIONS[case.name])
            ]
            row.result = f"exit status {_names(statuses)}, equal after"
            yield row

    def writers(self):
        """Two commands with the same target, together and one later."""
        for case in self.cases:
            row, statuses = Row("two writers", case.name), []
            for delay in (0.0, 0.3):
                statuses += self._start_two(case, delay, row)
                row.trials += 1
            row.result = f"exit status {_names(statuses)}, equal"
            yield row

    def disks(self):
        """Full disks and read-only file systems."""
        mount = self.folder / "disk"
        if not can_mount(mount):
            yield Row("disk", "all", 0, "skipped: mounting needs root")
            return
        for case in self.cases:
            row = Row("full disk", case.name)
            statuses = []
            for fraction in FREE_SPACE:
                with Disk(mount) as disk:
                    statuses += self._fill(case, disk, fraction, row)
            row.result = f"exit status {_names(statuses)}, equal after"
            yield row
            with Disk(mount) as disk:
                yield self._write_protected(case, disk)

    def memory(self):
        """Growth of memory over many calls."""
        for name, calls, probe, bound in memory.PROBES:
            row = Row("memory", name, calls)
            slope = call(probe)
            row.result = f"{slope:+.2f} MB per 1,000 calls (bound {bound:g} MB)"
            if slope > bound:
                row.problems.append("memory grows")
            yield row

    def _interrupt(self, case, number, row):
        """Interrupts a command at a random time, and runs it again.

        The time is drawn again if the command ends before.

        Returns:
            Integer. The exit status of the interrupted command.
        """
        is_hit, status = False, 0
        while not is_hit or status == 0:
            target = case.prepare(self.folder / "trial")
            arguments = case.start(target)
            if number == signal.SIGTERM:
                # Only the signal saves a checkpoint within an epoch.
                arguments = [a for a in arguments if a != EVERY_STEP]
            command = self._start(arguments)
            time.sleep(self.random.uniform(0, self.durations[case.name]))
            is_hit = command.send(number)
            status = self._wait(command, row)
        row.trials += 1
        ignored = ()
        if number == signal.SIGTERM:
            self._check_terminated(command, status, target, row)
            ignored = _CHECKPOINTS
        self._check_next_start(case, target, row, ignored)
        return status

    def _start_two(self, case, delay, row):
        """Starts a command twice, and returns the exit statuses."""
        target = case.prepare(self.folder / "trial")
        first = self._start(case.start(target))
        time.sleep(delay * self.durations[case.name])
        second = self._start(case.start(target), "second")
        statuses = [self._wait(command, row) for command in (first, second)]
        if 0 not in statuses:
            row.problems.append(f"neither succeeds: {first} {second}")
        for command, status in zip((first, second), statuses, strict=True):
            if status != 0:
                self._check_error(command, status, 2, target, row)
        self._check_artifacts(case, target, row)
        return statuses

    def _fill(self, case, disk, fraction, row):
        """Runs a command on a disk that becomes full, and on a free one."""
        target = case.prepare(disk.path / "trial")
        with disk.free_space(int(fraction * self.sizes[case.name])):
            command = self._start(case.start(target))
            status = self._wait(command, row)
            present = artifacts.read(target) if target.exists() else {}
        row.trials += 1
        if status != 0:
            self._check_error(command, status, 1, disk.path, row)
        for name in _UNFINISHED:
            present.pop(name, None)
        row.problems += artifacts.changed(self.references[case.name], present)
        row.problems += artifacts.leftovers(disk.path)
        self._check_next_start(case, target, row)
        return [status]

    def _write_protected(self, case, disk):
        """Runs a command on a read-only file system, and returns the row."""
        row = Row("read-only", case.name, 1)
        target = case.prepare(disk.path / "trial")
        with disk.read_only():
            command = self._start(case.start(target))
            status = self._wait(command, row)
        self._check_error(command, status, 2, disk.path, row)
        row.result = f"exit status {status}"
        return row

    def _start(self, arguments, log="trial"):
        return Command(arguments, self.folder / f"{log}.log")

    def _wait(self, command, row):
        try:
            return command.wait()
        except AssertionError as error:
            row.problems.append(str(error))

    def _check_terminated(self, command, status, target, row):
        """Checks what a command leaves that SIGTERM ended."""
        # The default of Python, before and after the command.
        if status not in (TERMINATED, -signal.SIGTERM):
            row.problems.append(f"status {status}: {command}")
        if "Traceback" in command.output:
            row.problems.append(f"shows a traceback: {command}")
        if status == TERMINATED and target.exists():
            row.problems += artifacts.leftovers(target)
        saved = re.findall("^Saved (.*step_.*)", command.output, re.MULTILINE)
        if "saving a checkpoint" in command.output and not (
            saved and pathlib.Path(saved[-1]).is_dir()
        ):
            row.problems.append(f"saves no checkpoint: {command}")

    def _check_next_start(self, case, target, row, ignored=()):
        """Runs an interrupted command again, and checks the artifacts."""
        command = self._start(case.restart(target))
        status = self._wait(command, row)
        # It was interrupted between its last write and its end.
        is_complete = case.name == "convert" and "exists." in command.output
        if status != 0 and not is_complete:
            row.problems.append(f"status {status} of {command}")
        self._check_artifacts(case, target, row, ignored)

    def _check_artifacts(self, case, target, row, ignored=()):
        expected = {
            name: content
            for name, content in self.references[case.name].items()
            if pathlib.Path(name).parts[0] not in ignored
        }
        received = artifacts.read(target, ignored)
        row.problems += artifacts.differences(expected, received)
        row.problems += artifacts.leftovers(target.parent)

    def _check_error(self, command, status, expected, path, row):
        """Checks that a command ended with one line that names a path."""
        if status != expected:
            row.problems.append(
                f"status {status} instead of {expected}: {command}"
            )
        errors = command.output.partition("keras-larp: error: ")[2]
        if "Traceback" in command.output or errors.count("\n") != 1:
            row.problems.append(f"not a single line: {command}")
        if str(path) not in errors:
            row.problems.append(f"does not name {path}: {command}")


def format_table(rows):
    """Returns rows as a Markdown table, and below it all problems."""
    lines = [
        "| fault | command | trials | result | problems |",
        "|---|---|---|---|---|",
    ]
    problems = []
    for row in rows:
        lines.append(
            f"| {row.fault} | {row.command} | {row.trials} | {row.result} | "
            f"{len(row.problems)} |"
        )
        problems += [f"- {row.fault}, {row.command}: {p}" for p in row.problems]
    return "\n".join([*lines, "", *problems])


def _names(statuses):
    """Returns exit statuses, as a shell shows them, without duplicates."""
    shown = {128 - s if s is not None and s < 0 else s for s in statuses}
    return ", ".join(sorted(map(str, shown)))

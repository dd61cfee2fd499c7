"""A quick part of the harness, and the checks that it relies on."""

import mmap
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from faults import artifacts, memory

pytestmark = pytest.mark.once

TESTS = pathlib.Path(__file__).resolve().parents[1]


def test_killed_and_concurrent_commands_write_equal_artifacts():
    process = subprocess.run(
        [sys.executable, "-m", "faults", "--commands", "convert"]
        + ["--parts", "kills", "terminations", "writers", "disks"],
        env={**os.environ, "PYTHONPATH": f"{TESTS.parent}:{TESTS}"},
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    assert "| SIGKILL | convert | 2 |" in process.stdout


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "clip.mp4").write_bytes(b"clip")
    np.savez(tmp_path / "rows.npz", rows=np.arange(3.0))
    (tmp_path / "log.csv").write_text("loss,clips_per_second\n0.5,7\n")
    (tmp_path / "config.json").write_text('{"flags": {"a": 1, "output": "x"}}')
    return tmp_path


def test_equal_artifacts_may_differ_in_speed_and_place(folder):
    expected = artifacts.read(folder)
    (folder / "log.csv").write_text("loss,clips_per_second\n0.5,8\n")
    (folder / "config.json").write_text('{"flags": {"a": 1, "output": "y"}}')
    assert artifacts.differences(expected, artifacts.read(folder)) == []


def test_different_artifacts_are_found(folder):
    expected = artifacts.read(folder)
    (folder / "clip.mp4").write_bytes(b"cli")
    np.savez(folder / "rows.npz", rows=np.arange(3.0) + 1e-3)
    (folder / "log.csv").write_text("loss,clips_per_second\n0.51,7\n")
    (folder / "config.json").unlink()
    (folder / "more.txt").touch()
    assert artifacts.differences(expected, artifacts.read(folder)) == [
        *("config.json is missing", "more.txt is extra"),
        *("clip.mp4 differs", "log.csv differs", "rows.npz differs"),
    ]


def test_leftovers_are_found(folder):
    assert artifacts.leftovers(folder) == []
    (folder / "samples").mkdir()
    (folder / "samples" / ".part-1@host-01234567-a.mp4").touch()
    (folder / ".lock").touch()
    assert artifacts.leftovers(folder) == [
        *(".lock", "samples/.part-1@host-01234567-a.mp4"),
    ]


def test_memory_that_is_kept_exceeds_the_bounds():
    kept = []

    def keep(num_bytes):
        # Pages of its own, not freed memory that the process uses again.
        pages = mmap.mmap(-1, num_bytes)
        pages.write(os.urandom(num_bytes))
        kept.append(pages)

    (_, _, _, encode), _, (_, _, _, loader) = memory.PROBES
    clip = 4 * 16 * 16 * 3 * 4
    assert memory.growth(lambda i: keep(clip), 2000) > encode
    clip = 8 * 64 * 64 * 3 * 4
    assert memory.growth(lambda i: keep(clip), 100) > loader


def test_memory_that_is_freed_is_below_the_bounds():
    assert memory.growth(lambda i: bytes(12_288), 2000) < memory.PROBES[0][3]

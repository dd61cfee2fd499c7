"""Memory that is freed and taken again."""

import ctypes
import resource
import subprocess
import sys

import pytest

# How many pages a process gets while it makes arrays as large as clips.
COUNT_PAGES = """
import resource, sys
import numpy as np
from keras_larp.data import reuse_freed_memory

if sys.argv[1] == "keep":
    assert reuse_freed_memory()
def make_batch():
    return [np.ones((16, 128, 128, 3), "uint8") for _ in range(8)]

for _ in range(5):
    make_batch()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    make_batch()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def count_pages(how):
    result = subprocess.run(
        [sys.executable, "-c", COUNT_PAGES, how],
        capture_output=True,
        text=True,
        check=True,
    )
    return int(result.stdout)


@pytest.mark.once
@pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "mallopt"), reason="glibc does this"
)
def test_kept_memory_is_not_taken_from_the_system_again():
    taken = 5 * 8 * 16 * 128 * 128 * 3 / resource.getpagesize()
    assert count_pages("keep") < 0.01 * taken
    assert count_pages("give back") > 0.5 * taken


@pytest.mark.once
def test_other_c_libraries_are_left_as_they_are(monkeypatch):
    from keras_larp.utils import freed_memory

    monkeypatch.setattr(freed_memory.ctypes, "CDLL", lambda name: object())
    assert not freed_memory.reuse_freed_memory()

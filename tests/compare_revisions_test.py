"""The benchmark that compares the working tree with a revision."""

import pathlib
import subprocess
import sys

import numpy as np
import pytest

from benchmarks.compare_revisions import ratio_interval, verdict

ROOT = pathlib.Path(__file__).parents[1]


def seconds(rounds=60):
    """Seconds of a machine whose speed changes slowly, by a factor of two."""
    random = np.random.default_rng(0)
    drift = 1 + 0.5 * np.sin(np.linspace(0, 6, rounds))
    noise = random.gamma(2, 0.02, size=(2, rounds))
    return drift * (1 + noise)


@pytest.mark.once
def test_equal_times_are_no_difference():
    ratio, low, high = ratio_interval(*seconds())
    assert low < ratio < high
    assert 0.98 < low < 1 < high < 1.02
    assert verdict(low, high) == "no difference"


@pytest.mark.once
@pytest.mark.parametrize("factor", [0.8, 1.05, 1.3])
def test_intervals_contain_the_factor_between_versions(factor):
    base, new = seconds()
    ratio, low, high = ratio_interval(base, factor * new)
    assert low < factor < high < low + 0.05
    expected = "slower by" if factor > 1 else "faster by"
    assert verdict(low, high).startswith(expected)


@pytest.mark.once
def test_intervals_of_few_rounds_are_wider():
    base, new = seconds(12)
    _, low, high = ratio_interval(base, new)
    _, other_low, other_high = ratio_interval(*seconds(200))
    assert high - low > 2 * (other_high - other_low)


@pytest.mark.once
@pytest.mark.parametrize(
    "low, high, expected",
    [
        (1.03, 1.07, "slower by 3 % to 7 %"),
        (0.9, 0.96, "faster by 4 % to 10 %"),
        (1.01, 1.07, "no difference"),  # Within what processes differ by.
        (0.9, 1.1, "no difference"),
    ],
)
def test_verdicts(low, high, expected):
    assert verdict(low, high) == expected


@pytest.mark.once
@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="Needs the history.")
def test_working_tree_is_compared_with_a_revision():
    pytest.importorskip("torch")
    result = subprocess.run(
        [
            *(sys.executable, "benchmarks/compare_revisions.py"),
            *("--backends=torch", "--size=tiny", "--seconds=1"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    labels = [
        line.split("|")[1].strip() for line in result.stdout.splitlines()[2:]
    ]
    assert labels == [
        "torch, encode",
        "torch, decode",
        "torch, train step",
        "torch, sampling",
    ]


@pytest.mark.once
@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="Needs the history.")
def test_errors_of_a_version_are_shown():
    result = subprocess.run(
        [
            *(sys.executable, "benchmarks/compare_revisions.py"),
            *("--backends=unknown", "--size=tiny"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert result.returncode != 0
    assert "A process has failed" in result.stderr
    assert "unknown" in result.stderr.split("A process has failed")[1]

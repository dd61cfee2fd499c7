import pytest

from keras_larp.utils.differences import (
    describe_differences,
    describe_mismatch,
)
from keras_larp.utils.suggestions import did_you_mean

pytestmark = pytest.mark.once


def test_differences_name_both_values():
    stored, requested = {"seed": 1, "same": 2}, {"seed": 3, "same": 2, "x": 4}
    assert describe_differences(stored, requested) == (
        "seed: stored 1, requested 3; x: stored None, requested 4"
    )
    assert describe_differences(stored, stored) == ""


def test_mismatch_names_each_weight():
    stored, expected = {"a": (1,), "b": (2,)}, {"b": (3,), "c": (4,)}
    assert describe_mismatch(stored, expected) == (
        "missing: c\nextra: a\nmisshapen: b has shape (2,), expected (3,)"
    )
    assert describe_mismatch(stored, stored) == ""


def test_suggestions_are_similar_names():
    assert did_you_mean("boxin", ["boxing", "pong"]) == (
        " Did you mean 'boxing'?"
    )
    assert did_you_mean("tennis", ["boxing", "pong"]) == ""

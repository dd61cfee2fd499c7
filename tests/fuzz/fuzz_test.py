"""Invalid arguments of the public interface are refused clearly.

This is the quick part; `make fuzz` tries thousands of cases.
"""

import importlib
import inspect

import pytest
from fuzz.entries import all_entries
from fuzz.exceptions import WITHOUT_ENTRY, is_listed
from fuzz.outcomes import CLEAR
from hypothesis import HealthCheck, Phase, given, settings

ENTRIES = all_entries()
PACKAGES = (
    "callbacks",
    "data",
    "distribution",
    "evaluation",
    "layers",
    "losses",
    "metrics",
    "models",
    "presets",
    "recipes",
)


@pytest.mark.parametrize(
    "name", [name for name, entry in ENTRIES.items() if entry.can_run]
)
def test_valid_arguments_are_accepted(name):
    ENTRIES[name].call()


@pytest.mark.parametrize("name", ENTRIES)
def test_invalid_arguments_are_refused_clearly(name):
    entry = ENTRIES[name]

    @settings(
        max_examples=4,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(entry.bad_calls())
    def check(call):
        argument, value = call
        outcome, message = entry.outcome(argument, value)
        assert outcome == CLEAR or is_listed(name, message), (
            f"{name}({argument}={value!r}): {outcome}. {message}"
        )

    check()


@pytest.mark.once
@pytest.mark.parametrize("package", PACKAGES)
def test_public_functions_have_entries(package):
    module = importlib.import_module(f"keras_larp.{package}")
    missing = []
    for name in module.__all__:
        value = getattr(module, name)
        if not callable(value):
            continue
        full_name = f"{package}.{name}"
        kinds = [
            set(entry.kinds)
            for entry_name, entry in ENTRIES.items()
            if entry_name.split(" ")[0] == full_name
        ]
        exempt = WITHOUT_ENTRY.get(full_name, ())
        if exempt == "all":
            continue
        known = set().union(*kinds, exempt)
        missing += [
            f"{full_name}({argument})"
            for argument in _arguments(value)
            if argument not in known
        ]
    assert not missing


def _arguments(function):
    """Names of the arguments, without those of the base classes of Keras."""
    kinds = (
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        inspect.Parameter.KEYWORD_ONLY,
    )
    return [
        name
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind in kinds and name not in ("name", "dtype")
    ]

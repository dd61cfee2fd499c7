"""Reports of what differs between something stored and something requested."""

from collections.abc import Mapping
from typing import Any


def describe_differences(
    stored: Mapping[str, Any],
    requested: Mapping[str, Any],
    labels: tuple[str, str] = ("stored", "requested"),
) -> str:
    """Lists the settings that differ.

    Args:
        stored: Dictionary of settings, such as those in a file.
        requested: Dictionary of the settings to compare with. Settings that
            only one of the dictionaries has count as `None` in the other.
        labels: Pair of strings. What the values of either dictionary are
            called.

    Returns:
        String such as `"seed: stored 1, requested 2"`, one entry per setting,
        separated by `"; "`; `""` if nothing differs.
    """
    names = dict.fromkeys([*stored, *requested])
    return "; ".join(
        f"{name}: {labels[0]} {stored.get(name)!r}, "
        f"{labels[1]} {requested.get(name)!r}"
        for name in names
        if stored.get(name) != requested.get(name)
    )


def describe_mismatch(
    stored: Mapping[str, tuple], expected: Mapping[str, tuple]
) -> str:
    """Lists the weights of a file that do not match those of a model.

    Args:
        stored: Dictionary from the name of a weight in the file to its shape.
        expected: The same dictionary for the model.

    Returns:
        String with one line each for `missing`, `extra` and `misshapen`
        weights; `""` if all weights match.
    """
    lines = {
        "missing": sorted(set(expected) - set(stored)),
        "extra": sorted(set(stored) - set(expected)),
        "misshapen": [
            f"{name} has shape {stored[name]}, expected {shape}"
            for name, shape in expected.items()
            if name in stored and stored[name] != shape
        ],
    }
    return "\n".join(f"{k}: {', '.join(v)}" for k, v in lines.items() if v)

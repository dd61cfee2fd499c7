"""The public interface, as calls with valid arguments and kinds of them."""

import functools

from fuzz.entries import (
    data,
    distribution,
    evaluation,
    flags,
    layers,
    losses_and_metrics,
    models,
    training,
)


@functools.cache
def all_entries():
    """Returns all entries, by name."""
    modules = (
        layers,
        losses_and_metrics,
        models,
        data,
        training,
        evaluation,
        distribution,
        flags,
    )
    found = {}
    for module in modules:
        for entry in module.entries():
            name, count = entry.name, 2
            while name in found:
                name, count = f"{entry.name} ({count})", count + 1
            found[name] = entry
    return found

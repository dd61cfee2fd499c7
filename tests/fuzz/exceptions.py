"""Refusals that are not clear, with the reason why they remain."""

import re

# Patterns of an entry and of the message, and the reason.
EXCEPTIONS = [
    (
        r"\.call$",
        r"Invalid dtype: (str|object|complex)",
        "Keras converts arrays to tensors before the layer is called.",
    ),
]


def is_listed(name, message):
    """Whether a message of an entry is in the list."""
    return any(
        re.search(entry, name) and re.search(pattern, message)
        for entry, pattern, _ in EXCEPTIONS
    )


# Public names, or arguments of them, that `make fuzz` does not call.
WITHOUT_ENTRY = {
    # Named in the logs of `fit`, where it is checked.
    "callbacks.Checkpoint": ("monitor",),
    "callbacks.CodebookCollapseWarning": ("monitor",),
    # Checked by `generate`.
    "callbacks.SampleGrid": ("condition",),
}

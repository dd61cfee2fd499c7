"""Griffe extension: sections of Keras docstrings that Google style lacks."""

import re

import griffe

SECTION = re.compile(r"^(Example|Reference):\s*\n", re.M)


class KerasDocstrings(griffe.Extension):
    """Turns `Call arguments:` into a section of its own, and `Example:` and
    `Reference:`, whose content is Markdown, into bold titles."""

    def on_object(self, *, obj, **_):
        if obj.docstring is not None:
            obj.docstring.value = _convert(obj.docstring.value)


def _convert(text):
    text = text.replace("\nCall arguments:\n", "\nOther Args: Call arguments\n")
    text = re.sub(
        r"^Reference:\s*\n((?: {4}.*\n?|\n(?= {4}))*)",
        lambda match: (
            "**Reference**\n\n" + re.sub(r"^ {4}", "", match[1], flags=re.M)
        ),
        text,
        flags=re.M,
    )
    return re.sub(r"^Example:[ \t]*$", "**Example**", text, flags=re.M)

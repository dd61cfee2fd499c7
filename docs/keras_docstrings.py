"""Griffe extension: sections of Keras docstrings that Google style lacks."""

import re
import textwrap

import griffe

# A title on a line by itself and the indented lines after it.
SECTION = r"^{}:[ \t]*\n((?:[ ]{{4}}.*(?:\n|\Z)|\n(?=[ ]{{4}}))+)"


class KerasDocstrings(griffe.Extension):
    """Renders `Call arguments:` as a list of parameters, and `Returns:`,
    `Example:` and `Reference:` as Markdown under bold titles."""

    def on_object(self, *, obj, **_):
        if obj.docstring is not None:
            obj.docstring.value = _convert(obj.docstring.value)


def _convert(text):
    text = text.replace("\nCall arguments:\n", "\nOther Args: Call arguments\n")
    for title in ("Returns", "Yields", "Reference"):
        text = re.sub(
            SECTION.format(title),
            lambda match, title=title: (
                f"**{title}**\n\n{textwrap.dedent(match[1])}\n"
            ),
            text,
            flags=re.M,
        )
    return re.sub(r"^Example:[ \t]*$", "**Example**", text, flags=re.M)

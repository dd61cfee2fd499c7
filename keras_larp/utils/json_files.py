"""Text and JSON files, checked before their content is used."""

import json
import os
import pathlib
import re
from collections.abc import Callable, Mapping
from typing import Any

from keras_larp.utils.checks import check_integer, check_number, shorten
from keras_larp.utils.files import check_regular_file

# Checks the value of a field by its name, and raises `ValueError`.
Check = Callable[[str, Any], Any]

# Larger integers are damage: no count or step of this library reaches them.
_MAX_INTEGER = 2**53


def read_text(path: str | os.PathLike[str]) -> str:
    """Reads a text file in UTF-8.

    Raises:
        OSError: If there is no such file.
        ValueError: If it is not a regular file, or not text in UTF-8.
    """
    check_regular_file(path)
    try:
        return pathlib.Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not a text file in UTF-8: {error}. Save it with this "
            "encoding, or restore it from a copy."
        ) from error
    except OSError as error:
        if error.filename is not None:
            raise
        # An error while reading does not name the file.
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error


def read_json(
    path: str | os.PathLike[str], schema: Mapping[str, Check], remedy: str
) -> dict[str, Any]:
    """Reads a JSON file that holds an object.

    Args:
        path: String or path.
        schema: Dictionary from the names of fields to their checks. Other
            fields are not checked.
        remedy: String. A sentence, what to do about a damaged file.

    Returns:
        Dictionary.

    Raises:
        OSError: If there is no such file.
        ValueError: If the file is not JSON, or a field is missing or invalid.
            The message names the file and the field.

    Example:

    ```python
    read_json("state.json", {"epoch": integer()}, "Remove the folder.")
    ```
    """
    text = read_text(path)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{path} is not valid JSON: {error}. {remedy}"
        ) from error
    if not isinstance(content, dict):
        raise ValueError(
            f"{path} must hold a JSON object. Received: "
            f"{_kind_of(content)}. {remedy}"
        )
    try:
        for name, check in schema.items():
            check(name, content.get(name))
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}. {remedy}") from error
    return content


def integer(minimum: int = 0, maximum: int = _MAX_INTEGER) -> Check:
    """Returns the check of an integer within a range."""
    return lambda name, value: check_integer(name, value, minimum, maximum)


def number(name: str, value: Any) -> float:
    """Checks that a field is a finite number."""
    return check_number(name, value, "(-inf, inf)")


def boolean(name: str, value: Any) -> bool:
    """Checks that a field is `true` or `false`."""
    return _check_type(name, value, bool)


def mapping(name: str, value: Any) -> dict[str, Any]:
    """Checks that a field is an object."""
    return _check_type(name, value, dict)


def text(name: str, value: Any) -> str:
    """Checks that a field is a string."""
    return _check_type(name, value, str)


def sha256(name: str, value: Any) -> str:
    """Checks that a field is a SHA-256 checksum in hexadecimal."""
    if not isinstance(value, str) or not re.fullmatch("[0-9a-f]{64}", value):
        raise ValueError(
            f"`{name}` must be a SHA-256 checksum. "
            f"Received: {name}={shorten(value)}"
        )
    return value


def texts(name: str, value: Any) -> list[str]:
    """Checks that a field is a list of strings."""
    for i, item in enumerate(_check_type(name, value, list)):
        text(f"{name}[{i}]", item)
    return value


def mapping_of(check: Check) -> Check:
    """Returns the check of an object with equal kinds of values."""

    def check_values(name: str, value: Any) -> dict[str, Any]:
        for key, item in mapping(name, value).items():
            check(f"{name}.{key}", item)
        return value

    return check_values


def optional(check: Check) -> Check:
    """Returns the check of a field that may be missing or `null`."""
    return lambda name, value: None if value is None else check(name, value)


def fields(schema: Mapping[str, Check]) -> Check:
    """Returns the check of an object with the fields of a schema."""

    def check(name: str, value: Any) -> dict[str, Any]:
        mapping(name, value)
        for field, check_field in schema.items():
            check_field(f"{name}.{field}", value.get(field))
        return value

    return check


_KINDS = {
    bool: "a boolean",
    dict: "an object",
    float: "a number",
    int: "an integer",
    list: "a list",
    str: "a string",
    type(None): "nothing",
}


def _check_type(name: str, value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise ValueError(
            f"`{name}` must be {_KINDS[kind]}. "
            f"Received: {name}={shorten(value)}"
        )
    return value


def _kind_of(value: Any) -> str:
    return _KINDS.get(type(value), type(value).__name__)

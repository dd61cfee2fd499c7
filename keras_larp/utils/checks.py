"""Checks of numbers and names that users pass as arguments."""

import math
import numbers
import operator
import os
import pathlib
from collections.abc import Collection, Iterable
from typing import Any


def check_integer(
    name: str, value: Any, minimum: int, maximum: int | None = None
) -> int:
    """Checks that an argument is an integer within a range.

    Args:
        name: String, the name of the argument.
        value: The value. Booleans and floats are rejected.
        minimum: Integer, the smallest valid value.
        maximum: Optional integer, the largest valid value.

    Returns:
        The value as an `int`.

    Raises:
        ValueError: If the value is not an integer or is out of range.
    """
    try:
        if isinstance(value, bool):
            raise TypeError
        integer = operator.index(value)
    except (AttributeError, TypeError):  # The first of string tensors.
        integer = None
    if (
        integer is None
        or integer < minimum
        or (maximum is not None and integer > maximum)
    ):
        bounds = f">= {minimum}"
        if maximum is not None:
            bounds = f"from {minimum} to {maximum}"
        raise ValueError(
            f"`{name}` must be an integer {bounds}. "
            f"Received: {name}={shorten(value)}"
        )
    return integer


def check_number(name: str, value: Any, interval: str = "[0, inf)") -> float:
    """Checks that an argument is a finite number within an interval.

    Args:
        name: String, the name of the argument.
        value: The value. Booleans, NaN and infinity are rejected.
        interval: String, in which square brackets include a bound and
            parentheses exclude it. Defaults to `"[0, inf)"`.

    Returns:
        The value as a `float`.

    Raises:
        ValueError: If the value is not a finite number in the interval.

    Example:

    ```python
    check_number("dropout", 0.1, "[0, 1)")
    ```
    """
    low, high = map(float, interval[1:-1].split(","))
    valid = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if valid:
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        valid = (
            math.isfinite(number)
            and (number >= low if interval[0] == "[" else number > low)
            and (number <= high if interval[-1] == "]" else number < high)
        )
    if not valid:
        raise ValueError(
            f"`{name}` must be a finite number in {interval}. "
            f"Received: {name}={shorten(value)}"
        )
    return number


def check_choice(name: str, value: Any, choices: Collection) -> Any:
    """Checks that an argument is one of `choices` and returns it.

    Raises:
        ValueError: If it is not.
    """
    # Identity, since the comparison of arrays is no boolean.
    if not any(value is choice for choice in choices) and not (
        isinstance(value, str | int | float) and value in choices
    ):
        raise ValueError(
            f"`{name}` must be one of {list(choices)}. "
            f"Received: {name}={shorten(value)}"
        )
    return value


def check_range(
    name: str, value: Any, maximum: float | None = None
) -> tuple[float, float]:
    """Checks that an argument is a range `(low, high)` of positive numbers.

    Args:
        name: String, the name of the argument.
        value: A pair of numbers with `0 < low <= high`.
        maximum: Optional float, the largest valid `high`.

    Returns:
        The pair as floats.

    Raises:
        ValueError: If it is not such a pair.
    """
    try:
        low, high = value
        low, high = check_number(name, low), check_number(name, high)
        valid = 0.0 < low <= high and (maximum is None or high <= maximum)
    except (TypeError, ValueError):
        valid = False
    if not valid:
        bound = "" if maximum is None else f" <= {maximum}"
        raise ValueError(
            f"`{name}` must be a pair of numbers (low, high) with "
            f"0 < low <= high{bound}. Received: {name}={shorten(value)}"
        )
    return low, high


def check_integers(name: str, values: Any, count: int) -> tuple[int, ...]:
    """Checks that an argument is a sequence of `count` positive integers.

    Returns:
        The integers as a tuple.

    Raises:
        ValueError: If it is not.
    """
    if not isinstance(values, list | tuple) or len(values) != count:
        raise ValueError(
            f"`{name}` must be {count} integers. "
            f"Received: {name}={shorten(values)}"
        )
    return tuple(check_integer(name, value, 1) for value in values)


def check_boolean(name: str, value: Any) -> bool:
    """Checks that an argument is `True` or `False` and returns it.

    Raises:
        ValueError: If it is not.
    """
    return check_choice(name, value, (True, False))


def check_instance(name: str, value: Any, kind: type, hint: str = "") -> Any:
    """Checks that an argument is an object of a class and returns it.

    Args:
        name: String, the name of the argument.
        value: The value.
        kind: The class.
        hint: String, how to create an object. Defaults to `""`.

    Raises:
        TypeError: If it is not.
    """
    if not isinstance(value, kind):
        raise TypeError(
            f"`{name}` must be a `{kind.__name__}`{hint}. "
            f"Received: {name}={shorten(value)} of type {type(value).__name__}"
        )
    return value


def check_callable(name: str, value: Any) -> Any:
    """Checks that an argument is callable and returns it.

    Raises:
        ValueError: If it is not.
    """
    if not callable(value):
        raise ValueError(
            f"`{name}` must be callable. Received: {name}={shorten(value)}"
        )
    return value


def check_path(name: str, value: Any) -> pathlib.Path:
    """Checks that an argument is a path and returns it as a `pathlib.Path`.

    Raises:
        TypeError: If it is neither a string nor a path.
        ValueError: If it is empty or has a null character.
    """
    if not isinstance(value, str | os.PathLike):
        raise TypeError(
            f"`{name}` must be a string or a path. "
            f"Received: {name}={shorten(value)} of type {type(value).__name__}"
        )
    text = os.fspath(value)
    if not text or "\0" in str(text):
        raise ValueError(
            f"`{name}` must not be empty or have null characters. "
            f"Received: {name}={text!r}"
        )
    return pathlib.Path(text)


def check_names(name: str, values: Any) -> tuple[str, ...]:
    """Checks that an argument is a sequence of strings.

    Returns:
        The strings as a tuple.

    Raises:
        ValueError: If it is not.
    """
    names = tuple(check_sequence(name, values))
    if not all(isinstance(n, str) for n in names):
        raise ValueError(
            f"`{name}` must be a list of strings. "
            f"Received: {name}={shorten(values)}"
        )
    return names


def check_sequence(name: str, values: Any) -> list:
    """Checks that an argument is an iterable, but no text or dictionary.

    Returns:
        Its items as a list.

    Raises:
        ValueError: If it is not.
    """
    is_iterable = isinstance(values, Iterable) and not isinstance(
        values, str | bytes | dict
    )
    # NumPy arrays without dimensions are iterable by their type only.
    if not is_iterable or getattr(values, "shape", None) == ():
        raise ValueError(
            f"`{name}` must be a list. Received: {name}={shorten(values)}"
        )
    return list(values)


def check_attribute(name: str, value: Any, attribute: str, kind: str) -> Any:
    """Checks that an argument has an attribute, and returns the argument.

    For arguments that may be of any class with the same interface.

    Args:
        name: String, the name of the argument.
        value: The value.
        attribute: String, the name of the attribute.
        kind: String, the name of a class that has it.

    Raises:
        TypeError: If it has not.
    """
    if not hasattr(value, attribute):
        raise TypeError(
            f"`{name}` must be a `{kind}`. "
            f"Received: {name}={shorten(value)} of type {type(value).__name__}"
        )
    return value


def shorten(value: Any) -> str:
    """The representation of a value, without the middle if it is long."""
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:60]} ... {text[-30:]}"

"""Checks of numbers and names that users pass as arguments."""

import math
import numbers
import operator
from collections.abc import Collection
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
    except TypeError:
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
            f"`{name}` must be an integer {bounds}. Received: {name}={value!r}"
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
            f"Received: {name}={value!r}"
        )
    return number


def check_choice(name: str, value: Any, choices: Collection) -> Any:
    """Checks that an argument is one of `choices` and returns it.

    Raises:
        ValueError: If it is not.
    """
    if value not in choices:
        raise ValueError(
            f"`{name}` must be one of {list(choices)}. "
            f"Received: {name}={value!r}"
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
        low, high = map(float, value)
        valid = 0.0 < low <= high and (maximum is None or high <= maximum)
    except (TypeError, ValueError):
        valid = False
    if not valid:
        bound = "" if maximum is None else f" <= {maximum}"
        raise ValueError(
            f"`{name}` must be a pair of numbers (low, high) with "
            f"0 < low <= high{bound}. Received: {name}={value!r}"
        )
    return low, high

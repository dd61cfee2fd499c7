import operator


def check_integer(name, value, minimum, maximum=None):
    """Returns `value` as an `int`, or raises an error that names it.

    Args:
        name: String, what the value is called in the error.
        value: The value; booleans and floats are refused.
        minimum: Integer, the least that is allowed.
        maximum: Optional integer, the most that is allowed.

    Raises:
        ValueError: If it is no integer or out of range.
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
        bounds = f"of at least {minimum}"
        if maximum is not None:
            bounds += f" and at most {maximum}"
        raise ValueError(
            f"`{name}` must be an integer {bounds}. Received: {name}={value!r}"
        )
    return integer


def check_choice(name, value, choices):
    """Returns `value` if it is one of `choices`, else raises `ValueError`."""
    if value not in choices:
        raise ValueError(
            f"`{name}` must be one of {list(choices)}. "
            f"Received: {name}={value!r}"
        )
    return value


def check_range(name, value, maximum=None):
    """Returns `value` as two floats above zero in ascending order, or raises
    `ValueError`."""
    try:
        low, high = map(float, value)
        valid = 0.0 < low <= high and (maximum is None or high <= maximum)
    except (TypeError, ValueError):
        valid = False
    if not valid:
        bound = "" if maximum is None else f" and at most {maximum}"
        raise ValueError(
            f"`{name}` must be a pair of numbers above 0{bound}, the smaller "
            f"one first. Received: {name}={value!r}"
        )
    return low, high

"""Kinds of arguments, with strategies that draw invalid values for them."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

NAN, INFINITY = float("nan"), float("inf")


@dataclasses.dataclass(frozen=True)
class Kind:
    """What an argument may be.

    Attributes:
        bad: Function from a valid value to a strategy of invalid ones.
        mentions: Words of which an error message must contain one, in
            addition to the name of the argument.
    """

    bad: Callable[[Any], st.SearchStrategy]
    mentions: tuple[str, ...] = ()


class Opaque:
    """An object without any method, with a short representation."""

    def __repr__(self):
        return "Opaque()"


_NOT_NUMBERS = [
    "8",
    "",
    "nan",
    b"8",
    [],
    [1],
    (1, 2),
    {},
    {"a": 1},
    1 + 1j,
    Opaque(),
    np.array([1, 2]),
    np.array("8"),
    len,
]


def _values(*values):
    return st.sampled_from(values)


def _kind(*strategies, optional=False, mentions=()):
    if not optional:
        strategies = (*strategies, st.none())
    return Kind(lambda valid: st.one_of(*strategies), mentions)


def integer(minimum, maximum=None, optional=False, mentions=()):
    """Integers in a range."""
    bad = [
        _values(*_NOT_NUMBERS),
        _values(True, False, 4.0, 0.5, NAN, INFINITY, -INFINITY),
        st.floats(-1e6, 1e6),
        st.integers(minimum - 10**12, minimum - 1),
    ]
    if maximum is not None:
        bad += [st.integers(maximum + 1, maximum + 10**12)]
    return _kind(*bad, optional=optional, mentions=mentions)


def number(interval, optional=False, mentions=()):
    """Finite numbers in an interval such as `"[0, 1)"`."""
    low, high = map(float, interval[1:-1].split(","))
    bad = [
        _values(*_NOT_NUMBERS),
        _values(True, False, NAN, INFINITY, -INFINITY, np.float32("nan")),
    ]
    if math.isfinite(low):
        bad += [st.floats(max_value=low, exclude_max=True, allow_nan=False)]
        bad += [st.integers(-(10**12), math.ceil(low) - 1)]
        bad += [st.just(low)] * (interval[0] == "(")
    if math.isfinite(high):
        bad += [st.floats(min_value=high, exclude_min=True, allow_nan=False)]
        bad += [st.just(high)] * (interval[-1] == ")")
    return _kind(*bad, optional=optional, mentions=mentions)


def boolean(mentions=()):
    """`True` or `False`."""
    return _kind(
        _values(*_NOT_NUMBERS, "True", "no", NAN),
        st.integers(2, 10**9),
        mentions=mentions,
    )


def choice(*choices, optional=False, mentions=()):
    """One of several strings."""
    return _kind(
        _values(*_NOT_NUMBERS, 1, True, NAN),
        st.text(max_size=8).filter(lambda text: text not in choices),
        optional=optional,
        mentions=mentions,
    )


_NOT_TEXTS = st.one_of(
    _values(1.5, NAN, True, b"a", [], {}, len, Opaque()), st.integers()
)
TEXT = Kind(lambda valid: st.one_of(_NOT_TEXTS, st.none()))
TEXT_OR_NONE = Kind(lambda valid: _NOT_TEXTS)


def integers(count, minimum=1, optional=False, mentions=()):
    """A sequence of integers of fixed length."""
    bad = st.one_of(
        _values("8", 0.5, NAN, -1, True, "0"),
        st.integers(minimum - 1000, minimum - 1),
    )

    def replaced(valid):
        return st.tuples(st.integers(0, count - 1), bad).map(
            lambda pair: tuple(
                pair[1] if i == pair[0] else v for i, v in enumerate(valid)
            )
        )

    def strategy(valid):
        wrong = [
            _values(Opaque(), "4,8,8", {}, b"488", 1.5, True, NAN),
            _values((), tuple(valid)[:-1], (*valid, 1), [list(valid)]),
            replaced(valid),
        ]
        return st.one_of(*wrong, *([] if optional else [st.none()]))

    return Kind(strategy, mentions)


def interval(optional=False):
    """A pair of numbers `0 < low <= high`."""
    pairs = [(1.0, 0.5), (0.0, 1.0), (-1, 1), (NAN, 1), (0.5, NAN)]
    bad = _values(
        *pairs, (1,), (0.5, 0.7, 1), "ab", 0.5, {}, [], Opaque(), True, ("a", 1)
    )
    return _kind(bad, st.floats(allow_nan=True), optional=optional)


def instance(*mentions, optional=False):
    """An object of a class of this library, or of the user's."""
    bad = _values(
        *[value for value in _NOT_NUMBERS if value is not len], 1, NAN, True
    )
    return _kind(bad, st.integers(), optional=optional, mentions=mentions)


def function(optional=False):
    """A callable."""
    bad = _values("f", 1, NAN, [], {}, Opaque(), True, (1, 2), np.zeros(2))
    return _kind(bad, st.text(max_size=5), optional=optional)


def mapping(optional=False, mentions=()):
    """A dictionary."""
    bad = _values("a", 1, NAN, [1], Opaque(), True, np.zeros(2), len)
    return _kind(bad, st.integers(), optional=optional, mentions=mentions)


def path(optional=False, mentions=()):
    """The path of a file or folder."""
    bad = _values(1, NAN, [1], {}, Opaque(), True, 1.5, np.zeros(2), len)
    return _kind(bad, st.integers(), optional=optional, mentions=mentions)


def existing_path(optional=False):
    """The path of an existing file or folder."""
    names = st.text("abcdef/._ ", min_size=1, max_size=12)
    return Kind(
        lambda valid: st.one_of(
            path(optional=optional).bad(valid),
            names.map(lambda name: f"/nonexistent/{name.strip() or 'x'}"),
            _values("", "a\0b", "/dev/null", "/proc/self/mem", "x" * 300),
        ),
        ("such file", "not exist", "file", "folder", "path", "preset"),
    )


def names(optional=False):
    """A list of unique strings."""
    bad = _values(
        1, NAN, "abc", [1, 2], Opaque(), True, ["a", None], len, [["a"], ["b"]]
    )
    return _kind(bad, st.integers(), optional=optional)


def floats(
    *shape,
    unit=False,
    unclipped=False,
    finite=False,
    or_uint8=False,
    or_integers=False,
    any_rank=False,
    optional=False,
    mentions=(),
):
    """A float tensor.

    Args:
        *shape: Dimensions; `None` matches any.
        unit: Boolean. Whether the values must be in [0, 1] and finite.
        unclipped: Boolean. Whether the values must be finite and those of a
            reconstruction, which may exceed [0, 1].
        finite: Boolean. Whether the values must be finite.
        or_uint8: Boolean. Whether uint8 is valid too.
        or_integers: Boolean. Whether integers are valid too.
        any_rank: Boolean. Whether any shape is valid.
        optional: Boolean. Whether `None` is valid.
        mentions: See `Kind`.
    """

    def strategy(valid):
        valid = np.asarray(valid)
        bad = [] if any_rank else list(_wrong_shapes(valid, shape))
        if not or_integers:
            bad += [valid.astype(d) for d in ("int32", "int64", "bool")]
        # Keras converts numeric strings to numbers on JAX.
        texts = np.full(valid.shape, "clip")
        bad += [valid.astype("complex64"), texts, texts.astype(object)]
        bad += ["clip", 1, NAN, {}, Opaque(), True, len, [1, [2, 3]]]
        strategies = [_values(*bad)]
        if (unit or finite or unclipped) and valid.dtype.kind == "f":
            strategies += [_with_value(valid, v) for v in (NAN, INFINITY)]
        if unclipped:
            strategies += [
                st.floats(20, 300).map(lambda factor: valid * factor),
                st.just((valid * 255).astype("uint8")),
            ]
        if unit:
            strategies += [
                st.floats(3, 300).map(lambda factor: valid * factor),
                st.just(valid * 2 - 1),
                st.just((valid * 255).astype("float16")),
            ]
            if not or_uint8:
                strategies += [st.just((valid * 255).astype("uint8"))]
        if not optional:
            strategies += [st.none()]
        return st.one_of(*strategies)

    return Kind(strategy, mentions)


def ids(
    size, *shape, negative=False, any_rank=False, optional=False, mentions=()
):
    """An integer tensor with values in [0, size), or -1 if `negative`.

    The other arguments are those of `floats`.
    """

    def strategy(valid):
        valid = np.asarray(valid)
        bad = [] if any_rank else list(_wrong_shapes(valid, shape))
        bad += [valid.astype("float32"), valid.astype("complex64")]
        bad += [valid.astype(bool), valid.astype(str)]
        bad += ["token", 1.5, NAN, {}, Opaque(), len, [1, [2, 3]]]
        too_large = st.integers(size, 2**31 - 1)
        too_small = st.integers(-(2**31), -2 if negative else -1)
        strategies = [
            _values(*bad),
            too_large.flatmap(lambda value: _with_value(valid, value)),
            too_small.flatmap(lambda value: _with_value(valid, value)),
        ]
        if not optional:
            strategies += [st.none()]
        return st.one_of(*strategies)

    return Kind(strategy, mentions)


def _wrong_shapes(valid, shape):
    yield valid[0]
    yield valid[None]
    for axis, size in enumerate(shape):
        if size is not None:
            yield np.take(valid, range(size - 1), axis)
            yield np.concatenate([valid, np.take(valid, [0], axis)], axis)


def _with_value(valid, value):
    def put(index):
        bad = np.array(valid)
        bad.flat[index] = value
        return bad

    return st.integers(0, valid.size - 1).map(put)

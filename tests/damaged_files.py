"""Damaged copies of valid files, for property tests of readers."""

import contextlib
import copy
import json
import signal

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

quick = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)

# Values of other types and sizes than a field has.
_VALUES = [
    None,
    True,
    "",
    "text",
    "\0",
    "x" * 200,
    -1,
    0,
    1.5,
    float("nan"),
    float("inf"),
    10**12,
    10**400,
    [],
    ["text", 1],
    {},
    {"text": 1},
]


class TooSlow(BaseException):
    """Raised by `time_limit`; readers do not catch it."""


@contextlib.contextmanager
def time_limit(seconds=10):
    """Context that raises `TooSlow` after some seconds."""

    def stop(*_):
        raise TooSlow(f"The reader took more than {seconds} s.")

    previous = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def assert_reads_or_names(read, *names):
    """Asserts that `read` works, or raises an error with one of the names."""
    try:
        with time_limit():
            read()
    except (ValueError, OSError) as error:
        message = str(error)
        assert any(str(name) in message for name in names), message


@st.composite
def damaged_bytes(draw, content):
    """Truncated content, or content in which bytes are changed."""
    damaged = bytearray(content)
    if draw(st.booleans()):
        del damaged[draw(st.integers(0, len(content) - 1)) :]
        return bytes(damaged)
    # Headers are at the start of files, or at their end.
    size = min(len(content), 400)
    positions = st.one_of(
        st.integers(0, size - 1),
        st.integers(len(content) - size, len(content) - 1),
        st.integers(0, len(content) - 1),
    )
    for position in draw(st.lists(positions, min_size=1, max_size=20)):
        damaged[position] = draw(st.integers(0, 255))
    return bytes(damaged)


@st.composite
def damaged_json(draw, content):
    """Text of a JSON object in which one field is replaced or removed."""
    damaged = copy.deepcopy(content)
    parent, key = draw(st.sampled_from(list(_locations(damaged))))
    if draw(st.integers(0, 4)) == 0:
        del parent[key]
    else:
        parent[key] = draw(st.sampled_from(_VALUES))
    return json.dumps(damaged)


def _locations(content):
    """All pairs of a container and a key in it."""
    items = content.items() if isinstance(content, dict) else enumerate(content)
    for key, value in list(items):
        yield content, key
        if isinstance(value, (dict, list)):
            yield from _locations(value)

"""Calls with invalid arguments, and how clearly they are refused."""

import contextlib
import re
import signal
import warnings

from keras_larp.cli.command import UsageError

# What a call may take before it counts as hanging.
TIME_LIMIT = 20.0  # Seconds.
MAX_LENGTH = 2000  # Characters of a message.
CLEAR, UNCLEAR, SILENT, HANG = "clear", "unclear", "silent", "hang"

_REFUSALS = (
    ValueError,
    TypeError,
    OSError,
    ImportError,
    IndexError,
    UsageError,
)
_RECEIVED = re.compile(
    r"received|got|found|of type|not exist|not a file|no such|expected one"
    r"|should be one|could not interpret",
    re.IGNORECASE,
)


class Hang(BaseException):
    """The time limit has passed. No `except Exception` catches it."""


@contextlib.contextmanager
def time_limit(seconds):
    """Raises `Hang` in the block after a number of seconds."""

    def stop(signum, frame):
        raise Hang

    previous = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def classify(call, words, value, time=TIME_LIMIT):
    """Calls a function with an invalid argument.

    A refusal is clear if it is an exception for invalid values or files whose
    message contains one of `words`, says what was received, and is short.

    Args:
        call: Function without arguments.
        words: Words of which a message must contain one, such as the name of
            the argument.
        value: The invalid value.
        time: Float. Time limit in seconds.

    Returns:
        Pair of the outcome and the message.
    """
    try:
        with time_limit(time), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            call()
    except Hang:
        return HANG, ""
    except SystemExit as error:  # The end of a command.
        return (UNCLEAR if error.code else SILENT), ""
    except Exception as error:
        message = str(error)
        is_clear = (
            isinstance(error, _REFUSALS)
            and any(word.lower() in message.lower() for word in words)
            and _shows(message, value)
            and len(message) < MAX_LENGTH
        )
        text = f"{type(error).__name__}: {message[:300]}"
        return CLEAR if is_clear else UNCLEAR, text
    return SILENT, ""


def _shows(message, value):
    """Whether a message says what was received."""
    if _RECEIVED.search(message):
        return True
    text = value if isinstance(value, str) else repr(value)
    return (text or "''") in message

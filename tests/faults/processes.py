"""Commands as processes of their own.

Importing a backend takes longer than any command with the smallest models. On
PyTorch, the harness therefore imports it once and forks for each command. It
uses the backend nowhere itself: threads do not survive a fork. A forked JAX or
TensorFlow nevertheless waits for a thread forever now and then, so that their
commands are new processes, whose time counts from the end of the imports.
"""

import contextlib
import importlib
import multiprocessing
import os
import pathlib
import signal
import sys
import time
import traceback

import keras

from keras_larp.cli import main

# Longest time of a command, in seconds.
TIMEOUT = 300
_FORK = multiprocessing.get_context("fork")
_CONTEXT = (
    _FORK
    if keras.backend.backend() == "torch"
    else multiprocessing.get_context("spawn")
)
_LIBRARIES = (
    *("av", "grain", "matplotlib.pyplot", "PIL.Image"),
    "array_record.python.array_record_module",
)


def import_everything():
    """Imports what commands import, so that this takes none of their time."""
    for name in main.COMMANDS:
        module = name.replace("-", "_").replace(" ", "_")
        importlib.import_module(f"keras_larp.cli.{module}")
    for library in _LIBRARIES:
        importlib.import_module(library)
    # `keras.utils.set_random_seed` imports them on every backend.
    for library in ("tensorflow", "torch"):
        with contextlib.suppress(ImportError):
            importlib.import_module(library)


class Command:
    """A `keras-larp` command in a process of its own.

    Args:
        arguments: List of strings.
        log: Path. Gets what the command prints.
    """

    def __init__(self, arguments, log):
        self.arguments = list(map(str, arguments))
        self.log = pathlib.Path(log)
        is_ready = _CONTEXT.Event()
        self._process = _CONTEXT.Process(
            target=_run, args=(self.arguments, self.log, is_ready)
        )
        self._process.start()
        is_ready.wait()

    def send(self, number):
        """Sends a signal, and returns whether the command was running."""
        is_running = self._process.is_alive()
        if is_running:
            os.kill(self._process.pid, number)
        return is_running

    def wait(self):
        """Returns the exit status; negative if a signal ended the process.

        Raises:
            AssertionError: If the command hangs or leaves a process behind.
        """
        pid = self._process.pid
        self._process.join(TIMEOUT)
        if self._process.exitcode is None:
            os.killpg(pid, signal.SIGKILL)
            self._process.join()
            raise AssertionError(f"hangs: {self}")
        if not _ends(pid):
            os.killpg(pid, signal.SIGKILL)
            raise AssertionError(f"leaves processes behind: {self}")
        return self._process.exitcode

    @property
    def output(self):
        """Everything that the command printed."""
        return self.log.read_text(errors="replace")

    def __str__(self):
        tail = "\n".join(self.output.splitlines()[-20:])
        return f"keras-larp {' '.join(self.arguments)}\n{tail}"


def _run(arguments, log, is_ready):
    import_everything()
    os.setpgid(0, 0)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        os.dup2(descriptor, stream.fileno())
    sys.argv = ["keras-larp", *arguments]
    is_ready.set()
    main.main()


def run(arguments, log):
    """Runs a command, and returns it and its duration in seconds."""
    command = Command(arguments, log)
    start = time.perf_counter()
    status = command.wait()
    assert status == 0, f"status {status}: {command}"
    return command, time.perf_counter() - start


def call(function, *arguments):
    """Calls a function in a process of its own, and returns its result."""
    receiver, sender = _FORK.Pipe(duplex=False)

    def send():
        try:
            sender.send((function(*arguments), None))
        except Exception:
            sender.send((None, traceback.format_exc()))

    process = _FORK.Process(target=send)
    process.start()
    sender.close()
    result = None, "the process ended early"
    with contextlib.suppress(EOFError):
        result = receiver.recv()
    process.join()
    assert result[1] is None, result[1]
    return result[0]


def _ends(group):
    """Whether all processes of a group end within some seconds."""
    for _ in range(100):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False

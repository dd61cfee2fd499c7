"""Commands as forked processes.

Importing a backend takes longer than any command with the smallest models, so
that the harness imports it once and forks for each command. Nothing may use
the backend in the harness itself: its threads do not survive a fork.
"""

import contextlib
import multiprocessing
import os
import pathlib
import signal
import sys
import time
import traceback

from keras_larp.cli import main

# Longest time of a command, in seconds.
TIMEOUT = 300
_FORK = multiprocessing.get_context("fork")


class Command:
    """A `keras-larp` command in a process of its own.

    Args:
        arguments: List of strings.
        log: Path. Gets what the command prints.
    """

    def __init__(self, arguments, log):
        self.arguments = list(map(str, arguments))
        self.log = pathlib.Path(log)
        self._process = _FORK.Process(target=self._run)
        self._process.start()

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

    def _run(self):
        os.setpgid(0, 0)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        descriptor = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            os.dup2(descriptor, stream.fileno())
        sys.argv = ["keras-larp", *self.arguments]
        main.main()


def run(arguments, log):
    """Runs a command, and returns it and its duration in seconds."""
    start = time.perf_counter()
    command = Command(arguments, log)
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

"""Folders that the processes of a job write to together."""

import contextlib
import json
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

from keras_larp.backend import processes
from keras_larp.utils.locks import lock_folder, lock_path


def on_chief(function: Callable[[], Any]) -> Any:
    """Calls a function in the chief and returns its result in all processes.

    All processes must call it together.

    Args:
        function: Function without arguments that returns a JSON value.

    Raises:
        ValueError: In the other processes, if the function raises in the
            chief.
    """
    if processes.process_count() == 1:
        return function()
    answer, error = {}, None
    if processes.process_index() == 0:
        try:
            answer["result"] = function()
        except Exception as exception:
            answer["error"], error = str(exception), exception
    answer = json.loads(processes.gather_texts(json.dumps(answer))[0])
    if error is not None:
        raise error
    if "error" in answer:
        raise ValueError(f"The first process failed: {answer['error']}")
    return answer["result"]


@contextlib.contextmanager
def lock_job_folder(
    folder: str | os.PathLike,
) -> Iterator[Callable[[], None]]:
    """Holds the lock of a folder for all processes of a job.

    The chief holds the lock of the folder, so that a second job is refused,
    and each other process holds a lock of its own. On a normal exit, all
    processes wait for each other. See `lock_folder`.

    Args:
        folder: String or path.

    Yields:
        Function that waits until all processes call it, without a time limit.

    Raises:
        BlockingIOError: If another job holds the lock. The other processes
            raise a `ValueError` with the same message.
    """
    wait_for_all = processes.patient_barrier()
    count, index = processes.process_count(), processes.process_index()
    with contextlib.ExitStack() as stack:
        on_chief(lambda: stack.enter_context(lock_folder(folder)))
        if index:
            name = f"process_{index:04d}_of_{count:04d}"
            stack.enter_context(lock_path(pathlib.Path(folder) / name))
        yield wait_for_all
        wait_for_all()

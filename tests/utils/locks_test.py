import errno
import os
import signal
import subprocess
import sys

import pytest

from keras_larp.utils.locks import lock_folder, lock_path

pytestmark = pytest.mark.once

HOLD = """
import sys, time
from keras_larp.utils.locks import lock_folder
with lock_folder(sys.argv[1]):
    print("locked", flush=True)
    time.sleep(60)
"""


def start_owner(folder, script=HOLD):
    process = subprocess.Popen(
        [sys.executable, "-c", script, folder], stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"locked\n"
    return process


def test_folder_of_another_process_is_refused_and_named(tmp_path):
    owner = start_owner(tmp_path / "run")
    with pytest.raises(BlockingIOError, match=f"process {owner.pid} on .* sin"):
        with lock_folder(tmp_path / "run"):
            pass
    owner.kill()
    owner.wait()


def test_lock_of_a_killed_process_is_taken_over(tmp_path):
    owner = start_owner(tmp_path)
    os.kill(owner.pid, signal.SIGKILL)
    owner.wait()
    with lock_folder(tmp_path):
        assert os.listdir(tmp_path) == [".lock"]
    assert os.listdir(tmp_path) == []


def test_lock_is_released_after_an_exception(tmp_path):
    with pytest.raises(RuntimeError), lock_folder(tmp_path):
        raise RuntimeError
    with lock_folder(tmp_path):
        pass


def test_path_is_locked_before_it_exists(tmp_path):
    path = tmp_path / "new" / "preset"
    with lock_path(path):
        with pytest.raises(BlockingIOError, match="preset is being written"):
            with lock_path(path):
                pass
        with lock_path(tmp_path / "new" / "other"):
            pass
    assert os.listdir(tmp_path / "new") == []


def test_lock_waits_for_its_owner_on_request(tmp_path):
    hold = HOLD.replace("lock_folder", "lock_path").replace("60", "0.5")
    owner = start_owner(tmp_path / "file", hold)
    with lock_path(tmp_path / "file", wait=True):
        assert owner.poll() is not None or owner.wait(5) == 0


def test_many_processes_never_hold_a_lock_together(tmp_path):
    count = """
import pathlib, sys, time
from keras_larp.utils.locks import lock_folder
folder = pathlib.Path(sys.argv[1])
done = 0
while done < 50:
    try:
        with lock_folder(folder / "locked"):
            value = int((folder / "count").read_text())
            (folder / "count").write_text(str(value + 1))
            done += 1
    except BlockingIOError:
        pass
"""
    (tmp_path / "count").write_text("0")
    processes = [
        subprocess.Popen([sys.executable, "-c", count, tmp_path])
        for _ in range(3)
    ]
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert (tmp_path / "count").read_text() == "150"


def test_full_disk_is_reported_with_the_locked_path(tmp_path, monkeypatch):
    def pwrite(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", pwrite)
    with pytest.raises(OSError, match="No space left on device: .*run'"):
        with lock_folder(tmp_path / "run"):
            pass
    assert os.listdir(tmp_path / "run") == []

import collections
import errno
import os
import subprocess
import sys

import numpy as np
import pytest

from keras_larp.utils import files

pytestmark = pytest.mark.once


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_atomic_write_replaces_the_file(tmp_path):
    path = tmp_path / "new" / "a.txt"
    for text in ("one", "two"):
        files.atomic_write_text(path, text)
        assert path.read_text() == text
    assert names(path.parent) == ["a.txt"]


def test_failed_atomic_write_keeps_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), files.atomic_write(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old" and names(tmp_path) == ["a.txt"]


def test_temporary_file_has_the_suffix_of_the_final_name(tmp_path):
    with files.atomic_write(tmp_path / "model.weights.h5") as temporary:
        assert temporary.name.endswith(".weights.h5")
        temporary.write_text("")


def test_concurrent_writers_use_different_temporary_files(tmp_path):
    path = tmp_path / "a.txt"
    with files.atomic_write(path) as first, files.atomic_write(path) as second:
        assert first != second
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"


def test_atomic_folder_appears_only_when_complete(tmp_path):
    path = tmp_path / "folder"
    with files.atomic_folder(path) as temporary:
        (temporary / "a").write_text("1")
        assert not path.exists()
    assert names(path) == ["a"]
    with pytest.raises(FileExistsError, match="exists"):
        with files.atomic_folder(path):
            pass
    with files.atomic_folder(path, overwrite=True) as temporary:
        (temporary / "b").write_text("2")
    assert names(path) == ["b"] and names(tmp_path) == ["folder"]


def test_failed_atomic_folder_keeps_the_old_one(tmp_path):
    path = tmp_path / "folder"
    path.mkdir()
    (path / "a").write_text("1")
    with pytest.raises(RuntimeError):
        with files.atomic_folder(path, overwrite=True):
            raise RuntimeError
    assert names(path) == ["a"] and names(tmp_path) == ["folder"]


def test_leftovers_of_interrupted_writes_are_removed(tmp_path):
    (tmp_path / ".part-0123-a").mkdir()
    (tmp_path / ".part-0123-b.txt").write_text("half")
    (tmp_path / "c.txt").write_text("complete")
    files.remove_temporary_files(tmp_path)
    assert names(tmp_path) == ["c.txt"]


@pytest.fixture(scope="module")
def ended_process():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_leftovers_of_a_killed_writer_are_removed_by_the_next(
    tmp_path, ended_process
):
    path = tmp_path / "clip.mp4"
    with files.atomic_write(path) as temporary:
        temporary.write_text("")
        # A writer of this process, and one that was killed.
        killed = temporary.name.replace(str(os.getpid()), str(ended_process))
        (tmp_path / killed).write_text("half")
        (tmp_path / f"{killed[:-8]}other.mp4").write_text("half")
        with files.atomic_write(path) as second:
            assert temporary.exists() and not (tmp_path / killed).exists()
            second.write_text("")
    assert len(names(tmp_path)) == 2  # Other targets are not touched.


def test_leftovers_of_a_running_writer_are_kept(tmp_path):
    with files.atomic_write(tmp_path / "a") as temporary:
        temporary.write_text("")
        files.remove_temporary_files(tmp_path)
        assert temporary.exists()


def test_second_writer_of_a_folder_gets_a_clear_error(tmp_path):
    path = tmp_path / "preset"
    with pytest.raises(FileExistsError, match="preset exists. Remove it"):
        with files.atomic_folder(path) as first:
            (first / "a").write_text("1")
            with files.atomic_folder(path) as second:
                (second / "a").write_text("2")
    assert (path / "a").read_text() == "2" and names(tmp_path) == ["preset"]


def test_full_disks_are_reported_before_writing(tmp_path, monkeypatch):
    usage = collections.namedtuple("usage", "total used free")
    free = usage(2**30, 2**29, 2**21)
    monkeypatch.setattr(files.shutil, "disk_usage", lambda _: free)
    files.check_free_space(tmp_path, [np.zeros((2**17,))])
    with pytest.raises(OSError, match="needs 3 MiB.*has 2 MiB left") as error:
        files.check_free_space(tmp_path, [np.zeros((2**18, 2))])
    assert error.value.errno == errno.ENOSPC


def test_replace_symlink(tmp_path):
    for target in ("a", "b"):
        files.replace_symlink(tmp_path / "best", target)
    assert (tmp_path / "best").readlink().name == "b"
    assert names(tmp_path) == ["best"]


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded", ".part-1"),
        RuntimeError("write() failed: No space left on device; .part-1"),
    ],
)
def test_errors_of_a_full_disk_name_the_path(tmp_path, error):
    for write in (files.atomic_write, files.atomic_folder):
        with pytest.raises(OSError) as raised, write(tmp_path / "a"):
            raise error
        assert raised.value.filename == str(tmp_path / "a")
        assert raised.value.errno in (errno.ENOSPC, errno.EDQUOT)
    assert names(tmp_path) == []


def test_other_errors_of_writers_are_not_changed(tmp_path):
    error = RuntimeError("No codec.")
    with pytest.raises(RuntimeError) as raised:
        with files.atomic_write(tmp_path / "a"):
            raise error
    assert raised.value is error


def test_leftovers_of_an_earlier_process_with_the_same_id_are_removed(tmp_path):
    # A restarted container gives its processes the same ids.
    with files.atomic_write(tmp_path / "a") as temporary:
        temporary.write_text("")
        earlier = tmp_path / temporary.name.replace("-a", "-b")
        earlier.write_text("half")
        os.utime(earlier, (0, 0))
        files.atomic_write_text(tmp_path / "b", "complete")
        assert not earlier.exists() and temporary.exists()

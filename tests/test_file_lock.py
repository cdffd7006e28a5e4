"""The lock on a file excludes threads and processes, and dies with its process."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from rbt_ray.file_lock import FileLock, LockHeldError

COUNT = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from rbt_ray.file_lock import FileLock

folder = Path(sys.argv[1])

def count(_):
    lock = FileLock(folder / "lock", wait=True)
    counter = folder / "counter"
    counter.write_text(str(int(counter.read_text()) + 1))
    lock.release()

with ThreadPoolExecutor(4) as threads:
    list(threads.map(count, range(200)))
"""


def test_threads_of_several_processes_count_without_a_loss(tmp_path):
    (tmp_path / "counter").write_text("0")
    children = [subprocess.Popen([sys.executable, "-c", COUNT, tmp_path]) for _ in range(3)]
    try:
        assert [child.wait(timeout=60) for child in children] == [0, 0, 0]
    finally:
        for child in children:
            child.kill()
    assert (tmp_path / "counter").read_text() == "600"


def test_threads_that_do_not_wait_are_refused(tmp_path):
    lock = FileLock(tmp_path / "lock", wait=False)
    with ThreadPoolExecutor(1) as threads, pytest.raises(LockHeldError) as caught:
        threads.submit(FileLock, tmp_path / "lock", wait=False).result()
    assert caught.value.content is None
    lock.release()
    FileLock(tmp_path / "lock", wait=False).release()


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork on Windows")
def test_a_forked_child_holds_no_lock_of_its_parent(tmp_path):
    lock = FileLock(tmp_path / "lock", wait=False)
    os.write(lock.descriptor, b"the parent")
    child = os.fork()
    if child == 0:
        try:
            FileLock(tmp_path / "lock", wait=False)
        except LockHeldError as error:
            os._exit(int(error.content != b"the parent"))
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with pytest.raises(LockHeldError):  # the child, which has ended, released nothing
        FileLock(tmp_path / "lock", wait=False)
    lock.release()

"""A study's lock cannot be taken if another driver holds it, or for a reason that the error states."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from rbt_ray.errors import SettingError
from rbt_ray.store.lease import StudyLock

SHIM = """
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <unistd.h>
int fcntl64(int descriptor, int command, ...) {
    va_list rest;
    va_start(rest, command);
    long argument = va_arg(rest, long);
    va_end(rest);
    if (command == F_SETLK) { errno = REASON; return -1; }
    return syscall(SYS_fcntl, descriptor, command, argument);
}
"""
TAKE = """
import sys
from pathlib import Path
from rbt_ray.errors import SettingError, StudyLockedError
from rbt_ray.store.lease import StudyLock
try:
    StudyLock(Path(sys.argv[1]))
except (SettingError, StudyLockedError) as error:
    print(type(error).__name__, error)
"""


@pytest.mark.skipif(sys.platform != "linux" or shutil.which("cc") is None, reason="needs a C compiler and LD_PRELOAD")
@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("ENOLCK", "SettingError .*lock cannot be locked against a second driver: No locks available"),
        ("EIO", "SettingError .*lock cannot be locked against a second driver: Input/output error"),
        ("EACCES", "StudyLockedError .*is being run by process 7 on elsewhere"),
        ("EAGAIN", "StudyLockedError .*is being run by process 7 on elsewhere"),
    ],
)
def test_only_a_lock_that_is_held_means_another_process(tmp_path, reason, said):
    (tmp_path / "shim.c").write_text(SHIM)
    shim = tmp_path / "shim.so"
    subprocess.run(["cc", "-shared", "-fPIC", f"-DREASON={reason}", "-o", shim, tmp_path / "shim.c"], check=True)
    (tmp_path / "lock").write_text(json.dumps({"pid": 7, "host": "elsewhere"}))
    command = [sys.executable, "-c", TAKE, tmp_path]
    environment = {**os.environ, "LD_PRELOAD": str(shim)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    assert re.match(said, done.stdout), done.stdout + done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="pipes and links are POSIX's")
@pytest.mark.parametrize("what", ["a pipe", "a second name"])
def test_a_lock_that_is_not_a_regular_file_is_refused(tmp_path, what):
    (tmp_path / "mine").write_text("mine")
    if what == "a pipe":
        os.mkfifo(tmp_path / "lock")
    else:
        (tmp_path / "lock").hardlink_to(tmp_path / "mine")
    with pytest.raises(SettingError, match="is not a regular file of its own"):
        StudyLock(tmp_path)
    assert (tmp_path / "mine").read_text() == "mine"


def test_a_lock_of_any_content_can_be_taken(tmp_path):
    (tmp_path / "lock").write_bytes(b"\xff\0" * 10_000)
    StudyLock(tmp_path).release()

"""A study on a read-only folder can be shown and reported."""

import ctypes
import os
import shutil
import subprocess
import sys
from contextlib import closing

import pytest

from rbt_ray.store.journal import Ended, Journal
from rbt_ray.store.journal_file import FILE_NAME
from tests.store.test_strangers import study

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="modes are POSIX's")


def without_rights():
    """Runs in a child process: makes root obey the modes of files, as other users do."""
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None)
        for capability in (1, 2, 3):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER
            assert libc.prctl(24, capability, 0, 0, 0) == 0, "PR_CAPBSET_DROP"


LOOK = """
import os, sys
from pathlib import Path
import rbt_ray as rbt
from rbt_ray.cli.main import run_command
folder, page = Path(sys.argv[1]), Path(sys.argv[2])
try:
    (folder / "new").touch()
except OSError:
    print("read-only")
assert run_command(["show", str(folder)]) == 1  # no trial of it completed
assert run_command(["report", str(folder), "--out", str(page)]) == 0
print(len(rbt.ResultGrid(folder).runs))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="capabilities are Linux's")
@pytest.mark.parametrize("ended", ["closed", "killed"])
def test_a_study_is_shown_and_reported_without_rights_to_write_it(tmp_path, ended):
    folder = study(tmp_path / "study")
    if ended == "killed":
        with closing(Journal(folder, write=True)) as journal:
            journal.append(Ended("done", 1.0, 1, "local"))
            shutil.copytree(folder, tmp_path / "copy")
        folder = tmp_path / "copy"
        (folder / f"{FILE_NAME}-shm").unlink()
    for path in (*folder.iterdir(), folder):
        path.chmod(0o500 if path == folder else 0o400)
    command = [sys.executable, "-c", LOOK, folder, tmp_path / "page.html"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, preexec_fn=without_rights)
    assert done.stdout.splitlines()[0] == "read-only", done.stderr
    assert done.stdout.splitlines()[-1] == str(1 + (ended == "killed")), done.stderr
    assert (tmp_path / "page.html").stat().st_size
    folder.chmod(0o700)


def may_mount():
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("unshare") is None:
        return False
    return (
        subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True).returncode == 0
    )


@pytest.mark.skipif(not may_mount(), reason="needs root and namespaces")
def test_a_study_is_shown_and_reported_from_a_read_only_mount(tmp_path):
    folder = study(tmp_path / "study")
    script = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && exec "$2" -c "$3" "$1" "$4"'
    command = ["unshare", "-m", "sh", "-c", script, "sh", folder, sys.executable, LOOK, tmp_path / "page.html"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.stdout.splitlines()[0] == "read-only", done.stderr
    assert done.stdout.splitlines()[-1] == "1", done.stderr


def test_a_file_without_read_permission_is_an_error(tmp_path):
    folder = study(tmp_path / "study")
    (folder / FILE_NAME).chmod(0)
    code = "import sys\nfrom rbt_ray.cli.main import run_command\nprint(run_command(['show', sys.argv[1]]))\n"
    command = [sys.executable, "-c", code, folder]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, preexec_fn=without_rights)
    assert done.stdout == "1\n"
    assert done.stderr == f"rbt-ray: {folder / FILE_NAME} cannot be read: Permission denied.\n"

"""Missing resources of a machine or process. Each is set up in the child before it executes Python."""

import os
import resource
import shutil
import subprocess
import tempfile
from pathlib import Path


def _limit(kind, value):
    def apply(_):
        resource.setrlimit(kind, (value, value))

    return apply


def _memory(mib):
    return _limit(resource.RLIMIT_AS, mib * 2**20)


def _files(number):
    return _limit(resource.RLIMIT_NOFILE, number)


def _without_cwd(work):
    gone = tempfile.mkdtemp(dir=work)
    os.chdir(gone)
    Path(gone).rmdir()


def _closed(*descriptors):
    def apply(_):
        for descriptor in descriptors:
            os.close(descriptor)

    return apply


def _to(path, *descriptors):
    def apply(_):
        file = os.open(path, os.O_WRONLY)
        for descriptor in descriptors:
            os.dup2(file, descriptor)

    return apply


def _nobody_reads(*descriptors):
    def apply(_):
        reader, writer = os.pipe()
        os.close(reader)
        for descriptor in descriptors:
            os.dup2(writer, descriptor)

    return apply


def _environment(**values):
    def apply(work):
        for name, value in values.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value.format(work=work)

    return apply


def _long_temporary_folder(work):
    """Sets TMPDIR to a folder whose path is too long for a Unix socket."""
    folder = Path(work, *["long"] * 30)
    folder.mkdir(parents=True)
    os.environ["TMPDIR"] = str(folder)


def _mounted(options, *, at):
    """Mounts a private file system over a folder, in a namespace that ends with the child."""

    def apply(work):
        folder = work / at if at else work
        script = f'mount -t tmpfs -o {options} none "$0" && cd "$0" && exec "$@"'
        return ["unshare", "-rm", "sh", "-c", script, str(folder)]

    return apply


FAULTS = {
    "none": lambda _: None,
    **{f"{mib} MiB of address space": _memory(mib) for mib in (64, 150, 250, 350, 500, 700, 1000, 1500, 2500)},
    **{f"{n} descriptors": _files(n) for n in (6, 8, 10, 12, 14, 16, 20, 24, 32, 48, 64)},
    **{f"files of {size} bytes": _limit(resource.RLIMIT_FSIZE, size) for size in (0, 100, 5000, 40_000)},
    "no working directory": _without_cwd,
    **{f"descriptor {n} closed": _closed(n) for n in (0, 1, 2)},
    "all three closed": _closed(0, 1, 2),
    "stdout full": _to("/dev/full", 1),
    "stderr full": _to("/dev/full", 2),
    "both full": _to("/dev/full", 1, 2),
    "nobody reads stdout": _nobody_reads(1),
    "nobody reads stderr": _nobody_reads(2),
    "no HOME": _environment(HOME=None),
    "HOME that is not there": _environment(HOME="/nonexistent/home"),
    "HOME that cannot be written": _environment(HOME="/proc/self", RBT_RAY_HOME=None),
    "home below a file": _environment(RBT_RAY_HOME="/dev/null/x"),
    "no TMPDIR": _environment(TMPDIR=None),
    "TMPDIR that is not there": _environment(TMPDIR="/nonexistent/tmp"),
    "TMPDIR that cannot be written": _environment(TMPDIR="/proc/self"),
    "TMPDIR with a long name": _long_temporary_folder,
    "LANG=C": _environment(LANG="C", LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0"),
    "ASCII": _environment(PYTHONIOENCODING="ascii"),
    "an unknown locale": _environment(LANG="xx_YY.ISO-8859-99", LC_ALL="xx_YY"),
}
if (
    shutil.which("unshare")
    and not subprocess.run(["unshare", "-rm", "true"], check=False, capture_output=True).returncode
):
    FAULTS |= {
        "a read-only working directory": _mounted("ro", at=None),
        "a full working directory": _mounted("size=4k,nr_inodes=3", at=None),
        "a full TMPDIR": _mounted("size=4k,nr_inodes=2", at="tmp"),
        "a read-only TMPDIR": _mounted("ro", at="tmp"),
    }

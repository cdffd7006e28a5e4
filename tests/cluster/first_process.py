"""The first process of a host: makes private mounts, then runs until its stdin closes. The host ends with it.

Run by `hosts.Lan` as a script, in fresh namespaces. When the first
process ends, the kernel kills all others in the process namespace: closing the pipe switches the host off, and a killed test run
leaves no host behind.
"""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

SHM_BYTES = 1 << 30
"""The most that a host's shared memory, which holds Ray's object store, may take; only what is used is allocated."""


def mount(*words: str | Path) -> None:
    subprocess.run(["mount", *map(str, words)], check=True, stdin=subprocess.DEVNULL)


def private_mounts(name: str, folder: Path, home: Path) -> None:
    """Mounts a private /proc, /dev/shm, /run, /tmp/ray, /etc/hosts and home folder. The home is an overlay of the real one.

    Args:
        name: the host's.
        folder: on the machine's disk; Ray's logs stay there after the host is gone.
        home: the user's.
    """
    subprocess.run(["hostname", name], check=True, stdin=subprocess.DEVNULL)
    mount("-t", "proc", "proc", "/proc")
    mount("-t", "tmpfs", "-o", f"size={SHM_BYTES},mode=1777", "shm", "/dev/shm")
    mount("-t", "tmpfs", "-o", "size=64m,mode=755", "run", "/run")
    Path("/run/sshd").mkdir(mode=0o755)
    above, work = Path("/run/home/above"), Path("/run/home/work")
    above.mkdir(parents=True)
    work.mkdir()
    mount("-t", "overlay", "-o", f"lowerdir={home},upperdir={above},workdir={work}", "home", home)
    for keys in (".ray", ".ssh"):  # a host has those it is given
        shutil.rmtree(home / keys, ignore_errors=True)
    Path("/tmp/ray").mkdir(mode=0o1777, exist_ok=True)
    (folder / "ray").mkdir(mode=0o1777)
    mount("--bind", folder / "ray", "/tmp/ray")
    mount("--bind", folder.parent / "names", "/etc/hosts")


def main() -> None:
    name, folder, home = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    pid_outside = Path("/proc/self").readlink()  # /proc is still the machine's
    if name != "switch":
        private_mounts(name, folder, home)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps orphans, which become this process's children
    print(pid_outside, flush=True)
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    main()

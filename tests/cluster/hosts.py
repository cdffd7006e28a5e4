"""Several hosts on one Linux machine: process trees with their own network, processes, mounts and name.

Each host has an address on a private network, its own /proc, /dev/shm, /run, /tmp/ray, /etc/hosts and home folder; the rest
of the file system is shared, so that the environment and the checkout are where they are. All hosts hang on a bridge in one
more network namespace. Nothing is made in the machine's own namespaces, so any number of networks with the same addresses
live side by side, and nothing routes out. No process is ever signalled by its number: hosts end when a pipe closes.

Needs root, `ip` (iproute2), `unshare`, `nsenter`, `mount` (util-linux), and overlayfs in the kernel.
"""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_TOOLS = {
    "ip": "iproute2",
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "mount": "util-linux",
    "sshd": "openssh-server",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "rsync": "rsync",
}
_ADMIN_PATH = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"
_NETWORK = "10.77.0"
_MOST_HOSTS = 100
_BIN = Path(sys.executable).parent
HOME = Path(pwd.getpwuid(os.getuid()).pw_dir)


def what_is_missing() -> str:
    """Returns why this machine cannot create hosts, or "" if it can."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        return "hosts are made of Linux namespaces, which needs root on Linux."
    absent = sorted({package for tool, package in _TOOLS.items() if shutil.which(tool, path=_ADMIN_PATH) is None})
    if absent:
        return f"install {', '.join(absent)} (names of Debian packages)."
    words = ["unshare", "--net", "--mount", "sh", "-c", "ip link add br0 type bridge && mount -t tmpfs none /mnt"]
    tried = subprocess.run(words, capture_output=True, text=True, timeout=30)
    if tried.returncode:
        return f"this machine lets nobody make namespaces, bridges and mounts: {tried.stderr.strip()}."
    return ""


class Namespaces:
    """Namespaces and their first process, which end together.

    Args:
        name: of the host.
        folder: where its log goes.
    """

    def __init__(self, name: str, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._log = folder / "first_process.log"
        first = [sys.executable, "-I", Path(__file__).with_name("first_process.py"), name, folder, HOME]
        kinds = ["--net", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child"]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                ["unshare", *kinds, *first], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, cwd="/"
            )
        assert self._process.stdout is not None
        with self._process.stdout as stdout:
            ready = stdout.readline()
        if not ready:
            self.end()
            raise RuntimeError(f"host {name} did not start: {self._log.read_text()}")
        self.pid = int(ready)
        """Of the first process, as the machine counts."""

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def end(self) -> None:
        """Ends all processes in the namespaces at once."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)

    def ip(self, *lines: str) -> None:
        """Runs `ip` commands in the network namespace."""
        words = ["nsenter", "-t", str(self.pid), "-n", "ip", "-batch", "-"]
        subprocess.run(words, input="\n".join(lines), text=True, check=True, timeout=30)


class Host:
    """A host on a `Lan`, which makes it.

    Args:
        name: its name, known to the others.
        address: its address.
        port: the name of its cable's end at the switch.
        switch: what it hangs on.
        folder: where its logs go; seen by all hosts.
        env: environment variables of what runs there.
    """

    def __init__(
        self, name: str, address: str, port: str, switch: Namespaces, folder: Path, env: Mapping[str, str]
    ) -> None:
        self.name = name
        self.address = address
        self.folder = folder
        self.env = {"HOME": str(HOME), "PATH": f"{_BIN}:{_ADMIN_PATH}", "LANG": "C.UTF-8", **env}
        self._port = port
        self._switch = switch
        self._numbers = itertools.count()
        self._spaces = Namespaces(name, folder)
        switch.ip(
            f"link add {port} type veth peer name eth0 netns {self._spaces.pid}", f"link set {port} master br0 up"
        )
        # No gateway answers, but programs find their own address in the routing table.
        gateway = f"{address.rpartition('.')[0]}.254"
        self._spaces.ip(
            "link set lo up", f"addr add {address}/24 dev eth0", "link set eth0 up", f"route add default via {gateway}"
        )

    def __repr__(self) -> str:
        return f"<Host {self.name} {self.address}>"

    @property
    def alive(self) -> bool:
        return self._spaces.alive

    @property
    def first_pid(self) -> int:
        """Of its first process, as the machine counts; all others that daemons leave behind become its children."""
        return self._spaces.pid

    @property
    def received(self) -> int:
        """Returns the bytes received from other hosts since the start."""
        lines = Path(f"/proc/{self._spaces.pid}/net/dev").read_text().splitlines()
        return next(int(line.split(":")[1].split()[0]) for line in lines if line.strip().startswith("eth0:"))

    def start(
        self,
        words: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path = Path("/"),
        **streams: Any,
    ) -> subprocess.Popen[str]:
        """Starts a command on the host.

        Args:
            words: the command and its arguments.
            env: variables beside the host's own.
            cwd: where it runs.
            streams: stdin, stdout, stderr as Popen has them.
        """
        enter = ["nsenter", "-t", str(self._spaces.pid), "-m", "-u", "-i", "-n", "-p", f"--wdns={cwd}", "--"]
        streams = {"stdin": subprocess.DEVNULL, **streams}
        return subprocess.Popen([*enter, *words], env={**self.env, **(env or {})}, text=True, **streams)

    def run(
        self,
        words: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path = Path("/"),
        timeout: float = 120,
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command on the host and returns it with its output. Its daemons keep running.

        Raises:
            AssertionError: it failed, and `check` is set: with what it printed.
        """
        number = next(self._numbers)
        out, err = self.folder / f"{number}.out", self.folder / f"{number}.err"  # daemons keep a pipe open
        with out.open("w") as stdout, err.open("w") as stderr:
            code = self.start(words, env=env, cwd=cwd, stdout=stdout, stderr=stderr).wait(timeout)
        done = subprocess.CompletedProcess(list(words), code, out.read_text(), err.read_text())
        assert code == 0 or not check, f"{words} on {self.name} ended with {code}:\n{done.stdout}\n{done.stderr}"
        return done

    def hide(self, folder: Path) -> None:
        """Mounts an empty folder over one of the machine's, as if the host did not have it."""
        self.run(["mount", "-t", "tmpfs", "-o", "size=1m", "hidden", folder])

    def own(self, folder: Path) -> None:
        """Makes one of the machine's folders private to the host: other hosts do not see its writes."""
        above, work = (f"/run/own/{next(self._numbers)}/{name}" for name in ("above", "work"))
        self.run(["mkdir", "-p", above, work])
        layers = f"lowerdir={folder},upperdir={above},workdir={work}"
        self.run(["mount", "-t", "overlay", "-o", layers, "own", folder])

    def write(self, file: Path, text: str) -> None:
        """Writes a file on the host. Other hosts do not see it if the folder is private."""
        done = self.start(["tee", file], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        done.communicate(text, timeout=30)
        assert done.returncode == 0, file

    def cut(self) -> None:
        """Pulls the network cable."""
        self._switch.ip(f"link set {self._port} down")

    def heal(self) -> None:
        """Puts the network cable back."""
        self._switch.ip(f"link set {self._port} up")

    def crash(self) -> None:
        """Kills all its processes with kill -9; the kernel closes their connections."""
        self._spaces.end()

    def lose_power(self) -> None:
        """Ends the host without closing its connections."""
        self.cut()
        self._spaces.end()


class Lan:
    """A private network of hosts; a context manager that ends them all.

    Args:
        folder: for their logs; not there yet.
        env: environment variables of what runs on any host.
    """

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        self.hosts: list[Host] = []
        self.env = dict(env)
        self._folder = folder
        self._switch = Namespaces("switch", folder / "switch")
        names = [f"{self._address(number)} {self._name(number)}" for number in range(_MOST_HOSTS)]
        (folder / "names").write_text("\n".join(["127.0.0.1 localhost", *names]) + "\n")
        self._switch.ip("link add br0 type bridge stp_state 0", "link set br0 up")

    def __enter__(self) -> Lan:
        return self

    def __exit__(self, *exception: object) -> None:
        for host in self.hosts:
            host.crash()
        self._switch.end()

    def add(self) -> Host:
        """Adds a host on which nothing runs."""
        number = len(self.hosts)
        name = self._name(number)
        host = Host(name, self._address(number), f"port{number}", self._switch, self._folder / name, self.env)
        self.hosts.append(host)
        return host

    @staticmethod
    def _name(number: int) -> str:
        return f"h{number}"

    @staticmethod
    def _address(number: int) -> str:
        return f"{_NETWORK}.{number + 1}"

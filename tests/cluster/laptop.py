"""A user's machine outside of a cluster, from which the commands of cluster/README.md are typed."""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.hosts import Host, Lan
from tests.cluster.ray_cluster import PYTHON, ROOT
from tests.cluster.ssh import Ssh
from tests.cluster.studies import Driver, wait_for

EXAMPLE = ROOT / "cluster/example"
TOKEN = "ray get-auth-token --generate"
PRIVATE = "chmod 600 ~/.ray/auth_token"


class Laptop:
    """A machine with the checkout, and three with an ssh server and the environment but without the example.

    Args:
        lan: where they are made.
        folder: empty; for keys and output, seen by all hosts.
        file: the name of the cluster's file in cluster/.
        fill_in: sets the user's values in the file's content, for these servers.
    """

    def __init__(
        self, lan: Lan, folder: Path, file: str, fill_in: Callable[[dict[str, Any], Sequence[Host]], None]
    ) -> None:
        self.host, *self.servers = (lan.add() for _ in range(4))
        ssh = Ssh(folder / "keys", self.host)
        for server in self.servers:
            server.hide(EXAMPLE)
            ssh.serve(server)
        self.host.own(ROOT)
        user = hashlib.sha256(getpass.getuser().encode()).hexdigest()
        sockets = Path(
            f"/tmp/ray_ssh_{user[:10]}"
        )  # of Ray's ssh connections, which lead to other hosts on another `Lan`
        self.host.run(["mkdir", "-p", sockets])
        self.host.hide(sockets)
        # Hosts have no package index, but already have the environment.
        path = f'export PATH="{PYTHON.parent}:$PATH" PYTHONPATH="{ROOT}" RAY_AUTH_MODE=token'
        (folder / "install.sh").write_text(f"echo '{path}' >>~/.bashrc\n")
        (folder / "dist").mkdir()
        config = yaml.safe_load((ROOT / "cluster" / file).read_text())
        config["auth"].update(ssh_user="root", ssh_private_key="~/.ssh/id_ed25519")
        config["file_mounts"] |= {"~/rbt/install.sh": str(folder / "install.sh"), "~/rbt/dist": str(folder / "dist")}
        fill_in(config, self.servers)
        self.host.write(ROOT / "cluster" / file, yaml.safe_dump(config))
        self.folder = folder / "typed"
        self.folder.mkdir()

    def begin(self, words: list[str | Path], cwd: Path = ROOT) -> Driver:
        """Starts a command."""
        env = {"RAY_AUTH_MODE": "token", "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        return Driver(self.host, words, self.folder, env, cwd=cwd)

    def type(self, line: str) -> str:
        """Runs a command line and returns what it printed."""
        done = self.begin(["bash", "-c", line]).end(180)
        assert done.returncode == 0, (line, done.stdout[-5000:], done.stderr[-5000:])
        return done.stdout

    @contextmanager
    def tunnel(self, line: str, port: int) -> Iterator[None]:
        """Open while `line` runs."""
        driver = self.begin(["bash", "-c", f"exec {line}"])
        try:
            wait_for(lambda: self.host.run(["bash", "-c", f"</dev/tcp/127.0.0.1/{port}"], check=False).returncode == 0)
            yield
        finally:
            driver.kill()


def run_here(words: list[str | Path], folder: Path) -> str:
    """Runs a command on this machine and returns what it printed."""
    env = {**os.environ, "PYTHONPATH": str(EXAMPLE)}
    done = subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def example_hash(folder: Path) -> str:
    """Returns the hash of the example's table on the local backend."""
    words = [PYTHON, ROOT / "cluster/sweep.py", EXAMPLE / "study.toml", "--backend", "local", "--json"]
    found: str = json.loads(run_here(words, folder))["table_hash"]
    return found


def printed_hash(printed: str) -> str:
    """Returns the table hash in the JSON of a study, without the lines that Ray prints around it."""
    text = printed.replace("\r\n", "\n")
    found: str = json.loads(text[text.index("{\n") : text.rindex("\n}") + 2])["table_hash"]
    return found

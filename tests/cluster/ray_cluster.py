"""A Ray cluster on hosts of a private network: a head, and workers that join and leave."""

from __future__ import annotations

import json
import re
import secrets
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.hosts import Host, Lan

ROOT = Path(__file__).parents[2]
GCS_PORT = 6379
STORE_BYTES = 300 << 20
PYTHON = Path(sys.executable)
RAY = PYTHON.with_name("ray")
_NODES = """
import json, pathlib, ray, sys
ray.init("auto", logging_level="error")
pathlib.Path(sys.argv[1]).write_text(json.dumps(ray.nodes()))
"""


def settings(commands: str, started_by: str) -> dict[str, str]:
    """Returns the commands of the files in cluster/ that start a head or the other hosts.

    Args:
        commands: the key of the commands.
        started_by: what is in the one that starts Ray.
    """
    found = yaml.safe_load((ROOT / "cluster/on-prem.yaml").read_text())[commands]
    [command] = [line for line in found if started_by in line]
    return dict(re.findall(r"(RAY_(?:health_check|process_group)\w+)=(\w+)", command))


class RayCluster:
    """Ray as the files of cluster/ start it, on hosts with one processor each, as set for Ray.

    Args:
        lan: where its hosts are made.
        dashboard: whether the head runs one.
        head_cpus: processors of the head.
    """

    def __init__(self, lan: Lan, *, dashboard: bool = False, head_cpus: int = 1) -> None:
        self._lan = lan
        self._dashboard = dashboard
        self._head_cpus = head_cpus
        self.token = secrets.token_hex(32)
        self.head = self.start_head()

    @property
    def env(self) -> Mapping[str, str]:
        """Returns the environment of a client of the cluster."""
        return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self.token}

    @property
    def workers(self) -> list[Host]:
        """Returns the running hosts without the head."""
        return [host for host in self._lan.hosts if host is not self.head and host.alive]

    def start_head(self) -> Host:
        """Starts a new head on its own host."""
        host = self._lan.add()
        words = ["--head", f"--port={GCS_PORT}", f"--include-dashboard={self._dashboard}", "--dashboard-host=127.0.0.1"]
        env = settings("head_start_ray_commands", "--head")
        self._start(host, [PYTHON, "-m", "rbt_ray.pool.loopback_ray"], [*words, f"--num-cpus={self._head_cpus}"], env)
        self.head = host
        return host

    def join(
        self,
        n_hosts: int = 1,
        *,
        n_cpus: int = 1,
        env: Mapping[str, str] | None = None,
        prepare: Callable[[Host], None] = lambda host: None,
    ) -> list[Host]:
        """Adds hosts, started in parallel.

        Args:
            n_hosts: how many.
            n_cpus: processors of each.
            env: variables of what runs there, beside the usual.
            prepare: done to each before Ray starts there.
        """
        hosts = [self._lan.add() for _ in range(n_hosts)]
        words = [f"--address={self.head.address}:{GCS_PORT}", f"--num-cpus={n_cpus}"]

        def start(host: Host) -> None:
            prepare(host)
            self._start(host, [RAY], words, {**settings("worker_start_ray_commands", "--address"), **(env or {})})

        with ThreadPoolExecutor() as threads:
            list(threads.map(start, hosts))
        return hosts

    def nodes(self) -> dict[str, dict[str, Any]]:
        """Returns Ray's record of each past and present host, by name."""
        answer = self.head.folder / "nodes.json"  # Ray prints to stdout too
        self.head.run([PYTHON, "-c", _NODES, answer], env=self.env)
        return {node["NodeManagerHostname"]: node for node in json.loads(answer.read_text())}

    def _start(self, host: Host, ray: list[str | Path], words: list[str], env: Mapping[str, str]) -> None:
        common = [f"--object-store-memory={STORE_BYTES}", f"--node-ip-address={host.address}"]
        common += ["--disable-usage-stats", "--include-log-monitor=false"]  # as in the files of cluster/
        host.run([*ray, "start", *words, *common], env={**self.env, **env})

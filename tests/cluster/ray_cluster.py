"""A Ray cluster on hosts of a private network: a head, and workers that come and go."""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.cluster.hosts import Host, Lan

GCS_PORT = 6379
RAY = Path(sys.executable).with_name("ray")
STORE_BYTES = 300 << 20
HEALTH_CHECKS = {
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_failure_threshold": "3",
}
"""With these the head notices within about five seconds that a host is gone, however it went; Ray's own take a minute."""


class RayCluster:
    """Hosts of one processor each, as Ray is told; clients need the cluster's token.

    Args:
        lan: where its hosts are made.
        dashboard: whether the head runs one.
    """

    def __init__(self, lan: Lan, *, dashboard: bool = False) -> None:
        self._lan = lan
        self._dashboard = dashboard
        self.token = secrets.token_hex(32)
        self.head = self.start_head()

    @property
    def env(self) -> Mapping[str, str]:
        """What a client of the cluster needs."""
        return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self.token, "RAY_USAGE_STATS_ENABLED": "0"}

    @property
    def workers(self) -> list[Host]:
        """The hosts beside the head that are up."""
        return [host for host in self._lan.hosts if host is not self.head and host.alive]

    def start_head(self) -> Host:
        """A new head on a host of its own."""
        host = self._lan.add()
        words = ["--head", f"--port={GCS_PORT}", f"--include-dashboard={self._dashboard}", "--dashboard-host=127.0.0.1"]
        self._start_ray(host, words)
        self.head = host
        return host

    def join(self, n_hosts: int = 1) -> list[Host]:
        """More hosts, started side by side."""
        hosts = [self._lan.add() for _ in range(n_hosts)]
        with ThreadPoolExecutor() as threads:
            list(threads.map(lambda host: self._start_ray(host, [f"--address={self.head.address}:{GCS_PORT}"]), hosts))
        return hosts

    def _start_ray(self, host: Host, words: list[str]) -> None:
        common = ["--num-cpus=1", f"--object-store-memory={STORE_BYTES}", f"--node-ip-address={host.address}"]
        mark = f"--resources={json.dumps({host.name: 1})}"
        host.run([RAY, "start", *words, *common, mark, "--disable-usage-stats"], env={**self.env, **HEALTH_CHECKS})

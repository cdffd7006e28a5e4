"""A node provider of Ray for hosts of a `Lan`: a machine that starts gets a free host, and gives it back when it ends.

The provider knows the state of its machines by a file in a folder that all hosts see, as a cloud's service would.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock
from ray.autoscaler.node_provider import NodeProvider
from ray.autoscaler.tags import NODE_KIND_HEAD, TAG_RAY_NODE_KIND

_Machines = dict[str, dict[str, str]]


class HostProvider(NodeProvider):
    """Machines whose ids are the addresses of their hosts and a number, such as "10.77.0.3-2".

    Args:
        provider_config: `state` is the folder of the file; `addresses` are those of all hosts. Workers start once a file
            named "opened" is in the folder.
        cluster_name: of the cluster.
    """

    def __init__(self, provider_config: dict[str, Any], cluster_name: str) -> None:
        super().__init__(provider_config, cluster_name)
        self._folder = Path(provider_config["state"])
        self._addresses: list[str] = provider_config["addresses"]

    def non_terminated_nodes(self, tag_filters: Mapping[str, str]) -> list[str]:
        with self._machines() as machines:
            return [name for name, tags in machines.items() if tag_filters.items() <= tags.items()]

    def is_running(self, node_id: str) -> bool:
        with self._machines() as machines:
            return node_id in machines

    def is_terminated(self, node_id: str) -> bool:
        return not self.is_running(node_id)

    def node_tags(self, node_id: str) -> dict[str, str]:
        with self._machines() as machines:
            return machines.get(node_id, {})

    def set_node_tags(self, node_id: str, tags: Mapping[str, str]) -> None:
        with self._machines() as machines:
            if node_id in machines:
                machines[node_id].update(tags)

    def internal_ip(self, node_id: str) -> str:
        return node_id.partition("-")[0]

    external_ip = internal_ip

    def create_node(self, node_config: Mapping[str, Any], tags: Mapping[str, str], count: int) -> None:
        while tags[TAG_RAY_NODE_KIND] != NODE_KIND_HEAD and not (self._folder / "opened").exists():
            time.sleep(0.1)
        with self._machines() as machines:
            used = {self.internal_ip(name) for name in machines}
            free = [address for address in self._addresses if address not in used]
            started = time.time_ns()  # Ray expects that no id is used twice
            machines.update({f"{address}-{started}": dict(tags) for address in free[:count]})

    def terminate_node(self, node_id: str) -> None:
        with self._machines() as machines:
            machines.pop(node_id, None)

    @staticmethod
    def bootstrap_config(cluster_config: dict[str, Any]) -> dict[str, Any]:
        return cluster_config

    @contextmanager
    def _machines(self) -> Iterator[_Machines]:
        """The tags of the running machines, by id; changes are written at the end of the block."""
        file = self._folder / "machines.json"
        with FileLock(file.with_suffix(".lock")):
            machines: _Machines = json.loads(file.read_text()) if file.exists() else {}
            yield machines
            file.write_text(json.dumps(machines))

"""ClusterState: which nodes are about to leave, and whether an autoscaler may add nodes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection
from typing import Any

import ray
from ray._private.state import state
from ray.exceptions import RayError
from ray.experimental.internal_kv import _internal_kv_get
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from rbt_ray.pool.ray import runtime

_FIXED_NODE = re.compile(r"node_[0-9a-f]{56}")
"""Ray's type name of a node that was not started by an autoscaler."""


class ClusterState:
    """Reads state of a cluster that only its own hosts can read. Through a Ray Client, an actor on the head reads it."""

    def __init__(self) -> None:
        self._reader: Any = None
        self._pending: dict[str, Any] = {}
        self._latest: dict[str, Any] = {}

    def leaving(self) -> Collection[str]:
        """Returns the ids of the nodes that will go, such as before a spot host is reclaimed; Ray starts nothing there."""
        return self._read(_leaving) or ()

    def has_autoscaler(self) -> bool | None:
        """Returns whether an autoscaler may add nodes; None if Ray does not know yet, as just after its start."""
        found: bool | None = self._read(_has_autoscaler)
        return found

    def close(self) -> None:
        """Ends the actor, if there is one."""
        if self._reader is not None:
            ray.kill(self._reader)
        self._reader = None

    def _read(self, what: Callable[[], Any]) -> Any:
        """Calls a function on the cluster. Through a Ray Client, it returns the previous answer, and None before the first."""
        if not runtime.is_client():
            return what()
        if self._reader is None:
            head = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
            self._reader = ray.remote(num_cpus=0, scheduling_strategy=head)(_Reader).remote()
            self._pending.clear()
        name = what.__name__
        if name not in self._pending:
            self._pending[name] = self._reader.read.remote(what)
        elif ray.wait([self._pending[name]], timeout=0)[0]:
            try:
                self._latest[name] = ray.get(self._pending.pop(name))
            except RayError:  # the actor was lost; the next call starts another
                self._reader = None
        return self._latest.get(name)


class _Reader:
    """An actor of a Ray Client."""

    def read(self, what: Callable[[], Any]) -> Any:
        """Calls a function here."""
        return what()


def _leaving() -> set[str]:
    try:
        return set(state.get_draining_nodes())
    except RayError:  # the head does not answer; the next call asks again
        return set()


def _has_autoscaler() -> bool | None:
    try:
        if _internal_kv_get(b"__autoscaler_v2_enabled", namespace=b"__autoscaler") == b"1":
            from ray.autoscaler.v2.sdk import get_cluster_status

            seen = get_cluster_status(ray.get_runtime_context().gcs_address)
            types = [node.ray_node_type_name for node in (*seen.active_nodes, *seen.idle_nodes)]
        else:
            status = json.loads(_internal_kv_get(b"__autoscaling_status") or b"{}")
            report = status.get("autoscaler_report") or {}
            types = [*(report.get("active_nodes") or ()), *(report.get("node_type_mapping") or {}).values()]
    except (
        ImportError,
        RayError,
        RuntimeError,
        ValueError,
        TypeError,
        AttributeError,
    ):  # Ray's own report, not its API
        return None
    return any(_FIXED_NODE.fullmatch(name) is None for name in types) if types else None

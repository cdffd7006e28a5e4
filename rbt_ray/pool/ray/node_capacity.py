"""Checks whether a cluster has, or can ever have, a node for a worker; reports workers that wait and refuses impossible ones."""

from __future__ import annotations

import json
import re
import sys
import time

import ray
from ray.exceptions import RayError
from ray.experimental.internal_kv import _internal_kv_get

from rbt_ray.errors import WorkerStartError
from rbt_ray.pool.ray.placement import Reservation, ResourceRequest, living

_LOOK_SECONDS = 0.5
_JOIN_SECONDS = 1.0
"""Seconds that nodes may take to join a cluster that has just been started."""
_START_SECONDS = 60.0
_PATIENT_SECONDS = 10.0
"""Seconds to wait for an actor before a message says what the study waits for; actors take a second or two."""
_FIXED_NODE = re.compile(r"node_[0-9a-f]{56}")
"""Ray's type name of a node that was not started by an autoscaler."""


class NodeCapacity:
    """Checks whether nodes can hold a worker, as long as there is no worker.

    Args:
        needs: the resources of a worker.
        asks: whether to request a node from an autoscaler; not needed if each worker has requested its own.
    """

    def __init__(self, needs: ResourceRequest, *, asks: bool) -> None:
        self._needs = needs
        self._asks = asks
        self._request: Reservation | None = None
        self._look_at = 0.0
        self.found()

    def found(self) -> None:
        """Restarts the waiting time, since there is a worker or none is needed."""
        self._since = time.monotonic()
        self._say_at = self._since + _PATIENT_SECONDS
        self._cancel_request()

    def look(self) -> None:
        """Prints what the study waits for, after ten seconds without a worker and then once a minute.

        Raises:
            WorkerStartError: no node can ever hold a worker.
        """
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + _LOOK_SECONDS
        if any(self._needs.slots().values()):
            self._cancel_request()
            self._print(f"waiting for {self._needs} for a worker: other jobs use those resources (`ray status`).")
            return
        lacks = f"a worker needs {self._needs}, and no node has that: {_largest(self._needs)}"
        is_autoscaled = has_autoscaler()
        if not is_autoscaled and now - self._since > self._grace_s(is_autoscaled):
            raise WorkerStartError(
                f"no node of the cluster can ever hold a worker: {lacks}. Lower `num_cpus_per_worker` or "
                f"`resources_per_worker`, or start a node that is large enough."
            )
        if is_autoscaled and self._asks and self._request is None:
            self._request = Reservation(self._needs.each, None, ())
        self._print(f"waiting for a node to join the cluster: {lacks} (`ray status`).")

    def _grace_s(self, is_autoscaled: bool | None) -> float:
        """Returns how many seconds to wait for a node to join."""
        is_empty = not any(resources.get("CPU") for resources in living().values())
        return _START_SECONDS if is_empty or is_autoscaled is None else _JOIN_SECONDS

    def _cancel_request(self) -> None:
        if self._request is not None:
            self._request.release()
            self._request = None

    def _print(self, text: str) -> None:
        if (now := time.monotonic()) >= self._say_at:
            self._say_at = now + _START_SECONDS
            print(f"rbt-ray: {text}", file=sys.stderr)


def has_autoscaler() -> bool | None:
    """Returns whether an autoscaler may add nodes; None if Ray does not know yet, as just after its start."""
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


def _largest(needs: ResourceRequest) -> str:
    """Returns the resources of the node that comes closest, such as "the largest has 2 CPU, 0 GPU"."""
    wanted = needs.each
    nodes = [[has.get(name, 0.0) for name in wanted] for has in living().values()]
    if not nodes:
        return "there are none"
    closest = max(nodes, key=lambda has: (min(map(_share, has, wanted.values())), has))
    return f"the largest has {', '.join(f'{amount:g} {name}' for name, amount in zip(wanted, closest, strict=True))}"


def _share(has: float, wanted: float) -> float:
    return min(has / wanted, 1.0)

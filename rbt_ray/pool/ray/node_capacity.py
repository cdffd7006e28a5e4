"""NodeCapacity: whether a cluster has, or can ever have, a node for a worker. Those that wait for one say so, or are refused."""

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
"""Nodes of a cluster that has just been started may still be joining it."""
_START_SECONDS = 60.0
_PATIENT_SECONDS = 10.0
"""After so long without an actor a line says what the study waits for; actors take a second or two."""
_FIXED_NODE = re.compile(r"node_[0-9a-f]{56}")
"""What Ray calls the type of a node that no autoscaler has started."""


class NodeCapacity:
    """Looks whether nodes can hold a worker, as long as there is none.

    Args:
        needs: what a worker asks of its node.
        asks: whether to ask an autoscaler for a node; not where as many workers as are wanted have asked already.
    """

    def __init__(self, needs: ResourceRequest, *, asks: bool) -> None:
        self._needs = needs
        self._asks = asks
        self._request: Reservation | None = None
        self._look_at = 0.0
        self.found()

    def found(self) -> None:
        """There is a worker, or nobody needs one: the next wait begins from now."""
        self._since = time.monotonic()
        self._say_at = self._since + _PATIENT_SECONDS
        self._cancel_request()

    def look(self) -> None:
        """There is no worker yet: says what it waits for after ten seconds, and then once a minute.

        Raises:
            WorkerStartError: no node can ever hold one.
        """
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + _LOOK_SECONDS
        if any(self._needs.slots().values()):
            self._cancel_request()
            self._print(
                f"waits for a worker, which asks for {self._needs}: what nodes have of that is in use by others "
                f"(`ray status`)."
            )
            return
        lacks = f"a worker asks for {self._needs}, and no node has that: {_largest(self._needs)}"
        is_autoscaled = has_autoscaler()
        if not is_autoscaled and now - self._since > self._grace_s(is_autoscaled):
            raise WorkerStartError(
                f"no node of the cluster can ever hold a worker: {lacks}. Lower `num_cpus_per_worker` or "
                f"`resources_per_worker`, or start a node that is large enough."
            )
        if is_autoscaled and self._asks and self._request is None:
            self._request = Reservation(self._needs.each, None, ())
        self._print(f"waits for a node that joins the cluster: {lacks} (`ray status`).")

    def _grace_s(self, is_autoscaled: bool | None) -> float:
        """Seconds after which nobody can be expected to add a node."""
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
    """Whether something may add nodes to the cluster; None where Ray does not know yet, as just after its start."""
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
    """What the node has that comes closest, such as "the largest has 2 CPU, 0 GPU"."""
    wanted = needs.each
    nodes = [[has.get(name, 0.0) for name in wanted] for has in living().values()]
    if not nodes:
        return "there are none"
    closest = max(nodes, key=lambda has: (min(map(_share, has, wanted.values())), has))
    return f"the largest has {', '.join(f'{amount:g} {name}' for name, amount in zip(wanted, closest, strict=True))}"


def _share(has: float, wanted: float) -> float:
    return min(has / wanted, 1.0)

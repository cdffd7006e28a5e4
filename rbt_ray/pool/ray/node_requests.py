"""NodeRequests: asks an autoscaler for nodes while work waits for workers."""

from __future__ import annotations

import math
import time

from rbt_ray.pool.ray.cluster_state import ClusterState
from rbt_ray.pool.ray.placement import Reservation, ResourceRequest, reservations

_GROW_SECONDS = 5.0
"""How long work has to wait before more nodes are requested: an autoscaler looks at requests every five seconds too."""


class NodeRequests:
    """Requests nodes by placement groups, which an autoscaler counts as demand. No worker uses them.

    Without workers, it requests one at once. Then it requests at most as many workers as there are, as Ray's own
    `upscaling_speed` does, as long as batches wait.

    Args:
        needs: the resources of a worker.
        max_workers: the number of workers in all; None: the autoscaler's own limits decide.
        cluster: the state of the cluster.
    """

    def __init__(self, needs: ResourceRequest, max_workers: int | None, cluster: ClusterState) -> None:
        self._needs, self._max_workers, self._cluster = needs, max_workers, cluster
        self._pending: list[Reservation] = []
        self._waits_since = math.inf
        self._look_at = 0.0

    def update(self, n_workers: int, n_waiting: int) -> None:
        """Requests what is missing.

        Args:
            n_workers: the number of workers that have a node.
            n_waiting: the number of batches that no worker has.
        """
        now = time.monotonic()
        if not n_waiting:
            self._waits_since = math.inf
        self._waits_since = min(now, self._waits_since)
        if n_workers and not n_waiting:
            self.cancel()
            return
        if now < self._look_at:
            return
        self._look_at = now + 1.0
        if any(one.node() is not None for one in self._pending):  # for the workers, which reserve it themselves
            self.cancel()
            return
        if not n_workers:
            wanted = max(1, n_waiting)
        elif now - self._waits_since >= _GROW_SECONDS and self._cluster.has_autoscaler():
            wanted = min(n_workers, n_waiting)
        else:
            return
        if self._max_workers is not None:
            wanted = min(wanted, self._max_workers - n_workers)
        self._pending += reservations(self._needs, [None] * (wanted - len(self._pending)))

    def cancel(self) -> None:
        """Withdraws the requests, such as after a node has joined."""
        for request in self._pending:
            request.release()
        self._pending.clear()
        self._waits_since = math.inf

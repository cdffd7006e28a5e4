"""NodeRequests: asks an autoscaler for nodes while work waits for workers."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping

from rbt_ray.pool.ray.placement import Reservation, has_autoscaler

_GROW_SECONDS = 5.0
"""How long work has to wait before more nodes are requested: an autoscaler looks at requests every five seconds too."""


class NodeRequests:
    """Requests nodes by placement groups, which an autoscaler counts as demand. No worker uses them.

    Without workers, it requests one at once. Then it requests at most as many workers as there are, as Ray's own
    `upscaling_speed` does, as long as batches wait.

    Args:
        amounts: the resources of a worker.
        max_workers: the number of workers in all; None: the autoscaler's own limits decide.
        labels: the labels that the node of a worker needs.
    """

    def __init__(
        self, amounts: Mapping[str, float], max_workers: int | None, labels: Mapping[str, str] | None = None
    ) -> None:
        self._amounts, self._max_workers, self._labels = amounts, max_workers, labels
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
        elif now - self._waits_since >= _GROW_SECONDS and has_autoscaler():
            wanted = min(n_workers, n_waiting)
        else:
            return
        if self._max_workers is not None:
            wanted = min(wanted, self._max_workers - n_workers)
        self._pending += [
            Reservation(self._amounts, None, (), self._labels) for _ in range(wanted - len(self._pending))
        ]

    def cancel(self) -> None:
        """Withdraws the requests, such as after a node has joined."""
        for request in self._pending:
            request.release()
        self._pending.clear()
        self._waits_since = math.inf

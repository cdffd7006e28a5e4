"""Reservation: the processors of a cluster that are kept for one actor while its pool works, and free while it rests."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ray.util.placement_group import placement_group, placement_group_table, remove_placement_group

from rbt_ray.pool.ray.placement import living

_SOONEST_LOOK, _LATEST_LOOK = 0.02, 5.0
"""Seconds from one question to Ray to the next: each is twice as long as the one before."""
_TINY = 0.001
"""Of the resource ``node:ADDRESS``, of which every node has 1: what asks for some of it is placed there. Nodes of one host
share the name; then a reservation may be on another of them."""


class Reservation:
    """Processors, or whatever `amounts` names, on one node, reserved by a placement group. Making it asks for them and does not wait.

    An actor that is made with ``num_cpus=N`` holds N processors until it ends, idle or not, and nothing can change that.
    So an actor that needs only processors is made with ``num_cpus=0``, on the node of its reservation. It does not run
    inside of the placement group, since Ray ends the actors of a group that is removed.

    Args:
        amounts: by resource.
        wanted: the node that must have them; None lets Ray choose.
        of_node: the resources of that node.
    """

    def __init__(self, amounts: Mapping[str, float], wanted: str | None, of_node: Iterable[str]) -> None:
        self.wanted = wanted
        self._look_at, self._pause = 0.0, _SOONEST_LOOK
        self._node: str | None = None
        here = [name for name in of_node if name.startswith("node:") and "__" not in name]
        self._group: Any = placement_group([{**amounts, **dict.fromkeys(here, _TINY)}])

    def node(self, *, again: bool = False) -> str | None:
        """The node that has the processors; None as long as none has them.

        Args:
            again: ask Ray, whatever is known already and whenever it was asked.
        """
        if again:
            self._node, self._look_at = None, 0.0
        if self._node is None and (now := time.monotonic()) >= self._look_at:
            self._look_at, self._pause = now + self._pause, min(2 * self._pause, _LATEST_LOOK)
            state = placement_group_table(self._group)
            if state.get("state") == "CREATED":
                self._node = state["bundles_to_node_id"][0]
        return self._node

    @property
    def next_look(self) -> float:
        """When `node` asks Ray the next time (`time.monotonic`)."""
        return self._look_at

    def release(self) -> None:
        """Gives the processors back; returns at once."""
        remove_placement_group(self._group)


def reservations(amounts: Mapping[str, float], wanted: Sequence[str | None]) -> list[Reservation]:
    """A reservation on each of these nodes, which may be named more than once; None lets Ray choose."""
    nodes = living() if any(wanted) else {}
    return [Reservation(amounts, node, nodes.get(node or "", ())) for node in wanted]

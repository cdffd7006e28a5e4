"""Where actors run: what one needs, how many fit on each node, and the processors reserved while their pool works."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.util.placement_group import placement_group, placement_group_table, remove_placement_group
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from rbt_ray.pool.process_setup import ONE_THREAD

_OPTIONS = {"GPU": "num_gpus", "memory": "memory"}
"""Resources that have an option of their own in Ray."""


def living() -> dict[str, Mapping[str, float]]:
    """The resources of each living node."""
    return {node["NodeID"]: node["Resources"] for node in ray.nodes() if node["Alive"]}


@dataclass(frozen=True, slots=True)
class ResourceRequest:
    """What an actor asks of the node it runs on.

    Args:
        n_cpus: 0 where the pool shares out the processors itself.
        resources: Ray resources beside; a "CPU" among them counts in place of `n_cpus`.
    """

    n_cpus: float
    resources: Mapping[str, float] = field(default_factory=dict)

    @property
    def each(self) -> dict[str, float]:
        """Amounts by resource, those of nothing left out."""
        return {name: amount for name, amount in {"CPU": self.n_cpus, **self.resources}.items() if amount}

    @property
    def only_cpus(self) -> bool:
        """Whether it asks for processors and nothing else, which can be reserved apart from the actor."""
        return self.each.keys() == {"CPU"}

    def options(self, *, pin_threads: bool, node: str | None, holds: bool = True) -> dict[str, Any]:
        """Options of the actor.

        Args:
            pin_threads: whether its process has to be told to use one thread, not having inherited it.
            node: the node it is to run on and nowhere else; None lets Ray choose.
            holds: whether the actor itself holds what it needs; not where that is reserved for it.
        """
        amounts = self.each if holds else {}
        options: dict[str, Any] = {"num_cpus": amounts.pop("CPU", 0), "max_restarts": 0, "max_task_retries": 0}
        options.update({_OPTIONS[name]: amounts.pop(name) for name in _OPTIONS if name in amounts})
        if amounts:
            options["resources"] = amounts
        if pin_threads:
            options["runtime_env"] = {"env_vars": dict.fromkeys(ONE_THREAD, "1")}
        if node is not None:
            options["scheduling_strategy"] = NodeAffinitySchedulingStrategy(node, soft=False)
        return options

    def slots(self) -> dict[str, int]:
        """How many actors each living node holds when it has nothing else to do."""
        needs = self.each
        return {
            node: int(min(has.get(name, 0.0) / amount for name, amount in needs.items()))
            for node, has in living().items()
        }

    def __str__(self) -> str:
        """Such as "1 CPU, 1 GPU"."""
        return ", ".join(f"{amount:g} {name}" for name, amount in self.each.items())


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

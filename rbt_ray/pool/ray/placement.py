"""Where actors go: what one needs, and how many of them each node of a cluster holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from rbt_ray.pool.process_setup import ONE_THREAD

_OPTIONS = {"GPU": "num_gpus", "memory": "memory"}
"""Resources that have an option of their own in Ray."""


def living() -> dict[str, Mapping[str, float]]:
    """The resources of each living node."""
    return {node["NodeID"]: node["Resources"] for node in ray.nodes() if node["Alive"]}


@dataclass(frozen=True, slots=True)
class Needs:
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

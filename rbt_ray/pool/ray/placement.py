"""Places actors: what an actor needs, how many actors fit on the nodes, and reservations of processors."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.util.placement_group import placement_group, placement_group_table, remove_placement_group
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from rbt_ray.errors import WorkerStartError
from rbt_ray.pool.process_setup import ONE_THREAD
from rbt_ray.pool.ray.cluster_state import ClusterState

_OPTIONS = {"GPU": "num_gpus", "memory": "memory"}
"""Resources for which Ray has an option of their own."""
_SOONEST_LOOK, _LATEST_LOOK = 0.02, 5.0
"""Seconds between requests to Ray; each interval is twice the previous one."""
_TINY = 0.001
"""An amount of the resource ``node:ADDRESS``, of which each node has 1: a request for it is placed on that node. If several
nodes run on one host, they share the name, and a reservation may be on any of them."""
_LOOK_SECONDS = 0.5
_JOIN_SECONDS = 1.0
"""Seconds that nodes may take to join a cluster that has just been started."""
_START_SECONDS = 60.0
_PATIENT_SECONDS = 10.0
"""Seconds to wait for an actor before a message says what the study waits for; actors take a second or two."""


def living() -> dict[str, Mapping[str, float]]:
    """Returns the resources of each live node, by its id."""
    return {node["NodeID"]: node["Resources"] for node in ray.nodes() if node["Alive"]}


@dataclass(frozen=True, slots=True)
class ResourceRequest:
    """The resources that an actor needs on its node.

    Args:
        n_cpus: processors; 0 if the pool divides the processors itself.
        resources: other Ray resources; a "CPU" among them replaces `n_cpus`.
        labels: the labels that the node needs, as Ray's `label_selector`.
    """

    n_cpus: float
    resources: Mapping[str, float] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def each(self) -> dict[str, float]:
        """The amounts by resource, without zeros."""
        return {name: amount for name, amount in {"CPU": self.n_cpus, **self.resources}.items() if amount}

    @property
    def only_cpus(self) -> bool:
        """Whether it needs only processors, which can be reserved separately from the actor."""
        return self.each.keys() == {"CPU"}

    def options(self, *, pin_threads: bool, node: str | None, holds: bool = True) -> dict[str, Any]:
        """Returns Ray's options of the actor.

        Args:
            pin_threads: whether to set the number of threads to one, which its process does not inherit.
            node: the only node to run on; None lets Ray choose.
            holds: whether the actor itself holds its resources; not if they are reserved for it.
        """
        amounts = self.each if holds else {}
        options: dict[str, Any] = {"num_cpus": amounts.pop("CPU", 0), "max_restarts": 0, "max_task_retries": 0}
        options.update({_OPTIONS[name]: amounts.pop(name) for name in _OPTIONS if name in amounts})
        if amounts:
            options["resources"] = amounts
        if pin_threads:
            options["runtime_env"] = {"env_vars": dict.fromkeys(ONE_THREAD, "1")}
        if self.labels and node is None:
            options["label_selector"] = dict(self.labels)
        if node is not None:
            options["scheduling_strategy"] = NodeAffinitySchedulingStrategy(node, soft=False)
        return options

    def slots(self, leaving: Collection[str]) -> dict[str, int]:
        """Returns how many actors each live node that stays can hold if nothing else runs there.

        Args:
            leaving: the nodes that do not stay.
        """
        needs = self.each
        return {
            node["NodeID"]: int(
                min(node["Resources"].get(name, 0.0) / amount + _TINY for name, amount in needs.items())
            )
            for node in ray.nodes()
            if node["Alive"] and node["NodeID"] not in leaving and matches(node.get("Labels") or {}, self.labels)
        }

    def __str__(self) -> str:
        """Returns text such as "1 CPU, 1 GPU"."""
        labels = "".join(f", {name}={value}" for name, value in self.labels.items())
        return ", ".join(f"{amount:g} {name}" for name, amount in self.each.items()) + labels


def matches(labels: Mapping[str, str], selector: Mapping[str, str]) -> bool:
    """Returns whether a node with these labels is one that a `label_selector` of Ray selects.

    A value of the selector is a label's value, or "in(a,b)" for one of several; "!" before it negates it.
    """
    for name, wanted in selector.items():
        positive = wanted.removeprefix("!")
        several = re.fullmatch(r"in\((.*)\)", positive)
        values = several[1].split(",") if several else [positive]
        if (labels.get(name) in values) == wanted.startswith("!"):
            return False
    return True


class Reservation:
    """Reserves processors, or other resources, on one node by a placement group; creating it does not wait.

    An actor created with ``num_cpus=N`` holds N processors until it ends, even if it is idle. An actor that needs only
    processors is therefore created with ``num_cpus=0``, on the node of its reservation. It does not run inside the
    placement group, since Ray kills the actors of a group that is removed.

    Args:
        amounts: by resource.
        wanted: the node to reserve on; None lets Ray choose.
        of_node: the resources of that node.
        labels: the labels that the node needs.
    """

    def __init__(
        self,
        amounts: Mapping[str, float],
        wanted: str | None,
        of_node: Iterable[str],
        labels: Mapping[str, str] | None = None,
    ) -> None:
        self.wanted = wanted
        self._look_at, self._pause = 0.0, _SOONEST_LOOK
        self._node: str | None = None
        here = [name for name in of_node if name.startswith("node:") and "__" not in name]
        selector = {"bundle_label_selector": [dict(labels)]} if labels else {}
        self._group: Any = placement_group([{**amounts, **dict.fromkeys(here, _TINY)}], **selector)

    def node(self, *, again: bool = False) -> str | None:
        """Returns the node on which the processors are reserved; None if they are not reserved yet.

        Args:
            again: ask Ray even if the node is known or Ray has just been asked.
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
        """The earliest time at which `node` asks Ray again (`time.monotonic`)."""
        return self._look_at

    def release(self) -> None:
        """Releases the processors; returns at once."""
        remove_placement_group(self._group)


def reservations(needs: ResourceRequest, wanted: Sequence[str | None]) -> list[Reservation]:
    """Returns a reservation for each entry of `wanted`: a node, or None to let Ray choose."""
    nodes = living() if any(wanted) else {}
    return [Reservation(needs.each, node, nodes.get(node or "", ()), needs.labels) for node in wanted]


class NodeCapacity:
    """Checks whether nodes can hold a worker, as long as there is no worker.

    Args:
        needs: the resources of a worker.
        wait_s: seconds to wait for a node while none can hold a worker.
        cluster: the state of the cluster.
    """

    def __init__(self, needs: ResourceRequest, wait_s: float, cluster: ClusterState) -> None:
        self._needs = needs
        self._cluster = cluster
        self._wait_s = wait_s
        self._had_workers = False
        self._look_at = 0.0
        self.restart()

    def found(self) -> None:
        """Records that there is a worker."""
        self._had_workers = True
        self.restart()

    def restart(self) -> None:
        """Restarts the waiting time."""
        self._since = time.monotonic()
        self._say_at = self._since + _PATIENT_SECONDS

    def look(self, *, is_reserved: bool | None) -> None:
        """Prints what the study waits for, after ten seconds without a worker and then once a minute.

        Args:
            is_reserved: whether the processors of a worker are reserved, so that only its process has to start; None if
                Ray does not say.

        Raises:
            WorkerStartError: no node can ever hold a worker, or none has joined in time.
        """
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + _LOOK_SECONDS
        if any(self._needs.slots(self._cluster.leaving()).values()):
            self._print(
                {
                    True: "waiting for the process of a worker to start: its host may be busy.",
                    False: f"waiting for {self._needs} for a worker: other jobs use those resources (`ray status`).",
                    None: f"waiting for {self._needs} for a worker, or for its process to start (`ray status`).",
                }[is_reserved]
            )
            return
        lacks = f"a worker needs {self._needs}, and no node has that: {_largest(self._needs)}"
        wait_s = self._limit_s()
        if now - self._since > wait_s and wait_s == self._wait_s:
            raise WorkerStartError(
                f"no node that can hold a worker has joined the cluster in {wait_s:g} s (`worker_wait_s`): {lacks}. See "
                f"`ray status`, and run the study again with `exist='resume'` when there are nodes."
            )
        if now - self._since > wait_s:
            raise WorkerStartError(
                f"no node of the cluster can ever hold a worker: {lacks}. Lower `num_cpus_per_worker` or "
                f"`resources_per_worker`, or start a node that is large enough."
            )
        self._print(f"waiting up to {wait_s:g} s for a node to join the cluster: {lacks} (`ray status`).")

    def _limit_s(self) -> float:
        """Returns how many seconds to wait for a node to join.

        A cluster whose nodes all run, and which no autoscaler extends, will hold no worker later either.
        """
        is_empty = not any(resources.get("CPU") for resources in living().values())
        if self._had_workers or is_empty or (is_autoscaled := self._cluster.has_autoscaler()):
            return self._wait_s
        return min(self._wait_s, _START_SECONDS if is_autoscaled is None else _JOIN_SECONDS)

    def _print(self, text: str) -> None:
        if (now := time.monotonic()) >= self._say_at:
            self._say_at = now + _START_SECONDS
            print(f"rbt-ray: {text}", file=sys.stderr)


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

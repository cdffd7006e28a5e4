"""ActorManager: starts and replaces the actors of a pool, and starts more on nodes that join."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator

from rbt_ray.errors import ObjectiveError, SettingError, WorkerStartError
from rbt_ray.pool.memory import memory_limit_too_low
from rbt_ray.pool.ray import runtime
from rbt_ray.pool.ray.actor import ActorInfo
from rbt_ray.pool.ray.actor_handle import LOAD, ActorHandle
from rbt_ray.pool.ray.cluster_state import ClusterState
from rbt_ray.pool.ray.node_requests import NodeRequests
from rbt_ray.pool.ray.placement import NodeCapacity, Reservation, ResourceRequest, living, reservations

_LOOK_SECONDS = 2.0
_RESERVE_SECONDS = 5.0
"""An idle actor may work before its processors are reserved again, since Ray's view of free resources is up to a second old.
If there is no reservation after this time, other jobs have the processors."""
_TRIES = 3
"""The average number of times that an actor may end before it is ready."""


class ActorManager:
    """The actors of a pool, with counts of failed starts and failed loads of a job.

    Args:
        needs: the resources of an actor.
        wanted: the number of actors; None: as many as fit on all nodes.
        own: whether the pool started this Ray and may use all its processors.
        memory_limit: bytes of its own memory above which an actor ends; None: Ray's memory monitor decides.
        most: the largest number of actors where `wanted` is None; None: no limit.
        wait_s: seconds to wait for a node while none can hold an actor.

    Raises:
        SettingError: a Ray that the pool started can never hold such an actor.
    """

    def __init__(
        self,
        needs: ResourceRequest,
        wanted: int | None,
        *,
        own: bool,
        memory_limit: int | None,
        most: int | None = None,
        wait_s: float = 900.0,
    ) -> None:
        self._needs = needs
        self._wanted = wanted
        self._most = most
        self._own = own
        self._memory_limit = memory_limit
        self._reserves = needs.only_cpus and not own
        self._is_resting = False
        self._check_at = math.inf
        self._reserved: list[Reservation] = []
        """Reservations without an actor."""
        self._names = (f"ray-{number}" for number in itertools.count())
        self._actors: list[ActorHandle] = []
        self._failed_starts = self._failed_loads = 0
        self._n_started_together = 1
        self._loadable: str | None = None
        self._look_at = 0.0
        self._cluster = ClusterState()
        self._room = NodeCapacity(needs, wait_s, self._cluster)
        self._requests = NodeRequests(needs, most, self._cluster)
        self._nodes: frozenset[str] = frozenset()
        self._is_shrunk = False
        self._notice_at = 0.0
        self._refuse_what_never_fits()

    def __iter__(self) -> Iterator[ActorHandle]:
        return iter(list(self._actors))

    def __len__(self) -> int:
        """The number of actors that there are or should be, including those that are starting."""
        return max(1, len(self._actors) + len(self._reserved), self._wanted or 0)

    def fill(self, n_waiting: int = 0) -> None:
        """Starts missing actors, on new nodes too, and requests nodes from an autoscaler.

        Args:
            n_waiting: the number of batches that no actor has.

        Raises:
            WorkerStartError: no node can hold an actor, and none joins in time.
        """
        if self._is_resting:
            return
        missing = self._missing()
        if self._is_shrunk:
            missing = missing[: max(0, n_waiting - len(self._reserved))]
        if not self._own and self._wanted is None:
            self._requests.update(len(self._actors) + len(self._reserved) + len(missing), n_waiting)
        if self._reserves:
            self._reserved += reservations(self._needs, missing)
        else:
            for node in missing:
                self._start(node)
        for reservation in list(self._reserved):
            if (node := reservation.node()) is not None:
                self._reserved.remove(reservation)
                self._start(node, reservation)
        self._n_started_together = max(1, len(self._actors))
        if any(actor.info for actor in self._actors):
            self._room.found()
        elif not self._own:
            self._room.look(is_reserved=bool(self._actors) if self._reserves else None)

    @property
    def next_look_s(self) -> float:
        """Seconds until `fill` asks Ray for pending reservations; infinite if none are pending."""
        return max(0.0, min((one.next_look for one in self._reserved), default=math.inf) - time.monotonic())

    def rest(self) -> bool:
        """Releases what idle actors hold on a cluster, until `work`; returns False if only their end releases it."""
        if self._own:
            return True
        if not self._reserves:
            return False
        self._is_resting = True
        self._requests.cancel()
        for reservation in self._reserved:
            reservation.release()
        self._reserved.clear()
        for actor in self._actors:
            if actor.reservation is not None:
                actor.reservation.release()
                actor.reservation = None
        return True

    def work(self) -> None:
        """Reserves again what `rest` released, for each actor on its own node. The actors can work at once."""
        if self._is_resting:
            self._is_resting = self._is_shrunk = False
            self._check_at = time.monotonic() + _RESERVE_SECONDS
            self._room.restart()
            again = reservations(self._needs, [actor.home for actor in self._actors])
            for actor, reservation in zip(self._actors, again, strict=True):
                actor.reservation = reservation

    def displaced(self) -> list[ActorHandle]:
        """Returns the actors whose processors other jobs have taken while the actors were idle."""
        if time.monotonic() < self._check_at:
            return []
        self._check_at = math.inf
        return [one for one in self._actors if one.reservation is not None and one.reservation.node() is None]

    def leaving(self) -> list[ActorHandle]:
        """Returns the actors on nodes that are about to leave the cluster; new ones of them at most every two seconds."""
        if self._own:
            return []
        if time.monotonic() >= self._notice_at:
            self._notice_at = time.monotonic() + _LOOK_SECONDS
            gone = self._cluster.leaving()
            for actor in self._actors if gone else ():
                actor.is_leaving |= actor.home in gone
        return [actor for actor in self._actors if actor.is_leaving]

    def mark_ready(self, actor: ActorHandle, info: ActorInfo) -> None:
        """Records that an actor is ready.

        Raises:
            SettingError: it already exceeds the memory limit.
        """
        if self._memory_limit is not None and actor.info is None and info.memory > self._memory_limit:
            raise SettingError(memory_limit_too_low(info.memory, self._memory_limit))
        actor.info = info
        self._failed_starts = 0

    def loaded(self, job: str) -> None:
        """Records that an actor has loaded the job: later deaths while loading it have another cause."""
        self._loadable, self._failed_loads = job, 0

    def is_on_a_lost_host(self, actor: ActorHandle) -> bool:
        """Returns whether the actor's node is known to be lost."""
        return actor.home is not None and actor.home not in living()

    def dismiss(self, actor: ActorHandle) -> None:
        """Removes and kills an actor; the next `fill` starts another in its place."""
        self._actors.remove(actor)
        actor.kill()
        if (left := actor.reservation) is not None:
            # Not reserved yet, lost with its node, or on a node that is about to leave.
            if actor.is_leaving or left.node(again=True) is None:
                left.release()
            else:
                self._reserved.append(left)  # for the actor that replaces it
        if actor.info is not None:
            self._look_at = 0.0

    def release_idle(self, seconds: float) -> list[ActorHandle]:
        """Ends and returns the actors that have been idle for `seconds`, so that others can use their nodes.

        An autoscaler can then end the nodes. Later calls of `fill` start an actor again only for a batch that waits.
        """
        idle = [] if self._own else [actor for actor in self._actors if actor.is_idle(seconds)]
        if not idle:
            return []
        self._is_shrunk = True
        for actor in idle:
            self._actors.remove(actor)
            actor.kill()
            if actor.reservation is not None:
                actor.reservation.release()
        for reservation in self._reserved:
            reservation.release()
        self._reserved.clear()
        return idle

    def count_failure(self, actor: ActorHandle, reason: str) -> None:
        """Counts a death that was caused by neither a batch nor a lost node.

        Raises:
            WorkerStartError: too many actors have ended before they were ready.
            ObjectiveError: too many actors have ended while they loaded the objective.
        """
        call = actor.calls[0]
        if actor.info is None:
            self._failed_starts += 1
            if self._failed_starts >= _TRIES * self._n_started_together and not any(one.info for one in self._actors):
                raise WorkerStartError(
                    f"workers end before they are ready ({reason}). Are rbt_ray, Python and Ray the same on every node? "
                    f"{runtime.where_logs_are()}"
                )
        elif call.kind == LOAD and call.job != self._loadable:
            self._failed_loads += 1
            if self._failed_loads >= _TRIES:
                raise ObjectiveError(
                    f"workers end while they load the objective ({reason}, {_TRIES} times): something it imports or "
                    f"holds ends the process that loads it."
                )

    def close(self) -> None:
        """Kills all actors."""
        self._requests.cancel()
        self.rest()
        for actor in self._actors:
            actor.kill()
        self._actors.clear()
        self._cluster.close()

    def _missing(self) -> list[str | None]:
        """Returns a node for each missing actor; None if Ray chooses the node."""
        if self._wanted is not None:
            return [None] * (self._wanted - len(self._actors) - len(self._reserved))
        if time.monotonic() < self._look_at:
            return []
        self._look_at = time.monotonic() + _LOOK_SECONDS
        slots = self._needs.slots(self._cluster.leaving())
        if not self._nodes.issuperset(slots):
            self._requests.cancel()  # it may be the node that was requested
        self._nodes = frozenset(slots)
        for reservation in [one for one in self._reserved if one.wanted not in slots]:  # its node is gone
            reservation.release()
            self._reserved.remove(reservation)
        asked = [*self._reserved, *(actor.reservation for actor in self._actors if actor.reservation)]
        homes = [one.wanted for one in asked] if self._reserves else [actor.node for actor in self._actors]
        missing: list[str | None] = [
            node for node, n_actors in slots.items() for _ in range(n_actors - homes.count(node))
        ]
        return missing if self._most is None else missing[: max(0, self._most - len(homes))]

    def _start(self, node: str | None, reservation: Reservation | None = None) -> None:
        options = self._needs.options(pin_threads=not self._own, node=node, holds=reservation is None)
        self._actors.append(ActorHandle(next(self._names), node, options, self._memory_limit, reservation=reservation))

    def _refuse_what_never_fits(self) -> None:
        if self._own and self._needs.each:
            room = sum(self._needs.slots(()).values())
            if not room:
                raise SettingError(
                    f"`resources_per_worker`: each worker needs {self._needs}, which this machine does not have; "
                    f"set `address` to a cluster that does."
                )
            self._wanted = min(self._wanted or room, room)

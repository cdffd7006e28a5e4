"""Roster: which actors there are. Those that are missing are started, and nodes that join get theirs."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Iterator

from rbt_ray.errors import ObjectiveError, SettingError, WorkerStartError
from rbt_ray.pool import ray_runtime
from rbt_ray.pool.memory import refusal
from rbt_ray.pool.ray_actor import Greeting
from rbt_ray.pool.ray_handle import LOAD, Handle
from rbt_ray.pool.ray_slots import Needs, living

_LOOK_SECONDS = 2.0
_START_SECONDS = 60.0
_PATIENT_SECONDS = 10.0
"""After so long without an actor the user is told what it waits for; actors take a second or two."""
_TRIES = 3
"""How often each actor, one with another, may end before it is ready."""


class Roster:
    """The actors of a pool, and how often starting them or loading a job failed.

    Args:
        needs: what an actor asks of its node.
        wanted: how many there should be; None: one for every slot of every node.
        own: whether it is a Ray of our own, all of whose processors are ours to share out.
        memory_limit: bytes of memory of its own above which an actor ends; None: as much as Ray lets it have.
        prices: whether the first study reads any.

    Raises:
        SettingError: a Ray of our own can never hold such an actor.
    """

    def __init__(self, needs: Needs, wanted: int | None, *, own: bool, memory_limit: int | None, prices: bool) -> None:
        self._needs = needs
        self._wanted = wanted
        self._own = own
        self._memory_limit = memory_limit
        self._prices = prices
        self._names = (f"ray-{number}" for number in itertools.count())
        self._actors: list[Handle] = []
        self._failed_starts = self._failed_loads = 0
        self._n_started_together = 1
        self._loadable: str | None = None
        self._look_at = 0.0
        self._without_since = time.monotonic()
        self._tell_at = self._without_since + _PATIENT_SECONDS
        self._refuse_what_never_fits()

    def __iter__(self) -> Iterator[Handle]:
        return iter(list(self._actors))

    def __len__(self) -> int:
        """How many actors there are or should be, those that start included."""
        return max(1, len(self._actors), self._wanted or 0)

    def fill(self) -> None:
        """Starts the actors that are missing, and in time those that nodes which joined have room for.

        Raises:
            WorkerStartError: no node can ever hold one.
        """
        if self._wanted is not None:
            missing: list[str | None] = [None] * (self._wanted - len(self._actors))
        elif time.monotonic() < self._look_at:
            return
        else:
            self._look_at = time.monotonic() + _LOOK_SECONDS
            homes = [actor.node for actor in self._actors]
            room = self._needs.slots()
            missing = [node for node, slots in room.items() for _ in range(slots - homes.count(node))]
        for node in missing:
            options = self._needs.options(pin_threads=not self._own, node=node)
            self._actors.append(Handle(next(self._names), node, options, self._memory_limit, prices=self._prices))
        self._n_started_together = max(1, len(self._actors))
        self._check_room()

    def greeted(self, actor: Handle, greeting: Greeting) -> None:
        """An actor is ready.

        Raises:
            SettingError: it is above the memory limit already.
        """
        if self._memory_limit is not None and actor.greeting is None and greeting.memory > self._memory_limit:
            raise SettingError(refusal(greeting.memory, self._memory_limit))
        actor.greeting = greeting
        self._failed_starts = 0

    def loaded(self, job: str) -> None:
        """An actor has loaded that job: one that dies of loading it has another reason."""
        self._loadable, self._failed_loads = job, 0

    def is_on_a_lost_host(self, actor: Handle) -> bool:
        """Whether the node it was on is known to be gone."""
        return actor.home is not None and actor.home not in living()

    def dismiss(self, actor: Handle) -> None:
        """Ends an actor, or what is left of it; the next `fill` starts another in its place."""
        self._actors.remove(actor)
        actor.kill()
        if actor.greeting is not None:
            self._look_at = 0.0

    def blame(self, actor: Handle, reason: str) -> None:
        """Counts a death that neither a batch nor a host is guilty of.

        Raises:
            WorkerStartError: actors again and again do not live to say hello.
            ObjectiveError: it is one of several that did not live to have loaded the objective.
        """
        call = actor.calls[0]
        if actor.greeting is None:
            self._failed_starts += 1
            if self._failed_starts >= _TRIES * self._n_started_together and not any(
                one.greeting for one in self._actors
            ):
                raise WorkerStartError(
                    f"workers end before they are ready ({reason}). Are rbt_ray, Python and Ray the same on every node? "
                    f"{ray_runtime.where_logs_are()}"
                )
        elif call.kind == LOAD and call.job != self._loadable:
            self._failed_loads += 1
            if self._failed_loads >= _TRIES:
                raise ObjectiveError(
                    f"workers end while they load the objective ({reason}, {_TRIES} times): something it imports or "
                    f"holds ends the process that loads it."
                )

    def close(self) -> None:
        """Ends all of them."""
        for actor in self._actors:
            actor.kill()
        self._actors.clear()

    def _refuse_what_never_fits(self) -> None:
        if self._own and self._needs.each:
            room = sum(self._needs.slots().values())
            if not room:
                raise SettingError(
                    f"`resources_per_worker`: each worker asks for {self._needs}, and this machine has no such thing; "
                    f"name the cluster that has by `address`."
                )
            self._wanted = min(self._wanted or room, room)

    def _check_room(self) -> None:
        """An actor that no node can ever hold would wait without a word."""
        now = time.monotonic()
        if any(actor.greeting for actor in self._actors):
            self._without_since, self._tell_at = now, now + _PATIENT_SECONDS
            return
        if now < self._tell_at or self._own:
            return
        self._tell_at = now + _START_SECONDS
        if any(self._needs.slots().values()):
            print(
                f"rbt-ray: waits for a worker, which asks for {self._needs}: what nodes have of that is in use by others "
                f"(`ray status`).",
                file=sys.stderr,
            )
        elif now - self._without_since > _START_SECONDS:
            raise WorkerStartError(
                f"no node of the cluster can hold a worker, which asks for {self._needs}: see `ray status`. Start "
                f"nodes that can, or change `num_cpus_per_worker` and `resources_per_worker`."
            )

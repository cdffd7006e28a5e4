"""A searcher made of a sampler, which chooses new configs, and a scheduler, which promotes them."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from rbt_ray.columns import Proposals, Results
from rbt_ray.search.calibration import Calibration
from rbt_ray.search.constraints import learn, rank_as_loss
from rbt_ray.search.scheduler import Ladder, Losses, Race, Rank, Scheduler, Step
from rbt_ray.search.searcher import Sampler
from rbt_ray.study.space import Space
from rbt_ray.types import STATUSES, Config, FloatArray, Result

_FATAL = ("CRASHED", "TIMED_OUT")

Tag: TypeAlias = tuple[int, ...]
"""The bracket, rung and slot of a proposal."""
Observation: TypeAlias = tuple[Rank, str, float]
"""What a search learns of a trial: its loss or losses, its status, and how far it breaks the constraints."""


class ScheduledSearch:
    """Proposals tagged (bracket, rung, slot); a slot is a config's number in the order of sampling.

    Args:
        space: what to search.
        sampler: chooses new configs.
        scheduler: promotes them up the ladder.
        ladder: the fidelities, ascending; the last is 1.
        eta: the factor between fidelities.
        limit: the maximum number of new configs to propose, `points_to_evaluate` included; None for no limit.
        n_calibration: how many configs to evaluate on every rung, to find out which rungs are worth using.
        calibrate_after: how many configs to propose before those.
        points_to_evaluate: configs to propose first, once each.
        continues: whether a config continues on a rung from where it stopped on the one below.
    """

    def __init__(
        self,
        space: Space,
        sampler: Sampler,
        scheduler: Scheduler,
        ladder: Ladder,
        eta: float,
        *,
        limit: int | None = None,
        n_calibration: int = 0,
        calibrate_after: int = 1,
        points_to_evaluate: Sequence[Config] = (),
        continues: bool = False,
    ) -> None:
        self._space, self._sampler, self._scheduler = space, sampler, scheduler
        self._ladder, self._eta, self._limit = ladder, eta, limit
        self._given = deque(dict.fromkeys(point.tobytes() for point in space.encode(points_to_evaluate)))
        self._points: list[FloatArray] = []
        self._seen: set[bytes] = set()
        self._race_of: list[_ActiveRace] = []  # by slot
        self._races: list[_ActiveRace] = []  # not done, the oldest first
        self._closed = False
        self._main_ladder = ladder
        self._calibration: Calibration | None = None
        self._notes: list[str] = []
        if n_calibration and len(ladder) > 1:
            self._calibration = Calibration(ladder, n_calibration, at_once=not continues)
            first = _ActiveRace(scheduler.race(ladder, eta), n_left=calibrate_after)
            self._races += [first, _ActiveRace(self._calibration)]
        else:
            self._races.append(_ActiveRace(scheduler.race(ladder, eta)))

    @property
    def notes(self) -> list[str]:
        """The decisions of the search so far, one sentence each."""
        notes = list(self._notes)
        if n_restarts := getattr(self._sampler, "n_restarts", 0):
            notes.append(f"the search restarted {n_restarts:,} times after stagnating.")
        if fallbacks := getattr(self._sampler, "fallbacks", 0):
            notes.append(
                f"the model proposed no new config {fallbacks:,} times; a config was drawn without it instead."
            )
        return notes + getattr(self._sampler, "notes", [])

    @property
    def n_first(self) -> int:
        """The number of proposals that need no results: the given configs, and the first ones of the sampler."""
        return len(self._given) + int(getattr(self._sampler, "n_first", 0))

    @property
    def done(self) -> bool:
        """See `Searcher`."""
        return self._closed and not self._races

    def ask(self, n: int) -> Proposals:
        """See `Searcher`."""
        tags: list[Tag] = []
        self._propose(n, tags)
        return self._proposals(tags)

    def tell(self, results: Sequence[Result]) -> None:
        """See `Searcher`."""
        for tag, observation in _rows_of(results):
            self._learn(tag, observation)
        self._drop_done()

    def respond(self, results: Sequence[tuple[Tag, Observation]], room: int) -> Proposals:
        """Learns results one by one, and after each proposes until as many trials are open as may be.

        Args:
            results: the results in order. With none, it only proposes.
            room: how many more trials may be open after the last of them.
        """
        tags: list[Tag] = []
        room -= len(results)
        if not results:
            self._propose(room, tags)
        for tag, observation in results:
            self._learn(tag, observation)
            self._drop_done()
            room += 1
            self._propose(room, tags)
        return self._proposals(tags)

    def _propose(self, room: int, tags: list[Tag]) -> None:
        """Adds proposals to `tags` until there are `room` in all, or none is left."""
        while len(tags) < room and (found := self._next()) is not None:
            active, step = found
            slot = self._new_slot(active, step) if step.slot is None else step.slot
            if slot is not None:  # otherwise the races were closed
                tags.append((step.bracket, step.rung + active.rungs_skipped, slot))

    def _proposals(self, tags: list[Tag]) -> Proposals:
        rows = np.concatenate([np.empty(0), *(self._points[slot] for _, _, slot in tags)])
        fidelity = np.array([self._ladder[rung] for _, rung, _ in tags])
        return Proposals(rows.reshape(len(tags), self._space.n_params), fidelity, self._space, tuple(tags))

    def _learn(self, tag: Tag, observation: Observation) -> None:
        (_, rung, slot), (loss, status, violation) = tag, observation
        active, fidelity = self._race_of[slot], self._ladder[rung]
        learn(self._sampler, self._points[slot], fidelity, loss, violation)
        # What is infeasible on part of the history is so on all of it; on all of it, it is no config to end a race with.
        fatal = status in _FATAL or violation > 0
        rank = rank_as_loss(violation) if violation > 0 else loss
        active.race.finish(slot, rung - active.rungs_skipped, rank, fatal=fatal)

    def extend(self, limit: int | None) -> None:
        """Continues up to `limit` configs in all: if the earlier limit was reached, with a new race on the same ladder."""
        self._limit = limit
        if self._closed and (limit is None or len(self._points) < limit):
            self._closed = False
            race = self._scheduler.race(self._main_ladder, self._eta)
            self._races.append(_ActiveRace(race, rungs_skipped=len(self._ladder) - len(self._main_ladder)))

    def _next(self) -> tuple[_ActiveRace, Step] | None:
        for active in self._races:
            if (step := active.race.next()) is not None:
                return active, step
        return None

    def _new_slot(self, active: _ActiveRace, step: Step) -> int | None:
        point = self._new_point()
        if point is None:
            self._close()
            return None
        slot = len(self._points)
        self._points.append(point)
        self._race_of.append(active)
        active.enter(slot, step)
        if len(self._points) == self._limit:
            self._close()
        return slot

    def _new_point(self) -> FloatArray | None:
        if self._given:
            point: FloatArray | None = np.frombuffer(self._given.popleft())
        else:
            # A sampler does not know a given config before its result.
            while (point := self._sampler.sample()) is not None and point.tobytes() in self._seen:
                pass
        if point is not None:
            self._seen.add(point.tobytes())
        return point

    def _close(self) -> None:
        self._closed = True
        for active in self._races:
            if active.n_left != 0:  # otherwise it is closed already
                active.race.close()
        self._drop_done()

    def _drop_done(self) -> None:
        """Drops the races that are done; starts the main race when calibration has chosen its ladder."""
        if self._calibration is not None and self._calibration.done:
            ladder, sentence = self._calibration.chosen_ladder()
            self._notes += [sentence] if sentence else []
            self._calibration, self._main_ladder = None, ladder
            search = _ActiveRace(self._scheduler.race(ladder, self._eta), rungs_skipped=len(self._ladder) - len(ladder))
            if self._closed:
                search.race.close()
            self._races.append(search)
        self._races = [active for active in self._races if not active.race.done]


@dataclass(slots=True, eq=False)
class _ActiveRace:
    """A race on the upper part of the ladder.

    Args:
        race: the race.
        rungs_skipped: how many rungs of the ladder it leaves out at the bottom.
        n_left: how many new configs it may still take; None for no limit.
    """

    race: Race
    rungs_skipped: int = 0
    n_left: int | None = None

    def enter(self, slot: int, step: Step) -> None:
        self.race.enter(slot, step)
        if self.n_left is not None:
            self.n_left -= 1
            if self.n_left == 0:
                self.race.close()


def observations_of(
    loss: FloatArray, losses: FloatArray | None, status: NDArray[np.uint8], violation: FloatArray | None
) -> Iterator[Observation]:
    """Yields what a search learns of each of `n` trials; the columns are those of `Results`.

    Args:
        loss: ``(n,)`` NaN for a trial that did not complete.
        losses: ``(n, n_goals)``; None in a study of one metric.
        status: ``(n,)`` positions in `types.STATUSES`.
        violation: ``(n,)``; None in a study without constraints.
    """
    broken = [0.0] * len(loss) if violation is None else violation.tolist()
    ranks: list[float | Losses] = loss.tolist()
    if losses is not None:
        ranks = [tuple(row) if one == one else one for row, one in zip(losses.tolist(), ranks, strict=True)]
    for rank, code, by in zip(ranks, status.tolist(), broken, strict=True):
        missing = isinstance(rank, float) and math.isnan(rank)
        yield None if missing else rank, STATUSES[code], by


def _rows_of(results: Sequence[Result]) -> Iterator[tuple[Tag, Observation]]:
    """Yields what to learn of each; reads columns rather than making a `Result` for each row."""
    if not isinstance(results, Results):
        for result in results:
            yield result.tag, (result.losses or result.loss, result.status, result.violation)
        return
    assert results.proposals.tags is not None
    observations = observations_of(results.loss, results.losses, results.outcomes.status, results.violation)
    yield from zip(results.proposals.tags, observations, strict=True)

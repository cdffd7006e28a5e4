"""A searcher put together from two parts: a sampler says which new config to try, a scheduler how far each goes."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from rbt_ray.columns import Proposals, Results
from rbt_ray.search.calibration import Calibration
from rbt_ray.search.fidelity_ladder import Ladder
from rbt_ray.search.sampler import Sampler
from rbt_ray.search.scheduler import Race, Scheduler, Step
from rbt_ray.study.space import Space
from rbt_ray.types import STATUSES, Config, FloatArray, Result

_FATAL = ("CRASHED", "TIMED_OUT")


class ScheduledSearch:
    """Proposals tagged (bracket, rung, slot); a slot is a config's number in the order of sampling.

    Args:
        space: what to search.
        sampler: proposes new configs.
        scheduler: sends them up the ladder.
        ladder: the fidelities, ascending, of which the last is 1.
        eta: what the ladder was made with.
        limit: how many new configs to propose, `points_to_evaluate` included; None: as many as there are.
        n_calibration: how many configs are evaluated on every rung, to see which rungs are worth climbing.
        calibrate_after: how many configs come before those.
        points_to_evaluate: configs that come first, once each.
        continues: whether a config goes on, on a rung, from where it stopped on the one below.
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
        self._home: list[_Climb] = []  # of each slot
        self._climbs: list[_Climb] = []  # those that are not done, the oldest first
        self._closed = False
        self._calibration: Calibration | None = None
        self._notes: list[str] = []
        if n_calibration and len(ladder) > 1:
            self._calibration = Calibration(ladder, n_calibration, at_once=not continues)
            first = _Climb(scheduler.race(ladder, eta), n_left=calibrate_after)
            self._climbs += [first, _Climb(self._calibration)]
        else:
            self._climbs.append(_Climb(scheduler.race(ladder, eta)))

    @property
    def notes(self) -> list[str]:
        """What was decided on the way, a sentence each."""
        notes = list(self._notes)
        if begun := getattr(self._sampler, "n_restarts", 0):
            notes.append(f"the search left its corner and began anew {begun:,} times, as nothing better came for long.")
        if fallbacks := getattr(self._sampler, "fallbacks", 0):
            notes.append(f"the model had nothing new {fallbacks:,} times, and a config was drawn without it.")
        return notes

    @property
    def done(self) -> bool:
        """See `Searcher`."""
        return self._closed and not self._climbs

    def ask(self, n: int) -> Proposals:
        """See `Searcher`."""
        points: list[FloatArray] = []
        tags: list[tuple[int, int, int]] = []
        while len(points) < n and (found := self._next()) is not None:
            climb, step = found
            slot = self._new_slot(climb, step) if step.slot is None else step.slot
            if slot is None:
                continue  # the races know that there are no more
            points.append(self._points[slot])
            tags.append((step.bracket, step.rung + climb.rungs_skipped, slot))
        rows = np.array(points).reshape(len(points), self._space.n_params)
        return Proposals(rows, np.array([self._ladder[rung] for _, rung, _ in tags]), self._space, tuple(tags))

    def tell(self, results: Sequence[Result]) -> None:
        """See `Searcher`."""
        for (_, rung, slot), loss, status in _told(results):
            climb = self._home[slot]
            self._sampler.learn(self._points[slot], self._ladder[rung], math.nan if loss is None else loss)
            climb.race.finish(slot, rung - climb.rungs_skipped, loss, fatal=status in _FATAL)
        self._settle()

    def _next(self) -> tuple[_Climb, Step] | None:
        for climb in self._climbs:
            if (step := climb.race.next()) is not None:
                return climb, step
        return None

    def _new_slot(self, climb: _Climb, step: Step) -> int | None:
        point = self._new_point()
        if point is None:
            self._close()
            return None
        slot = len(self._points)
        self._points.append(point)
        self._home.append(climb)
        climb.enter(slot, step)
        if len(self._points) == self._limit:
            self._close()
        return slot

    def _new_point(self) -> FloatArray | None:
        if self._given:
            point: FloatArray | None = np.frombuffer(self._given.popleft())
        else:
            # One that was given is unknown to a sampler until it is learned.
            while (point := self._sampler.sample()) is not None and point.tobytes() in self._seen:
                pass
        if point is not None:
            self._seen.add(point.tobytes())
        return point

    def _close(self) -> None:
        self._closed = True
        for climb in self._climbs:
            if climb.n_left != 0:  # else it is closed
                climb.race.close()
        self._settle()

    def _settle(self) -> None:
        """Takes off what is done; the search proper begins when its ladder is known."""
        if self._calibration is not None and self._calibration.done:
            kept, sentence = self._calibration.verdict()
            self._notes += [sentence] if sentence else []
            self._calibration = None
            search = _Climb(self._scheduler.race(kept, self._eta), rungs_skipped=len(self._ladder) - len(kept))
            if self._closed:
                search.race.close()
            self._climbs.append(search)
        self._climbs = [climb for climb in self._climbs if not climb.race.done]


@dataclass(slots=True, eq=False)
class _Climb:
    """A race on the upper part of the ladder.

    Args:
        race: its.
        rungs_skipped: how many rungs are below it.
        n_left: how many new configs it may still have; None: any number.
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


def _told(results: Sequence[Result]) -> Iterator[tuple[tuple[int, ...], float | None, str]]:
    """Tag, loss and status of each; from columns without making a result of every row."""
    if not isinstance(results, Results):
        yield from ((result.tag, result.loss, result.status) for result in results)
        return
    assert results.proposals.tags is not None
    columns = zip(results.proposals.tags, results.loss.tolist(), results.outcomes.status.tolist(), strict=True)
    yield from ((tag, None if math.isnan(loss) else loss, STATUSES[status]) for tag, loss, status in columns)

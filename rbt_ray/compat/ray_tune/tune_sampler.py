"""Ray Tune's searchers under a scheduler: they suggest new configs, and learn what became of each as far as it went."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from rbt_ray.search.fidelity_ladder import Ladder
from rbt_ray.search.scheduler import Race, Scheduler, Step
from rbt_ray.search.tune_searcher import TuneSearcher
from rbt_ray.study.space import Space
from rbt_ray.types import FloatArray

_TRIES = 100
"""Repeats in a row after which there seems to be nothing new."""


class TuneSampler:
    """A searcher of Ray Tune's as a sampler.

    A searcher is told once of each config. It is told when the next new config is wanted, of those that are not under way
    then: with schedulers that send a config on at once or never, that is their last result.

    Args:
        space: what to search.
        searcher: of Ray Tune's, fresh.
    """

    def __init__(self, space: Space, searcher: Any) -> None:
        self._searcher = TuneSearcher(space, searcher)
        self._points: list[bytes] = []  # by slot
        self._loss: dict[bytes, float] = {}
        self._at_rest: dict[bytes, float] = {}  # results that the searcher does not know, in the order of arrival
        self._n_reported: set[bytes] = set()

    def sample(self) -> FloatArray | None:
        """See `Sampler`."""
        for key, loss in self._at_rest.items():
            self._n_reported.add(key)
            self._searcher.tell_of(key, loss)
        self._at_rest.clear()
        for _ in range(_TRIES):
            suggestion = self._searcher.suggestion()
            if suggestion is None:
                return None
            point: FloatArray = suggestion[0]
            key = point.tobytes()
            if key not in self._points:
                self._points.append(key)
                return point
            self._searcher.tell_of(key, self._loss.get(key, math.nan))
        return None

    def learn(self, point: FloatArray, fidelity: float, loss: float) -> None:  # noqa: ARG002  the protocol's
        """See `Sampler`."""
        key = point.tobytes()
        self._loss[key] = loss
        if key not in self._n_reported:
            self._at_rest[key] = loss

    def mark_running(self, slot: int) -> None:
        """The config in this slot is under way again."""
        self._at_rest.pop(self._points[slot], None)


@dataclass(frozen=True, slots=True)
class ObservedScheduler:
    """A scheduler whose races tell a sampler which configs go on."""

    scheduler: Scheduler
    sampler: TuneSampler

    def race(self, ladder: Ladder, eta: float) -> Race:
        """See `Scheduler`."""
        return _ObservedRace(self.scheduler.race(ladder, eta), self.sampler)


class _ObservedRace:
    def __init__(self, race: Race, sampler: TuneSampler) -> None:
        self._race, self._sampler = race, sampler
        self.enter, self.close, self.finish = race.enter, race.close, race.finish

    @property
    def done(self) -> bool:
        return self._race.done

    def next(self) -> Step | None:
        step = self._race.next()
        if step is not None and step.slot is not None:
            self._sampler.mark_running(step.slot)
        return step

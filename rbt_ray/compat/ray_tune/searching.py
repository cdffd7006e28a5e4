"""Parsing of `search_alg`, and Ray Tune's searchers as samplers under a scheduler."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rbt_ray.compat.ray_tune.search import BasicVariantGenerator, ConcurrencyLimiter
from rbt_ray.compat.ray_tune.settings import TuneConfig
from rbt_ray.compat.ray_tune.trial import to_python
from rbt_ray.errors import NotSupportedError, SettingError
from rbt_ray.search.scheduler import Ladder, Race, Scheduler, Step
from rbt_ray.study.convert import class_names
from rbt_ray.study.space import Space
from rbt_ray.types import FloatArray

_RAY_MAX_OPEN = 8
"""Default limit of open trials with a searcher of Ray Tune: low, so that it learns early; the same on every machine."""


@dataclass(frozen=True)
class SearchSettings:
    """The settings in a user's `search_alg`.

    Args:
        searcher: the searcher in a form that the engine accepts; None: samples in Ray Tune's order.
        max_concurrent: limit of open trials; None: no limit.
        points_to_evaluate: the first samples.
        constant_grid_search: whether all combinations of the grids share one draw.
        seed: seed of the samples where TuneConfig has none; None: no seed either.
    """

    searcher: Any = None
    max_concurrent: int | None = None
    points_to_evaluate: Sequence[Mapping[str, Any]] = ()
    constant_grid_search: bool = False
    seed: int | None = None

    @property
    def restored(self) -> Any:
        """Returns the object to pass to a restored study; None for a name, which the journal holds."""
        return None if isinstance(self.searcher, str) else self.searcher

    @property
    def is_ray_searcher(self) -> bool:
        """Returns whether the searcher is an object of Ray Tune."""
        return bool(class_names(self.searcher, "ray.tune.search"))

    def max_open_trials(self, max_concurrent_trials: int | None) -> int | None:
        """Returns the limit of open trials for the engine; None: the engine's default."""
        return self.max_concurrent or max_concurrent_trials or (_RAY_MAX_OPEN if self.is_ray_searcher else None)


def parse_search_alg(given: Any) -> SearchSettings:
    """Parses `search_alg`.

    Raises:
        NotSupportedError: it is not supported; the message names the alternative.
    """
    kind, module = type(given).__name__, type(given).__module__
    if given is None or (isinstance(given, str) and given in ("variant_generator", "random")):
        return SearchSettings()
    if isinstance(given, ConcurrencyLimiter) or (kind == "ConcurrencyLimiter" and module.startswith("ray.tune")):
        return replace(parse_search_alg(given.searcher), max_concurrent=given.max_concurrent)
    if kind == "Repeater" and module.startswith("ray.tune"):
        raise NotSupportedError("Repeater is not supported; let the trainable return the mean of several runs.")
    if isinstance(given, BasicVariantGenerator):
        return SearchSettings(
            None,
            given.max_concurrent or None,
            tuple(to_python(point) for point in given.points_to_evaluate or ()),
            given.constant_grid_search,
            given.random_state if isinstance(given.random_state, int) else _seed_of(given.random_state),
        )
    if kind == "BasicVariantGenerator" and module.startswith("ray.tune"):
        return SearchSettings(
            None,
            given.max_concurrent or None,
            tuple(to_python(point) for point in given._points_to_evaluate or ()),
            bool(given._constant_grid_search),
            _seed_of(given._random_state._rng),
        )
    if kind == "TuneBOHB":
        raise NotSupportedError("TuneBOHB is not supported; use TuneConfig(search_alg='bohb').")
    return SearchSettings(given)


def study_metric(tune: TuneConfig, scheduler: Any, search: SearchSettings) -> tuple[str | None, str | None]:
    """Returns the study's metric and mode: from TuneConfig or the scheduler, else from a searcher of Ray Tune.

    Raises:
        SettingError: both are given twice, a metric has no mode, or the searcher has no metric.
        NotSupportedError: the searcher optimizes several metrics.
    """
    metric, mode = getattr(scheduler, "metric", None), getattr(scheduler, "mode", None)
    for name, theirs, own in (("metric", metric, tune.metric), ("mode", mode, tune.mode)):
        if theirs is not None and own is not None:
            raise SettingError(f"`{name}` is set in both TuneConfig and its scheduler; set it in one of them.")
    metric, mode = metric or tune.metric, mode or tune.mode
    if search.is_ray_searcher:
        metric, mode = metric or search.searcher.metric, mode or search.searcher.mode
        kind = type(search.searcher).__name__
        if metric is None:
            raise SettingError(
                f"{kind} has nothing to learn from: give `metric` and `mode` to TuneConfig or to the searcher."
            )
        if not isinstance(metric, str):
            raise NotSupportedError(
                f"{kind} optimizes the metrics {metric!r}; a study has one: pass its name as a string."
            )
    if metric is not None and mode is None:
        raise SettingError(f"`mode` is missing: is the best {metric!r} the 'min' or the 'max'?")
    return metric, mode


def _seed_of(random_state: np.random.Generator | np.random.RandomState | None) -> int | None:
    """Returns a seed derived from a generator, whose state stays unchanged."""
    own = copy.deepcopy(random_state)
    if isinstance(own, np.random.Generator):
        return int(own.integers(2**32))
    return None if own is None else int(own.randint(2**32, dtype=np.uint64))


_TRIES = 100
"""Limit of repeated suggestions in a row, after which the searcher counts as exhausted."""


class TuneSampler:
    """A searcher of Ray Tune as a sampler.

    The searcher gets one result per config. `sample` reports the results of all configs that are not running at that time:
    with a scheduler that continues a config at once or never, this is the config's last result.

    Args:
        space: the space to search.
        searcher: a new searcher of Ray Tune.
    """

    def __init__(self, space: Space, searcher: Any) -> None:
        from rbt_ray.search.tune_searcher import TuneSearcher  # imports Ray

        self._searcher = TuneSearcher(space, searcher)
        self._points: list[bytes] = []  # by slot
        self._loss: dict[bytes, float] = {}
        self._unreported: dict[bytes, float] = {}  # results that the searcher does not know, in order of arrival
        self._reported: set[bytes] = set()

    def sample(self) -> FloatArray | None:
        """See `Sampler`."""
        for key, loss in self._unreported.items():
            self._reported.add(key)
            self._searcher.tell_point(key, loss)
        self._unreported.clear()
        for _ in range(_TRIES):
            suggestion = self._searcher.suggestion()
            if suggestion is None:
                return None
            point: FloatArray = suggestion[0]
            key = point.tobytes()
            if key not in self._points:
                self._points.append(key)
                return point
            self._searcher.tell_point(key, self._loss.get(key, math.nan))
        return None

    def learn(self, point: FloatArray, fidelity: float, loss: float) -> None:  # noqa: ARG002  the protocol's
        """See `Sampler`."""
        key = point.tobytes()
        self._loss[key] = loss
        if key not in self._reported:
            self._unreported[key] = loss

    def mark_running(self, slot: int) -> None:
        """Marks the config in this slot as running again."""
        self._unreported.pop(self._points[slot], None)


@dataclass(frozen=True, slots=True)
class ObservedScheduler:
    """A scheduler whose races inform a sampler of the configs that continue."""

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

"""`search_alg` in its parts: who proposes configs, and how many at once."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rbt_ray.compat.ray_tune.settings import TuneConfig
from rbt_ray.compat.ray_tune.trial import to_python
from rbt_ray.errors import NotSupportedError, SettingError
from rbt_ray.study.convert import class_names

_RAY_MAX_OPEN = 8
"""Trials open at once where a searcher of Ray Tune's proposes them: few, so that it learns early, and as many on every machine."""


@dataclass(frozen=True)
class SearchSettings:
    """What a user passed as `search_alg`.

    Args:
        searcher: as our engine takes it; None: samples in Ray Tune's order.
        max_concurrent: how many trials may be open at once; None: any number.
        points_to_evaluate: samples that come first.
        constant_grid_search: whether one draw serves all combinations of the grids.
        seed: of the samples, where TuneConfig has none; None: it has none either.
    """

    searcher: Any = None
    max_concurrent: int | None = None
    points_to_evaluate: Sequence[Mapping[str, Any]] = ()
    constant_grid_search: bool = False
    seed: int | None = None

    @property
    def restored(self) -> Any:
        """What has to be passed to a restored study: an object; a name is in the journal."""
        return None if isinstance(self.searcher, str) else self.searcher

    @property
    def is_ray_searcher(self) -> bool:
        """Whether a searcher object of Ray Tune's proposes configs."""
        return bool(class_names(self.searcher, "ray.tune.search"))

    def max_open_trials(self, max_concurrent_trials: int | None) -> int | None:
        """How many trials may be open at once, for our engine; None: as it likes."""
        return self.max_concurrent or max_concurrent_trials or (_RAY_MAX_OPEN if self.is_ray_searcher else None)


def parse_search_alg(given: Any) -> SearchSettings:
    """The parts.

    Raises:
        NotSupportedError: it is one that has something better here.
    """
    kind, module = type(given).__name__, type(given).__module__
    if given is None or (isinstance(given, str) and given in ("variant_generator", "random")):
        return SearchSettings()
    if kind == "ConcurrencyLimiter" and module.startswith("ray.tune"):
        return SearchSettings(given.searcher, given.max_concurrent)
    if kind == "Repeater" and module.startswith("ray.tune"):
        raise NotSupportedError("Repeater is not supported; let the trainable return the mean of several runs.")
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
    """The study's metric and mode: of TuneConfig or the scheduler, else of a searcher of Ray Tune's.

    Raises:
        SettingError: two give one, a metric has no mode, or a searcher has nothing to learn from.
        NotSupportedError: a searcher is for several metrics.
    """
    metric, mode = getattr(scheduler, "metric", None), getattr(scheduler, "mode", None)
    for name, theirs, own in (("metric", metric, tune.metric), ("mode", mode, tune.mode)):
        if theirs is not None and own is not None:
            raise SettingError(f"`{name}` is given to TuneConfig and to its scheduler; give it to one of them.")
    metric, mode = metric or tune.metric, mode or tune.mode
    if search.is_ray_searcher:
        metric, mode = metric or search.searcher.metric, mode or search.searcher.mode
        kind = type(search.searcher).__name__
        if metric is None:
            raise SettingError(
                f"{kind} has nothing to learn from: give `metric` and `mode` to TuneConfig, or to the searcher."
            )
        if not isinstance(metric, str):
            raise NotSupportedError(f"{kind} is for the metrics {metric!r}; a study has one: give it as a text.")
    if metric is not None and mode is None:
        raise SettingError(f"`mode` is missing: is the best {metric!r} the 'min' or the 'max'?")
    return metric, mode


def _seed_of(random_state: np.random.Generator | np.random.RandomState | None) -> int | None:
    """A number that follows from a generator, which stays as it is."""
    own = copy.deepcopy(random_state)
    if isinstance(own, np.random.Generator):
        return int(own.integers(2**32))
    return None if own is None else int(own.randint(2**32, dtype=np.uint64))

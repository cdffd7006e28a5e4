"""Searchers, samplers and schedulers by name, and what "auto" stands for."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from rbt_ray.errors import JournalError
from rbt_ray.search.asha import ASHA, MedianStopping
from rbt_ray.search.bohb import BOHB
from rbt_ray.search.calibration import LEAST_CONFIGS
from rbt_ray.search.fidelity_ladder import Ladder, bracket_sizes, ladder_from
from rbt_ray.search.fixed_sequence import FixedSequence
from rbt_ray.search.hyperband import Hyperband, SuccessiveHalving
from rbt_ray.search.random_search import RandomSearch
from rbt_ray.search.sampler import Sampler, SequenceSampler
from rbt_ray.search.scheduled_search import ScheduledSearch
from rbt_ray.search.scheduler import Scheduler
from rbt_ray.search.searcher import Searcher
from rbt_ray.study.space import Space
from rbt_ray.study.study import Study

_STREAMS = {
    "grid": ("rbt_ray.search.grid_search", "GridSearch"),
    "random": ("rbt_ray.search.random_search", "RandomSearch"),
    "sobol": ("rbt_ray.search.sobol", "SobolSearch"),
}
MODELS = ("bohb", "tpe")
SEARCHERS = (*_STREAMS, *MODELS)
SCHEDULERS: dict[str, type[Any]] = {
    "hyperband": Hyperband,
    "asha": ASHA,
    "successive_halving": SuccessiveHalving,
    "median": MedianStopping,
}
AUTO = BOHB(model="tpe")
"""The model search that "auto" takes: in docs/decisions it is ahead of BOHB's own model."""
_SAMPLES = 100
_CALIBRATION = 8
"""How many configs calibrate a ladder."""


@dataclass(frozen=True, slots=True)
class SearchChoice:
    """What a name stands for.

    Args:
        search_alg: the searcher's own name.
        options: its settings, where they are not its defaults.
        num_samples: how many new configs it is to propose; None: all there are.
        why: why "auto" chose it; "" where the user did.
    """

    search_alg: str
    options: dict[str, Any]
    num_samples: int | None
    why: str = ""


def choose(
    search_alg: str, space: Space, num_samples: int | None, max_cost: float | None, n_rungs: int
) -> SearchChoice:
    """The searcher that a name stands for.

    Args:
        search_alg: a name; "auto" is a grid where the whole space fits what may be spent (any finite one where nothing is
            said), else the model search.
        space: what is searched.
        num_samples: as the user said; None: the whole grid, what `max_cost` allows, or 100.
        max_cost: as the user said.
        n_rungs: how many fidelities there are.
    """
    some = default_samples(num_samples, max_cost)
    if search_alg != "auto":
        return SearchChoice(search_alg, {}, num_samples if search_alg == "grid" else some)
    size, may_spend = space.size, min((most for most in (num_samples, max_cost) if most is not None), default=None)
    if size is not None and (may_spend is None or size <= may_spend):
        return SearchChoice("grid", {}, num_samples, f"auto: grid, as the whole space has {size:,} configs.")
    why = f"auto: bohb with the model of TPE {_over(n_rungs)}, as the space has {_more(size, num_samples, max_cost)}."
    return SearchChoice("bohb", asdict(AUTO), some, why)


def default_samples(num_samples: int | None, max_cost: float | None) -> int | None:
    """How many new configs a search proposes that is no grid: 100 where the user bounds nothing."""
    return _SAMPLES if num_samples is None and max_cost is None else num_samples


def _over(n_rungs: int) -> str:
    return f"over {n_rungs} fidelities" if n_rungs > 1 else "at full fidelity"


def _more(size: int | None, num_samples: int | None, max_cost: float | None) -> str:
    if size is None:
        return "infinitely many configs"
    bound = f"num_samples is {num_samples:,}" if num_samples is not None else f"max_cost is {max_cost:g}"
    return f"{size:,} configs and {bound}"


def make_searcher(study: Study, given: Any = None) -> Searcher:
    """A fresh searcher for a study.

    Args:
        study: its definition.
        given: the user's own searcher or sampler object, where there is one.

    Raises:
        InputError: the space cannot be searched so.
    """
    if given is not None and isinstance(given, Searcher):
        return given
    if given is not None and _is_from(given, "ray.tune.search"):
        from rbt_ray.search.tune_searcher import TuneSearcher

        return TuneSearcher(study.space, given, limit=study.num_samples)
    scheduler = scheduler_from_json(study.scheduler)
    if scheduler is None and study.search_alg in _STREAMS:
        return _stream(study, limit=study.num_samples, points_to_evaluate=study.points_to_evaluate)
    ladder = ladder_from(study.lowest_fidelity, study.eta) if scheduler is not None else (1.0,)
    n_calibration, before = _calibration(study, ladder)
    return ScheduledSearch(
        study.space,
        _sampler(study, given),
        scheduler or Hyperband(),
        ladder,
        study.eta,
        limit=study.num_samples,
        n_calibration=n_calibration,
        calibrate_after=before,
        points_to_evaluate=study.points_to_evaluate,
        continues=study.fidelity == "reports",
    )


def is_search_alg(given: Any) -> bool:
    """Whether this object can be a `search_alg`: a searcher, the settings of one, or a sampler or searcher of others."""
    if isinstance(given, type):
        return False
    return isinstance(given, (Searcher, BOHB)) or _is_from(given, "optuna.samplers", "ray.tune.search")


def decides_alone(given: Any) -> bool:
    """Whether this object proposes whole trials, and leaves nothing to a scheduler or to points given first."""
    return isinstance(given, Searcher) or _is_from(given, "ray.tune.search")


def is_scheduler(given: Any) -> bool:
    """Whether this can be a `scheduler`."""
    return given is None or (isinstance(given, str) and given in SCHEDULERS) or type(given) in SCHEDULERS.values()


def scheduler_to_json(scheduler: Any) -> dict[str, Any] | None:
    """A scheduler as a study's definition holds it: its name and settings."""
    if scheduler is None:
        return None
    if isinstance(scheduler, str):
        scheduler = SCHEDULERS[scheduler]()
    name = next(name for name, kind in SCHEDULERS.items() if type(scheduler) is kind)
    return {"name": name, **asdict(scheduler)}


def scheduler_from_json(plain: Mapping[str, Any] | None) -> Scheduler | None:
    """The scheduler again."""
    if plain is None:
        return None
    options = {key: value for key, value in plain.items() if key != "name"}
    with _told("scheduler"):
        scheduler: Scheduler = SCHEDULERS[plain["name"]](**options)
    return scheduler


@contextmanager
def _told(what: str) -> Iterator[None]:
    """What a journal says of names and settings may be damaged, or from a version that knows more of them."""
    try:
        yield
    except (KeyError, TypeError) as error:
        raise JournalError(f"the study's {what} is none that this version of rbt_ray knows: {error!r}.") from error


def _stream(study: Study, **options: Any) -> FixedSequence:
    with _told("`search_alg`"):
        module, name = _STREAMS[study.search_alg]
    kind: Any = getattr(importlib.import_module(module), name)
    stream: FixedSequence = kind(study.space, seed=study.seed, **options)
    return stream


def _sampler(study: Study, given: Any) -> Sampler:
    sampler = _fresh_sampler(study, given)
    for told in study.warm_start:
        sampler.learn(np.array(told.point), told.fidelity, told.loss)
    return sampler


def _fresh_sampler(study: Study, given: Any) -> Sampler:
    if given is not None or study.search_alg == "tpe":
        from rbt_ray.search.optuna_sampler import OptunaSampler

        return OptunaSampler(study.space, seed=study.seed, sampler=given)
    if study.search_alg == "bohb":
        with _told("`search_alg`"):
            bohb = BOHB(**study.search_options)
        return bohb.sampler(study.space, study.seed)
    if study.search_alg == "grid":
        _ = study.space.grid_size  # says why there is no grid
        return SequenceSampler(
            RandomSearch(study.space, seed=study.seed)
        )  # the first of a grid are all from one corner
    return SequenceSampler(_stream(study))


def _calibration(study: Study, ladder: Ladder) -> tuple[int, int]:
    """How many configs calibrate the ladder, and how many come before them.

    They come after a first bracket; with BOHB's own model after a round but for its last bracket, whose place they take:
    what that model has of full fidelity are to be the few that came up to it, not as many taken at random. They are at most
    a third of what is left then; 0 where that is too little, and the ladder is believed.
    """
    n_rungs = len(ladder)
    of_kernels = study.search_alg == "bohb" and BOHB(**study.search_options).model == "kde"
    brackets = [bracket_sizes(n_rungs, kind, study.eta) for kind in range(max(n_rungs - 1, 1) if of_kernels else 1)]
    before = sum(sizes[0] for sizes in brackets)
    n = _CALIBRATION
    for most in (study.num_samples, study.space.size):
        if most is not None:
            n = min(n, (most - before) // 3)
    if study.max_cost is not None:
        spent = sum(n * ladder[-1 - above] for sizes in brackets for above, n in enumerate(reversed(sizes)))
        n = min(n, int((study.max_cost - spent) / (3 * sum(ladder))))
    return (n if n_rungs > 1 and n >= LEAST_CONFIGS else 0), before


def _is_from(given: Any, *packages: str) -> bool:
    """Whether an object's class, or one it derives from, is of these packages; none of them is imported."""
    return any(base.__module__.startswith(packages) for base in type(given).__mro__)

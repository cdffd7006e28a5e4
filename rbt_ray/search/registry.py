"""Searchers and samplers by name, the built-in ones and those of other packages' entry points, and the choice of one."""

from __future__ import annotations

from dataclasses import asdict, dataclass, is_dataclass, replace
from typing import Any

import numpy as np

from rbt_ray import plugins
from rbt_ray.errors import InputError, JournalError, SettingError, StudyMismatchError
from rbt_ray.nearest import nearest
from rbt_ray.plugins import is_from
from rbt_ray.search.bohb import BOHB
from rbt_ray.search.calibration import LEAST_CONFIGS
from rbt_ray.search.constraints import ConstrainedSearcher, learn
from rbt_ray.search.fixed_sequence import FixedSequence, SequenceSampler
from rbt_ray.search.front_races import FrontScheduler
from rbt_ray.search.hyperband import Hyperband
from rbt_ray.search.random_draws import RandomSearch
from rbt_ray.search.scheduled_search import ScheduledSearch
from rbt_ray.search.scheduler import Ladder, bracket_sizes, ladder_from
from rbt_ray.search.scheduler_registry import (
    damage_explained,
    load_built_in,
    refuse_second_definition,
    scheduler_class,
    scheduler_from_json,
    scheduler_names,
)
from rbt_ray.search.searcher import Sampler, Searcher
from rbt_ray.search.several_metrics import check_sampler, check_searcher
from rbt_ray.study.limits import Limits
from rbt_ray.study.space import Space
from rbt_ray.study.study import Study

_SEARCHER_PLUGINS, _SAMPLER_PLUGINS = "rbt_ray.searchers", "rbt_ray.samplers"
_CALIBRATION = 8
"""The number of configs that calibrate a ladder."""
AUTO = BOHB(model="tpe", local_fraction=0.5)
"""The settings of "auto" for a space that is no grid: docs/decisions compares them with BOHB's own model."""
_DEFAULT_SAMPLES = 100


@dataclass(frozen=True, slots=True)
class SearchKind:
    """A kind of search, with what the rest of the package needs to know about it.

    Args:
        name: the `search_alg` of a study's definition.
        address: the "module:name" of the class or function that makes a built-in search; see `BUILT_IN`. "" for all others.
        learns: whether it is a sampler that learns from results, and so takes `warm_start`.
        proposes_alone: whether it proposes whole trials, and so takes neither a scheduler nor points to evaluate first.
        has_default_scheduler: whether it uses Hyperband if the user gives no scheduler.
        is_object: whether it is an object of the user's, which a resumed study needs again.
        is_bounded: whether its models keep as many results as the study's definition says.
    """

    name: str
    address: str = ""
    learns: bool = False
    proposes_alone: bool = False
    has_default_scheduler: bool = False
    is_object: bool = False
    is_bounded: bool = False

    @property
    def limits_itself(self) -> bool:
        """Whether it stops after `num_samples` configs; the engine counts the configs of others."""
        return not (self.proposes_alone or self.is_object)

    @property
    def is_sequence(self) -> bool:
        """Whether it is a built-in `FixedSequence`."""
        return bool(self.address) and not self.learns and not self.proposes_alone


_AUTO = SearchKind("auto", has_default_scheduler=True)
_OBJECT = SearchKind("custom", is_object=True)
BUILT_IN = {
    kind.name: kind
    for kind in (
        SearchKind("grid", "rbt_ray.search.fixed_sequence:GridSearch"),
        SearchKind("random", "rbt_ray.search.random_draws:RandomSearch"),
        SearchKind("sobol", "rbt_ray.search.random_draws:SobolSearch"),
        SearchKind(
            "bohb", "rbt_ray.search.bohb:bohb_sampler", learns=True, has_default_scheduler=True, is_bounded=True
        ),
        SearchKind("tpe", "rbt_ray.search.optuna_sampler:OptunaSampler", learns=True),
    )
}
"""Register a search here. Its address is called as `make(space, seed=seed)` and returns, by the flags of its kind:

- `learns`: a `Sampler`; `make` also gets the settings in the study's definition as keywords, and, if it is `is_bounded`,
  the definition's `most_results`.
- `proposes_alone`: a `Searcher`.
- neither: a `FixedSequence`; `make` may also get `limit` and `points_to_evaluate`.
"""
MODELS = tuple(name for name, kind in BUILT_IN.items() if kind.learns)
"""The built-in searches that learn."""


def check_search_alg(search_alg: Any) -> SearchKind:
    """Returns the kind of search of a user's `search_alg`, after checking that its name has one definition.

    Raises:
        SettingError: it is neither a known name nor an object that can search.
        InputError: the name has two definitions, or the package that defines it cannot be imported.
    """
    if isinstance(search_alg, str) and search_alg != "auto":  # scanning packages takes 20 ms, too long for a default
        refuse_second_definition(search_alg, ("custom", *BUILT_IN), _SEARCHER_PLUGINS, _SAMPLER_PLUGINS)
    return search_kind_of(search_alg)


def search_kind_of(search_alg: Any) -> SearchKind:
    """Returns the kind of search of a user's `search_alg`; raises as `check_search_alg` does."""
    if isinstance(search_alg, str):
        kind = _AUTO if search_alg == "auto" else _kind_by_name(search_alg)
        if kind is not None:
            return kind
        known = ["auto", *BUILT_IN, *plugins.names(_SEARCHER_PLUGINS), *plugins.names(_SAMPLER_PLUGINS)]
        raise SettingError(
            f"`search_alg` is one of {', '.join(known)}; got {search_alg!r}: {nearest(search_alg, known)}"
        )
    if isinstance(search_alg, BOHB):
        return BUILT_IN["bohb"]
    is_class, from_ray = isinstance(search_alg, type), is_from(search_alg, "ray.tune.search")
    if is_class or not (from_ray or isinstance(search_alg, Searcher) or is_from(search_alg, "optuna.samplers")):
        raise SettingError(
            f"`search_alg` is a name, rbt.BOHB(...), a sampler of Optuna's, a searcher of Ray Tune's, or an object with "
            f"`done`, `ask(n)` and `tell(results)`; got {search_alg!r}."
        )
    return replace(_OBJECT, proposes_alone=from_ray or isinstance(search_alg, Searcher))


def recorded_kind(study: Study) -> SearchKind:
    """Returns the kind of search that a study's definition names.

    Raises:
        JournalError: neither this version of rbt_ray nor an installed package defines it.
        InputError: two packages define the name, or the package that defines it cannot be imported.
    """
    if study.search_alg == _OBJECT.name:
        return _OBJECT
    kind = _kind_by_name(study.search_alg)
    if kind is None:
        raise JournalError(
            f"the study's `search_alg` is {study.search_alg!r}, which neither this version of rbt_ray nor an installed "
            f"package defines. Install the package that defines it."
        )
    return kind


def _kind_by_name(name: str) -> SearchKind | None:
    if name in BUILT_IN:
        return BUILT_IN[name]
    if plugins.load(_SEARCHER_PLUGINS, name) is not None:
        return SearchKind(name, proposes_alone=True)
    return SearchKind(name, learns=True) if plugins.load(_SAMPLER_PLUGINS, name) is not None else None


def settings_class(key: str, name: str) -> type[Any]:
    """Returns the dataclass with the settings of a built-in search or of a scheduler.

    Args:
        key: "search_alg" or "scheduler".
        name: the search's or the scheduler's.

    Raises:
        SettingError: there is no such dataclass.
        InputError: see `search_kind_of`.
    """
    found = BOHB if (key, name) == ("search_alg", "bohb") else scheduler_class(name) if key == "scheduler" else None
    if found is None or not is_dataclass(found):
        known = ["bohb"] if key == "search_alg" else scheduler_names()
        raise SettingError(f"there are no settings of {name!r}; {nearest(name, known)}")
    return found


def object_of(search_alg: Any) -> Any:
    """Returns a user's `search_alg` if it is an object that proposes configs; None if it is a name or settings."""
    return search_alg if search_kind_of(search_alg).is_object else None


def object_again(study: Study, search_alg: Any) -> Any:
    """Returns the object to resume a study with; None if the study's definition is enough.

    Raises:
        StudyMismatchError: `search_alg` is not what the study was begun with.
    """
    needed = recorded_kind(study).is_object
    if search_alg is None or isinstance(search_alg, (str, BOHB)):
        given = ("bohb", asdict(search_alg)) if isinstance(search_alg, BOHB) else (search_alg, {})
        if not needed and (search_alg is None or given == (study.search_alg, study.search_options)):
            return None
    elif needed and search_kind_of(search_alg).is_object:
        return search_alg
    begun = "a searcher object of your own" if needed else repr(study.search_alg)
    raise StudyMismatchError(f"the study {study.name!r} was begun with {begun} as `search_alg`; pass the same.")


def make_searcher(study: Study, given: Any = None) -> Searcher:
    """Returns a fresh searcher for a study.

    Args:
        study: its definition.
        given: the user's own searcher or sampler object, if there is one.

    Raises:
        InputError: the space cannot be searched this way, or the package that defines the searcher is at fault.
        JournalError: the definition names a search or settings that nobody defines.
    """
    if isinstance(given, Searcher):
        return _obedient(_for_goals(given, study), study)
    if given is not None and is_from(given, "ray.tune.search"):
        from rbt_ray.search.tune_searcher import TuneSearcher

        return TuneSearcher(study.space, given, limit=_first_limits(study).num_samples)
    kind, scheduler = recorded_kind(study), scheduler_from_json(study.scheduler)
    if kind.proposes_alone:
        return _obedient(_for_goals(_made(kind, study, _SEARCHER_PLUGINS, Searcher), study), study)
    if scheduler is None and kind.is_sequence:
        return _sequence(kind, study, limit=study.num_samples, points_to_evaluate=study.points_to_evaluate)
    ladder = ladder_from(study.lowest_fidelity, study.eta) if scheduler is not None else (1.0,)
    n_calibration, before = _calibration(study, ladder)
    return ScheduledSearch(
        study.space,
        _sampler(kind, study, given),
        FrontScheduler(scheduler or Hyperband()) if study.further_goals else scheduler or Hyperband(),
        ladder,
        study.eta,
        limit=_first_limits(study).num_samples,
        n_calibration=n_calibration,
        calibrate_after=before,
        points_to_evaluate=study.points_to_evaluate,
        continues=study.fidelity == "reports",
    )


def _first_limits(study: Study) -> Limits:
    """Returns the limits before all extensions, which a search that learns reaches first."""
    return study.phases[0] if study.phases else study.limits


def _for_goals(searcher: Searcher, study: Study) -> Searcher:
    if study.further_goals:
        check_searcher(searcher)
    return searcher


def _obedient(searcher: Searcher, study: Study) -> Searcher:
    """Returns a searcher that proposes nothing that breaks a constraint."""
    knows = not study.space.constraints or isinstance(searcher, (ScheduledSearch, FixedSequence))
    return searcher if knows else ConstrainedSearcher(study.space, searcher)


def _made(kind: SearchKind, study: Study, group: str, protocol: type[Any]) -> Any:
    """Makes the searcher or sampler of a built-in search, or of an entry point of the group."""
    if kind.address:
        options = {**study.search_options, **({"n_metrics": len(study.goals)} if study.further_goals else {})}
        if kind.is_bounded:
            options["most_results"] = study.most_results
        with damage_explained("`search_alg`"):
            return load_built_in(kind.address)(study.space, seed=study.seed, **options)
    make: Any = plugins.load(group, kind.name)
    try:
        made = make(study.space, seed=study.seed)
    except TypeError as error:
        raise InputError(
            f"The entry point {kind.name!r} of {group!r} is called with (space, seed=...), and raises: {error}."
        ) from error
    if not isinstance(made, protocol):
        raise InputError(
            f"The entry point {kind.name!r} of {group!r} makes a {type(made).__name__}, which lacks a member of "
            f"{protocol.__module__}.{protocol.__name__}."
        )
    return made


def _sequence(kind: SearchKind, study: Study, **options: Any) -> FixedSequence:
    sequence: FixedSequence = load_built_in(kind.address)(study.space, seed=study.seed, **options)
    return sequence


def _sampler(kind: SearchKind, study: Study, given: Any) -> Sampler:
    sampler = _fresh_sampler(kind, study, given)
    for prior in study.warm_start:
        learn(sampler, np.array(prior.point), prior.fidelity, prior.loss, prior.violation)
    return sampler


def _fresh_sampler(kind: SearchKind, study: Study, given: Any) -> Sampler:
    if given is not None or kind.name == "tpe":
        from rbt_ray.search.optuna_sampler import OptunaSampler

        return OptunaSampler(
            study.space,
            seed=study.seed,
            sampler=given,
            constrained=bool(study.constraints),
            n_metrics=len(study.goals),
        )
    if kind.name == "grid":
        _ = study.space.grid_size  # says why there is no grid
        return SequenceSampler(RandomSearch(study.space, seed=study.seed))  # a grid begins with configs that are alike
    if kind.is_sequence:
        return SequenceSampler(_sequence(kind, study))
    sampler: Sampler = _made(kind, study, _SAMPLER_PLUGINS, Sampler)
    if study.further_goals:
        check_sampler(sampler)
    return sampler


def _calibration(study: Study, ladder: Ladder) -> tuple[int, int]:
    """Returns how many configs calibrate the ladder, and how many come before them.

    They come after a first bracket. With BOHB's own model they come after a round, and take the place of its last bracket:
    that model should learn full fidelity from the few configs that were promoted to it, not from as many random ones. At most
    a third of the remaining configs calibrate. If that is too few, the result is 0, and the search uses every fidelity.
    """
    n_rungs = len(ladder)
    of_kernels = study.search_alg == "bohb" and BOHB(**study.search_options).model == "kde"
    brackets = [bracket_sizes(n_rungs, kind, study.eta) for kind in range(max(n_rungs - 1, 1) if of_kernels else 1)]
    before = sum(sizes[0] for sizes in brackets)
    n = _CALIBRATION
    limits = _first_limits(study)
    for most in (limits.num_samples, study.space.size):
        if most is not None:
            n = min(n, (most - before) // 3)
    if limits.max_cost is not None:
        spent = sum(n * ladder[-1 - above] for sizes in brackets for above, n in enumerate(reversed(sizes)))
        n = min(n, int((limits.max_cost - spent) / (3 * sum(ladder))))
    return (n if n_rungs > 1 and n >= LEAST_CONFIGS else 0), before


@dataclass(frozen=True, slots=True)
class SearchChoice:
    """The search that a study uses.

    Args:
        kind: its kind.
        options: its settings that are not defaults.
        num_samples: how many new configs it may propose; None: no limit.
        why: why "auto" chose it; "" if the user did.
    """

    kind: SearchKind
    options: dict[str, Any]
    num_samples: int | None
    why: str = ""


def choose(
    search_alg: Any, space: Space, num_samples: int | None, max_cost: float | None, n_rungs: int
) -> SearchChoice:
    """Returns the search that a user's `search_alg` selects for a space.

    Args:
        search_alg: as the user gave it. "auto" chooses a grid if the whole space fits the user's limits (any finite space if
            there are none), else the model search.
        space: the space to search.
        num_samples: the user's limit; None: the whole grid, as many as `max_cost` allows, or 100.
        max_cost: the user's limit.
        n_rungs: the number of fidelities.
    """
    kind = search_kind_of(search_alg)
    default = _DEFAULT_SAMPLES if num_samples is None and max_cost is None else num_samples
    if isinstance(search_alg, BOHB):
        return SearchChoice(kind, asdict(search_alg), default)
    if isinstance(search_alg, Searcher) or kind.name == "grid":  # each knows when it is done
        return SearchChoice(kind, {}, num_samples)
    if kind.name != "auto":
        return SearchChoice(kind, {}, default)
    size, limit = space.size, min((most for most in (num_samples, max_cost) if most is not None), default=None)
    if size is not None and (limit is None or size <= limit):
        return SearchChoice(BUILT_IN["grid"], {}, num_samples, f"auto: grid, as the whole space has {size:,} configs.")
    uncounted = "more configs than can be counted" if space.is_finite else "infinitely many configs"
    has = uncounted if size is None else _more(size, num_samples, max_cost)
    why = f"auto: bohb with the model of TPE {_over(n_rungs)}, as the space has {has}."
    return SearchChoice(BUILT_IN["bohb"], asdict(AUTO), default, why)


def _over(n_rungs: int) -> str:
    return f"over {n_rungs} fidelities" if n_rungs > 1 else "at full fidelity"


def _more(size: int, num_samples: int | None, max_cost: float | None) -> str:
    bound = f"num_samples is {num_samples:,}" if num_samples is not None else f"max_cost is {max_cost:g}"
    return f"{size:,} configs and {bound}"

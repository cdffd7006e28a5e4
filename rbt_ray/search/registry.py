"""Searchers and samplers by name: the built-in ones, and those of other packages' entry points."""

from __future__ import annotations

from dataclasses import asdict, dataclass, is_dataclass, replace
from typing import Any

import numpy as np

from rbt_ray import plugins
from rbt_ray.errors import InputError, JournalError, SettingError, StudyMismatchError
from rbt_ray.nearest import nearest
from rbt_ray.search.bohb import BOHB
from rbt_ray.search.calibration import LEAST_CONFIGS
from rbt_ray.search.constrained_searcher import ConstrainedSearcher
from rbt_ray.search.fidelity_ladder import Ladder, bracket_sizes, ladder_from
from rbt_ray.search.fixed_sequence import FixedSequence
from rbt_ray.search.hyperband import Hyperband
from rbt_ray.search.infeasible import learn
from rbt_ray.search.random_search import RandomSearch
from rbt_ray.search.sampler import Sampler, SequenceSampler
from rbt_ray.search.scheduled_search import ScheduledSearch
from rbt_ray.search.scheduler_registry import (
    damage_explained,
    load_built_in,
    refuse_second_definition,
    scheduler_class,
    scheduler_from_json,
    scheduler_names,
)
from rbt_ray.search.searcher import Searcher
from rbt_ray.study.study import Study

_SEQUENCES = {
    "grid": "rbt_ray.search.grid_search:GridSearch",
    "random": "rbt_ray.search.random_search:RandomSearch",
    "sobol": "rbt_ray.search.sobol:SobolSearch",
}
_SEARCHER_PLUGINS, _SAMPLER_PLUGINS = "rbt_ray.searchers", "rbt_ray.samplers"
_CALIBRATION = 8
"""How many configs calibrate a ladder."""


@dataclass(frozen=True, slots=True)
class SearchKind:
    """A kind of search, with what the rest of the package needs to know about it.

    Args:
        name: the `search_alg` of a study's definition.
        learns: whether it is a sampler that learns from results, and so takes `warm_start`.
        proposes_alone: whether it proposes whole trials, and so takes neither a scheduler nor points to evaluate first.
        brings_scheduler: whether it uses Hyperband if the user gives no scheduler.
        limits_itself: whether it stops after `num_samples` configs; the engine counts the configs of others.
        is_object: whether it is an object of the user's, which a resumed study needs again.
    """

    name: str
    learns: bool = False
    proposes_alone: bool = False
    brings_scheduler: bool = False
    limits_itself: bool = True
    is_object: bool = False


_AUTO = SearchKind("auto", brings_scheduler=True)
_OBJECT = SearchKind("custom", limits_itself=False, is_object=True)
BUILT_IN = {
    **{name: SearchKind(name) for name in _SEQUENCES},
    "bohb": SearchKind("bohb", learns=True, brings_scheduler=True),
    "tpe": SearchKind("tpe", learns=True),
}
MODELS = tuple(name for name, kind in BUILT_IN.items() if kind.learns)
"""The built-in searches that learn."""


def check_search_alg(search_alg: Any) -> SearchKind:
    """Returns the kind of search of a user's `search_alg`, after checking that its name has one definition.

    Raises:
        SettingError: it is no known name, and no object that can search.
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
    is_class, from_ray = isinstance(search_alg, type), _is_from(search_alg, "ray.tune.search")
    if is_class or not (from_ray or isinstance(search_alg, Searcher) or _is_from(search_alg, "optuna.samplers")):
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
        return SearchKind(name, proposes_alone=True, limits_itself=False)
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
        return _obedient(given, study)
    if given is not None and _is_from(given, "ray.tune.search"):
        from rbt_ray.search.tune_searcher import TuneSearcher

        return TuneSearcher(study.space, given, limit=study.num_samples)
    kind, scheduler = recorded_kind(study), scheduler_from_json(study.scheduler)
    if kind.proposes_alone:
        return _obedient(_made_by_plugin(_SEARCHER_PLUGINS, study, Searcher), study)
    if scheduler is None and kind.name in _SEQUENCES:
        return _sequence(study, limit=study.num_samples, points_to_evaluate=study.points_to_evaluate)
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


def _obedient(searcher: Searcher, study: Study) -> Searcher:
    """Returns a searcher that proposes nothing that breaks a constraint."""
    knows = not study.space.constraints or isinstance(searcher, (ScheduledSearch, FixedSequence))
    return searcher if knows else ConstrainedSearcher(study.space, searcher)


def _made_by_plugin(group: str, study: Study, protocol: type[Any]) -> Any:
    make: Any = plugins.load(group, study.search_alg)
    try:
        made = make(study.space, seed=study.seed)
    except TypeError as error:
        raise InputError(
            f"The entry point {study.search_alg!r} of {group!r} is called with (space, seed=...), and raises: {error}."
        ) from error
    if not isinstance(made, protocol):
        raise InputError(
            f"The entry point {study.search_alg!r} of {group!r} makes a {type(made).__name__}, which lacks a member of "
            f"{protocol.__module__}.{protocol.__name__}."
        )
    return made


def _sequence(study: Study, **options: Any) -> FixedSequence:
    sequence: FixedSequence = load_built_in(_SEQUENCES[study.search_alg])(study.space, seed=study.seed, **options)
    return sequence


def _sampler(study: Study, given: Any) -> Sampler:
    sampler = _fresh_sampler(study, given)
    for prior in study.warm_start:
        learn(sampler, np.array(prior.point), prior.fidelity, prior.loss, prior.violation)
    return sampler


def _fresh_sampler(study: Study, given: Any) -> Sampler:
    if given is not None or study.search_alg == "tpe":
        from rbt_ray.search.optuna_sampler import OptunaSampler

        return OptunaSampler(study.space, seed=study.seed, sampler=given, constrained=bool(study.constraints))
    if study.search_alg == "bohb":
        with damage_explained("`search_alg`"):
            bohb = BOHB(**study.search_options)
        return bohb.sampler(study.space, study.seed)
    if study.search_alg == "grid":
        _ = study.space.grid_size  # says why there is no grid
        return SequenceSampler(RandomSearch(study.space, seed=study.seed))  # a grid begins with configs that are alike
    if study.search_alg in _SEQUENCES:
        return SequenceSampler(_sequence(study))
    sampler: Sampler = _made_by_plugin(_SAMPLER_PLUGINS, study, Sampler)
    return sampler


def _calibration(study: Study, ladder: Ladder) -> tuple[int, int]:
    """Returns how many configs calibrate the ladder, and how many come before them.

    They come after a first bracket. With BOHB's own model they come after a round, and take the place of its last bracket:
    that model should learn full fidelity from the few configs that were promoted to it, not from as many random ones. They
    are at most a third of the configs left by then. If that is too few, the result is 0, and the search uses every fidelity.
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
    """Returns whether an object's class or a base class of it is from these packages; imports none of them."""
    return any(base.__module__.startswith(packages) for base in type(given).__mro__)

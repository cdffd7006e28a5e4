"""Everything a Tuner needs to run a study: prepared once, from the user's arguments or from a journal."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rbt_ray.errors import BundleError, BundleNotFoundError
from rbt_ray.objectives.address import address_of
from rbt_ray.objectives.kind import kind_of
from rbt_ray.objectives.validate import check_constrained_metrics, check_objective
from rbt_ray.pool.local.start_method import require_children
from rbt_ray.search.registry import object_again, object_of
from rbt_ray.store.continuation import extended, study_of, with_space
from rbt_ray.store.journal import Extended, Journal
from rbt_ray.store.location import StudyLocation
from rbt_ray.store.storage import is_uri
from rbt_ray.study.fixed import refuse_lists
from rbt_ray.study.limits import Limits
from rbt_ray.study.space import Space
from rbt_ray.study.study import Study
from rbt_ray.study.windows import Window
from rbt_ray.tuner.changed_prices import damaged_bundle_error
from rbt_ray.tuner.config import RunConfig, TuneConfig, check_constraints, with_saved_settings
from rbt_ray.tuner.definition import define, reopen_bundle, resolve_bundle, split_constraints
from rbt_ray.tuner.extension import extension
from rbt_ray.tuner.pools import backend_of, check_workers
from rbt_ray.tuner.same_objective import require_same_objective
from rbt_ray.tuner.storage_folder import lasting_path, print_if_moved, study_path

if TYPE_CHECKING:
    from rbt_ray.data.bundle import Bundle


@dataclass(frozen=True, slots=True, eq=False)
class StudyPlan:
    """A study that is ready to run.

    Args:
        objective: the user's objective.
        study: the study's definition.
        bundle: the prices; None for an objective without.
        location: where the study is kept.
        run_config: where and how to run it.
        search_alg: the user's own searcher or sampler object; None if the study names its search.
        is_new: whether the study has no journal yet.
        time_budget_s: seconds after which the run stops; None: no limit.
        accept_changes: whether to continue although the objective or the accounting rules have changed.
        window: the window whose training bars fidelities are a share of; None: all training bars.
        derived: the fields of a new study's definition that the user left open.
        extension: what to record before the study continues, which `study` has already; None: it continues as it is.
    """

    objective: Any
    study: Study
    bundle: Bundle | None
    location: StudyLocation
    run_config: RunConfig
    search_alg: Any
    is_new: bool
    time_budget_s: float | None = None
    accept_changes: bool = False
    window: Window | None = None
    derived: frozenset[str] = frozenset()
    extension: Extended | None = None


def plan_new(
    objective: Any,
    param_space: Any,
    bundle: Bundle | str | None,
    tune_config: TuneConfig,
    run_config: RunConfig,
    *,
    stacklevel: int,
) -> StudyPlan:
    """Prepares a study that has not begun, from the arguments of `Tuner`; warnings point at the caller's `stacklevel`.

    Raises:
        InputError: an argument cannot be used.
    """
    if backend_of(run_config) == "local":
        require_children()
    check_workers(run_config)
    prices = resolve_bundle(bundle, objective, tune_config)
    if prices is not None and kind_of(objective).provider is None:
        from rbt_ray.data.holes import warn_of_holes

        warn_of_holes(prices, stacklevel=stacklevel + 1)
    refuse_lists(param_space)
    given = check_constraints((*tune_config.constraints, *kind_of(objective).constraints))
    space, constraints = split_constraints(given, Space.of(param_space))
    for goal in tune_config.goals:
        check_objective(objective, space, goal.metric, prices, reports=tune_config.fidelity == "reports")
    study = define(objective, space, prices, tune_config, run_config, constraints)
    check_constrained_metrics(objective, study.constrained_metrics)
    path = study_path(run_config, study.name)
    print_if_moved(run_config.storage_path, path)
    return StudyPlan(
        objective=objective,
        study=study,
        bundle=prices,
        location=StudyLocation(path, run_config.mirror_interval_s),
        run_config=run_config,
        search_alg=object_of(tune_config.search_alg),
        is_new=True,
        time_budget_s=tune_config.time_budget_s,
        derived=frozenset(name for name in ("seed", "max_pending") if getattr(tune_config, name) is None),
    )


def plan_restored(
    path: str | Path,
    objective: Any,
    param_space: Any,
    search_alg: Any,
    run_config: RunConfig,
    *,
    accept_changes: bool,
    limits: Callable[[Study], Limits] = lambda study: study.limits,
) -> StudyPlan:
    """Prepares to continue a study, from the arguments of `Tuner.restore`, which lists the errors raised.

    Args:
        path: the study's folder or URI.
        objective: the user's objective.
        param_space: the study's space, or a grid that contains it; None: the study's.
        search_alg: a new searcher or sampler object; None if the study names its search.
        run_config: where and how to run it.
        accept_changes: as in `Tuner.restore`.
        limits: returns the limits to extend the study to; by default, those it has.
    """
    path = lasting_path(path)
    location = StudyLocation(path, run_config.mirror_interval_s)
    folder = location.fetch()
    with closing(Journal(folder)) as journal:
        study = study_of(journal)
    space = study.space
    if param_space is not None:
        space = Space.of(param_space)
        space = space if space.constraints else replace(space, constraints=study.space.constraints)
    if space.fingerprint == study.space.fingerprint:  # then it may have options that the file only names
        study = with_space(study, space)
    event = extension(study, limits(study), space)
    study = study if event is None else extended(study, event)
    study.space.require_options()
    if not accept_changes:
        require_same_objective(study.objective, address_of(objective), folder)
    search_alg = object_again(study, search_alg)
    try:
        bundle = reopen_bundle(study.bundle, folder, objective, verify=is_uri(path))
    except BundleNotFoundError:
        raise
    except BundleError as damage:
        raise damaged_bundle_error(damage, location) from None
    return StudyPlan(
        objective=objective,
        study=study,
        bundle=bundle,
        location=location,
        run_config=with_saved_settings(run_config, study.run),
        search_alg=search_alg,
        is_new=False,
        time_budget_s=study.time_budget_s,
        accept_changes=accept_changes,
        extension=event,
    )

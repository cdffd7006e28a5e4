"""Turns a Tuner's arguments into the study's definition and its prices."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rbt_ray.errors import SettingError, StudyMismatchError
from rbt_ray.objectives.fingerprint.address import address_by_name
from rbt_ray.objectives.kind import kind_of
from rbt_ray.search.choose import choose
from rbt_ray.search.fidelity_ladder import ladder_from
from rbt_ray.search.random_search import RandomSearch
from rbt_ray.search.registry import MODELS, make_searcher, search_kind_of
from rbt_ray.search.scheduler_registry import scheduler_to_json
from rbt_ray.store.location import OWN_BUNDLE
from rbt_ray.study.constraint_parser import parse_all
from rbt_ray.study.space import Space
from rbt_ray.study.study import BundleId, Study
from rbt_ray.tuner.config import RunConfig, TuneConfig, non_default_settings
from rbt_ray.tuner.fidelity import lowest_fidelity
from rbt_ray.tuner.warm_start import best_prior_configs, prior_results
from rbt_ray.types import ACCOUNTING

if TYPE_CHECKING:
    from rbt_ray.data.bundle import Bundle

_PENDING_LEARNING, _PENDING_OTHERS = 32, 2**17


def split_constraints(constraints: Sequence[str], space: Space) -> tuple[Space, tuple[str, ...]]:
    """Returns the space with the constraints on parameters alone, and the constraints that name metrics.

    Args:
        constraints: their texts.
        space: the space.

    Raises:
        SettingError: one of them is no constraint.
    """
    found = parse_all(constraints, space.known_names)
    return (
        space.constrained([one.text for one in found if not one.metrics]),
        tuple(one.text for one in found if one.metrics),
    )


def define(
    objective: Any, space: Space, bundle: Bundle | None, tune: TuneConfig, run: RunConfig, constraints: tuple[str, ...]
) -> Study:
    """Returns the study's definition, with a value for every setting that was left open.

    Args:
        objective: the objective.
        space: the space, with its constraints.
        bundle: the prices.
        tune: what to search; its constraints are in `space` and `constraints`.
        run: how to run it.
        constraints: those that name metrics.

    Raises:
        InputError: the settings contradict each other, or cannot be used with this space.
    """
    from rbt_ray.data.holdout import holdout_start

    if bundle is None and tune.holdout is not None:
        raise SettingError(
            "`holdout` hides the last bars of a bundle from the search, and there is no `bundle`: pass one."
        )
    train_bars = 0 if bundle is None else holdout_start(bundle, tune.holdout)
    has_rungs = tune.scheduler is not None or search_kind_of(tune.search_alg).brings_scheduler
    lowest = lowest_fidelity(tune, objective, space, bundle, train_bars) if has_rungs else 1.0
    n_rungs = len(ladder_from(lowest, tune.eta))
    choice = choose(tune.search_alg, space, tune.num_samples, tune.max_cost, n_rungs)
    if tune.warm_start is not None and not choice.kind.learns:
        raise SettingError(
            f"`warm_start` needs a search that learns ({', '.join(MODELS)}); this one is {choice.kind.name!r}."
        )
    scheduler = tune.scheduler or ("hyperband" if choice.kind.brings_scheduler and lowest < 1 else None)
    study = Study(
        name=run.name or _name_for(objective),
        space=space,
        metric=tune.metric,
        mode=tune.mode,
        search_alg=choice.kind.name,
        num_samples=choice.num_samples,
        seed=secrets.randbits(32) if tune.seed is None else tune.seed,
        max_pending=0,
        deterministic=tune.deterministic,
        objective=address_by_name(objective),
        max_cost=tune.max_cost,
        bundle=None if bundle is None else BundleId(bundle.name, bundle.version, bundle.n_bars, train_bars),
        recheck=run.recheck,
        run=non_default_settings(run),
        search_options=choice.options,
        scheduler=scheduler_to_json(scheduler),
        fidelity=tune.fidelity,
        lowest_fidelity=lowest if scheduler is not None else 1.0,
        eta=tune.eta,
        max_reports=tune.max_reports,
        why=choice.why,
        accounting=ACCOUNTING,
        constraints=constraints,
    )
    prior = () if tune.warm_start is None else prior_results(tune.warm_start, study)
    points = [*(tune.points_to_evaluate or ()), *best_prior_configs(prior, space)]
    first = tuple(space.decode(space.encode(points)))  # in plain Python values
    study = replace(study, warm_start=prior, points_to_evaluate=first)
    # Creating the searcher here reports a space it cannot search before anything starts. The user's own object is not made
    # again: it serves one run.
    searcher = tune.search_alg if choice.kind.is_object else make_searcher(study)
    if space.constraints:
        _ = RandomSearch(space, seed=study.seed).done  # says if they leave nothing
    learns = getattr(searcher, "learns", True)
    return replace(study, max_pending=tune.max_pending or (_PENDING_LEARNING if learns else _PENDING_OTHERS))


def _name_for(objective: Any) -> str:
    name = getattr(objective, "__name__", type(objective).__name__).strip("<>_").lower() or "study"
    return f"{name}-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"


def resolve_bundle(bundle: Bundle | str | None, objective: Any, tune: TuneConfig) -> Bundle | None:
    """Returns the prices of a new study: the bundle that was passed or named, or the objective's own.

    Raises:
        SettingError: `bundle` is neither a bundle nor a name, or the objective brings its own.
        BundleNotFoundError: no bundle of that name is registered.
    """
    if (provider := kind_of(objective).provider) is not None:
        if bundle is not None or tune.fidelity != "prefix":
            raise SettingError(
                "this objective brings its own data and its own fidelity (it ends earlier): leave out `bundle` and `fidelity`."
            )
        return provider.bundle
    if bundle is None:
        return None
    from rbt_ray.data.bundle import Bundle
    from rbt_ray.data.registry import load_bundle

    if isinstance(bundle, str):
        return load_bundle(bundle)
    if not isinstance(bundle, Bundle):
        raise SettingError(
            f"`bundle` is a Bundle or the name of a registered one; got a {type(bundle).__name__}. "
            f"Convert a data frame with `rbt.Bundle.from_frame(df)`."
        )
    return bundle


def reopen_bundle(wanted: BundleId | None, folder: Path, objective: Any, *, verify: bool) -> Bundle | None:
    """Opens the prices that a study was begun with.

    Args:
        wanted: the bundle's identity in the study's definition; None for a study without prices.
        folder: the study's folder.
        objective: the study's objective, which may bring its own prices.
        verify: compare the content of the study's own bundle with its hash; needed if it was downloaded from a mirror.

    Raises:
        StudyMismatchError: the bundle in the folder, or the objective's own, is another one.
        BundleNotFoundError: the bundle is no longer registered.
    """
    from rbt_ray.data.bundle import Bundle
    from rbt_ray.data.registry import load_bundle

    if wanted is None:
        return None
    own = folder / OWN_BUNDLE
    # Others may write to a mirror, so a bundle from there must have the hash of its version.
    bundle = Bundle.open(own, verify=verify) if own.exists() else load_bundle(wanted.name or "", wanted.version)
    if bundle.version != wanted.version:
        raise StudyMismatchError(f"the bundle in {own} is not the one the study was begun with.")
    if (provider := kind_of(objective).provider) is not None and provider.bundle.version != wanted.version:
        raise StudyMismatchError("the objective's data, or its dates, are not those the study was begun with.")
    return bundle

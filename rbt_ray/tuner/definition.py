"""Turns a Tuner's arguments into the study's definition and its prices."""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from rbt_ray import metric_columns
from rbt_ray.columns import Outcomes
from rbt_ray.data.bundle import Bundle
from rbt_ray.data.fidelity import N_BLOCKS, share_of
from rbt_ray.errors import SettingError, SpaceError, StudyMismatchError
from rbt_ray.objectives.address import address_by_name
from rbt_ray.objectives.kind import kind_of
from rbt_ray.search.encoding import MOST_RESULTS
from rbt_ray.search.random_draws import RandomSearch
from rbt_ray.search.registry import MODELS, choose, make_searcher, search_kind_of
from rbt_ray.search.scheduler import Ladder, ladder_from
from rbt_ray.search.scheduler_registry import scheduler_to_json
from rbt_ray.simulate.metrics import ALL_METRICS
from rbt_ray.store.location import OWN_BUNDLE
from rbt_ray.study.constraint_parser import parse_all
from rbt_ray.study.limits import check_stop
from rbt_ray.study.space import Space
from rbt_ray.study.study import BundleId, PriorResult, Study
from rbt_ray.study.windows import WindowPlan
from rbt_ray.tuner.benchmark import study_benchmark
from rbt_ray.tuner.config import RunConfig, TuneConfig, non_default_settings
from rbt_ray.tuner.result_grid import ResultGrid
from rbt_ray.tuner.splits import resolve
from rbt_ray.types import ACCOUNTING, Config, Metrics

_TRIED = 256
_MIN_BARS = 252
"""One year of days: on fewer bars a Sharpe ratio is mostly noise."""
_PENDING_WITHOUT_LEARNING = 2**17


def lowest_fidelity(
    settings: TuneConfig, objective: Any, space: Space, bundle: Bundle | None, train_bars: int
) -> float:
    """Returns `min_fidelity`, raised by factors of eta until it is informative; 1 if fidelity has no meaning.

    Every rung must use more bars, symbols or reports than the one below. If the metric is one of a Backtest, a share of the
    bars must hold 252 of them and twice the objective's `warmup`.

    Args:
        settings: the study's settings.
        objective: may have a `warmup`: a number of bars, or a function from a config to one.
        space: the study's space; a `warmup` function is called with some of its configs.
        bundle: the prices.
        train_bars: the number of bars that the search may use.

    Raises:
        SettingError: there is a scheduler but no fidelity for it to choose; or `warmup` fails.
    """
    if settings.fidelity != "reports" and bundle is None:
        if settings.scheduler is not None:
            raise SettingError(
                "`scheduler` chooses fidelities, and there are none without a `bundle`: pass a bundle, or let the objective "
                "call `rbt.report` and set `fidelity='reports'` and `max_reports`."
            )
        return 1.0
    of_backtests = {metric.name for metric in ALL_METRICS}
    counts_bars = settings.fidelity in ("prefix", "blocks") and any(
        goal.metric in of_backtests for goal in settings.goals
    )
    min_bars = max(_MIN_BARS, 2 * _warmup(objective, space)) if counts_bars else 1

    def size(fidelity: float) -> int:
        if settings.max_reports is not None:
            return share_of(fidelity, settings.max_reports)
        assert bundle is not None
        if settings.fidelity == "symbols":
            return share_of(fidelity, bundle.n_symbols)
        if settings.fidelity == "blocks":
            return N_BLOCKS * share_of(fidelity, max(train_bars // N_BLOCKS, 1))
        return share_of(fidelity, train_bars)

    def is_informative(ladder: Ladder) -> bool:
        sizes = [size(fidelity) for fidelity in ladder]
        return len(sizes) == 1 or (len(set(sizes)) == len(sizes) and sizes[0] >= min_bars)

    ladder = ladder_from(settings.min_fidelity, settings.eta)
    while not is_informative(ladder):
        ladder = ladder[1:]
    return ladder[0]


def _warmup(objective: Any, space: Space) -> int:
    """Returns the longest warm-up, in bars, of the lowest config, the highest and some between."""
    warmup = getattr(objective, "warmup", 0)
    corners = np.array([[0.0], [np.nextafter(1.0, 0.0)]]) * np.ones(space.n_params)
    tried = np.concatenate([corners, np.random.default_rng(0).random((_TRIED, space.n_params))])
    try:
        if not callable(warmup):
            return int(warmup)
        points = space.canonical(space.from_unit(tried))
        return max(int(warmup(config)) for config in space.decode(points))
    except Exception as error:  # a user's own code
        raise SettingError(
            f"the objective's `warmup` is a number of bars, or a function that returns one for every config of the space; it "
            f"raised {type(error).__name__}: {error}."
        ) from error


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
    has_rungs = tune.scheduler is not None or search_kind_of(tune.search_alg).has_default_scheduler
    lowest = lowest_fidelity(tune, objective, space, bundle, train_bars) if has_rungs else 1.0
    n_rungs = len(ladder_from(lowest, tune.eta))
    choice = choose(tune.search_alg, space, tune.num_samples, tune.max_cost, n_rungs)
    if tune.warm_start is not None and not choice.kind.learns:
        raise SettingError(
            f"`warm_start` needs a search that learns ({', '.join(MODELS)}); this one is {choice.kind.name!r}."
        )
    scheduler = tune.scheduler or ("hyperband" if choice.kind.has_default_scheduler and lowest < 1 else None)
    study = Study(
        name=run.name or _name_for(objective),
        space=space,
        metric=tune.goals[0].metric,
        mode=tune.goals[0].mode,
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
        benchmark=study_benchmark(tune.benchmark, bundle, train_bars),
        audit=tune.audit,
        constraints=constraints,
        time_budget_s=tune.time_budget_s,
        stop=check_stop(tune.stop),
        further_goals=tune.goals[1:],
        most_results=MOST_RESULTS if choice.kind.is_bounded else None,
    )
    if study.audit and (bundle is None or not study.is_adaptive):
        what = "there is no `bundle`" if bundle is None else f"the results of {study.search_alg!r} choose no trials"
        raise SettingError(
            f"`audit` is for searches on a bundle whose results decide which trials follow, and {what}: leave it out."
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
    return replace(
        study,
        max_pending=tune.max_pending or (None if learns else _PENDING_WITHOUT_LEARNING),
        validation=_validation(tune, objective, bundle, train_bars, learns=learns, judges_metrics=bool(constraints)),
    )


def _validation(
    tune: TuneConfig, objective: Any, bundle: Bundle | None, train_bars: int, *, learns: bool, judges_metrics: bool
) -> WindowPlan | None:
    if tune.validation is None:
        return None
    if bundle is None or kind_of(objective).provider is not None:
        raise SettingError(
            "`validation` splits the bars of a `bundle`: pass one, with an objective that gets its prices from it."
        )
    if judges_metrics:
        raise SettingError(
            "`validation` chooses by the metric in each window, and does not judge `constraints` on metrics there: leave one "
            "of them out, or use the `min_trades` of the validation."
        )
    if learns and tune.fidelity == "blocks":
        raise SettingError(
            "`validation` runs a search that learns again in each window, and `fidelity='blocks'` has no meaning there: use "
            "'prefix' or 'symbols'."
        )
    return resolve(tune.validation, bundle, train_bars)


def _name_for(objective: Any) -> str:
    name = getattr(objective, "__name__", type(objective).__name__).strip("<>_").lower() or "study"
    return f"{name}-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"


def resolve_bundle(bundle: Bundle | str | None, objective: Any, tune: TuneConfig) -> Bundle | None:
    """Returns the prices of a new study: the bundle that was passed or named, or the objective's own.

    Raises:
        SettingError: `bundle` is neither a bundle nor a name, or the objective provides its own.
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
        objective: the study's objective, which may provide its own prices.
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


def prior_results(given: Any, study: Study) -> tuple[PriorResult, ...]:
    """Returns completed results in the form a sampler learns from; skips configs outside the space.

    Trials of a `ResultGrid` are judged by the new study's constraints on metrics. Other rows have no further metrics, and
    count as feasible.

    Args:
        given: a `ResultGrid`; a study's folder; an hpbandster `Result`, whose losses are used as this metric; or rows of
            (config, fidelity, metric).
        study: the new study; results without its metric are skipped.

    Raises:
        SettingError: `given` is something else, or contains no usable result.
    """
    prior = []
    n_finite = 0
    metric, sign = study.metric, -1.0 if study.mode == "max" else 1.0
    for config, fidelity, value, metrics in _rows(given, metric, sign):
        if not np.isfinite(value):
            continue
        n_finite += 1
        try:
            point = study.space.encode([config])
        except SpaceError:
            continue
        broken = None
        if metrics is not None:
            outcomes = Outcomes(np.zeros(1, np.uint8), metric_columns.from_rows([metrics]), {}, np.zeros(1))
            broken = study.violation(point, outcomes, fidelity)
        violation = 0.0 if broken is None else float(broken[0])
        prior.append(PriorResult(tuple(point[0].tolist()), float(fidelity), sign * float(value), violation))
    if not n_finite:
        raise SettingError(
            f"`warm_start` has no result with a finite {metric!r}: no trial completed, or none returned that metric."
        )
    if not prior:
        raise SettingError(
            f"`warm_start` has no result with a {metric!r} whose config lies in this study's space: check that its parameters "
            f"have the same names and domains."
        )
    return tuple(prior)


def best_prior_configs(prior: tuple[PriorResult, ...], space: Space) -> list[Config]:
    """Returns the best config at the highest fidelity, if any; a search that has learned it would not propose it again."""
    if not prior:
        return []
    highest = max(one.fidelity for one in prior)
    best = min((one for one in prior if one.fidelity == highest), key=lambda one: (one.violation, one.loss))
    return space.decode(np.array([best.point]))


def _rows(given: Any, metric: str, sign: float) -> Iterator[tuple[Config, float, float, Metrics | None]]:
    if isinstance(given, (str, Path)):
        given = ResultGrid(given)
    if isinstance(given, ResultGrid):
        for row, result in enumerate(given):
            value = result.metrics.get(metric)
            if isinstance(value, (int, float)) and row not in given.table.outcomes.shares:
                yield result.config, result.fidelity, value, result.metrics
        return
    if type(given).__module__.startswith("hpbandster."):
        from rbt_ray.export.hpbandster_result import runs_of

        yield from ((config, share, sign * loss, None) for config, share, loss in runs_of(given) if loss is not None)
        return
    if not isinstance(given, Iterable):
        raise SettingError(
            f"`warm_start` is a ResultGrid, a study's folder, an hpbandster Result, or rows of (config, fidelity, {metric}); got {given!r}."
        )
    for row in given:
        try:
            config, share, value = row
            config, fidelity, number = dict(config), float(share), float(value)
        except (TypeError, ValueError):
            fidelity = math.nan
        if not 0 < fidelity <= 1:
            raise SettingError(
                f"rows of `warm_start` are (config, fidelity above 0 and at most 1, {metric}); got {row!r}."
            )
        yield config, fidelity, number, None

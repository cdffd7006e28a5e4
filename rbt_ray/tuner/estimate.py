"""Estimates what a study will take, from a few of its configs: trials, cost, seconds and bytes of its journal."""

from __future__ import annotations

import math
import tempfile
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from rbt_ray.columns import Outcomes
from rbt_ray.engine.frontier import Frontier
from rbt_ray.errors import FailedTrialsWarning, NoResultError
from rbt_ray.metric_columns import Column
from rbt_ray.search.registry import make_searcher, recorded_kind
from rbt_ray.store.journal import Finished, Journal
from rbt_ray.store.journal_file import FILE_NAME
from rbt_ray.study.study import Study
from rbt_ray.tuner.config import RunConfig, TuneConfig
from rbt_ray.tuner.plan import plan_new
from rbt_ray.tuner.result_grid import ResultGrid
from rbt_ray.tuner.tuner import Tuner
from rbt_ray.types import COMPLETED, FloatArray

_N_CONFIGS = (16, 256, 4096)
"""How many configs are measured, as long as they take less than `_LEAST_SECONDS`."""
_LEAST_SECONDS = 1.0
_MOST_SIMULATED = 10_000


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a study will take; pairs are the least and the most, by how well lower fidelities rank configs.

    Args:
        trials: the number of trials.
        cost: in evaluations at full fidelity.
        seconds: the time of the search, without what follows it.
        journal_bytes: the size of the journal.
        n_configs: how many configs were measured.
        seconds_per_config: the time that a worker takes for a config at full fidelity.
        n_workers: the number of workers.
    """

    trials: tuple[int, int]
    cost: tuple[float, float]
    seconds: tuple[float, float]
    journal_bytes: tuple[int, int]
    n_configs: int
    seconds_per_config: float
    n_workers: int


def estimate(objective: Any, param_space: Any, bundle: Any, tune: TuneConfig, run: RunConfig) -> Estimate:
    """Returns an estimate for a study, and leaves nothing of it on the disk.

    A search that may stop early (`stop`, `time_budget_s`, `max_failures`) is estimated as if it did not.

    Args:
        objective: as in `Tuner`.
        param_space: as in `Tuner`.
        bundle: as in `Tuner`.
        tune: what to search.
        run: where and how to run it.

    Raises:
        InputError: an argument cannot be used.
        NoResultError: none of the measured configs completed.
    """
    study = plan_new(objective, param_space, bundle, tune, run, stacklevel=3).study
    counts = sorted(_counts(study, agree=agree) for agree in (True, False))
    few = replace(
        tune,
        search_alg="random",
        scheduler=None,
        points_to_evaluate=None,
        warm_start=None,
        validation=None,
        max_cost=None,
        time_budget_s=None,
        audit=None,
        stop=None,
        seed=study.seed,
    )
    with tempfile.TemporaryDirectory(prefix="rbt-ray-estimate-") as folder:
        empty = _journal_bytes(_begun(Path(folder) / "empty", study))
        for n in _N_CONFIGS:
            settings = replace(
                run, name=f"estimate-{n}", storage_path=folder, exist="refuse", recheck=0, callbacks=(), verbose=0
            )
            tuned = replace(few, num_samples=n)
            tuner = Tuner(objective, param_space=param_space, bundle=bundle, tune_config=tuned, run_config=settings)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FailedTrialsWarning)  # the study itself will say so
                results = tuner.fit()
            last = results.runs[-1]
            if not results.num_terminated:
                raise NoResultError(
                    f"no config of {len(results)} completed, so there is no estimate. The first: {results.errors[0]}"
                )
            if len(results) < n or last.wall_s >= _LEAST_SECONDS or n >= counts[-1][0]:
                break
        n_bytes = max(_journal_bytes(results.path) - empty, 0) / len(results)
    seconds = _seconds_per_config(results)
    low, high = counts[0], counts[-1]
    workers = last.n_workers
    return Estimate(
        trials=(low[0], high[0]),
        cost=(min(low[1], high[1]), max(low[1], high[1])),
        seconds=tuple(sorted(cost * seconds / min(workers, n) for n, cost in (low, high))),  # type: ignore[arg-type]
        journal_bytes=(round(empty + low[0] * n_bytes), round(empty + high[0] * n_bytes)),
        n_configs=len(results),
        seconds_per_config=seconds,
        n_workers=workers,
    )


def _seconds_per_config(results: ResultGrid) -> float:
    """Returns the time of a worker for a config: with its share of the engine's if many of them fit into a second."""
    last, n = results.runs[-1], len(results)
    by_duration = float(np.median(results.table.outcomes.duration_s))
    return by_duration if n <= _N_CONFIGS[0] else max(by_duration, last.wall_s * last.n_workers / n)


def _begun(folder: Path, study: Study) -> Path:
    folder.mkdir()
    Journal.create(folder, study.to_json()).close()
    return folder


def _journal_bytes(folder: Path) -> int:
    return (folder / FILE_NAME).stat().st_size


def _counts(study: Study, *, agree: bool) -> tuple[int, float]:
    """Returns the number of trials and their cost.

    Args:
        study: the definition.
        agree: whether all fidelities rank configs alike; else each ranks them at random.

    Raises:
        NoResultError: the number of trials has no limit that is known beforehand.
    """
    kind = recorded_kind(study)
    if study.scheduler is None or study.lowest_fidelity == 1 or kind.proposes_alone:
        most = None if study.max_cost is None else math.floor(study.max_cost * (1 + 1e-9))
        known = [n for n in (study.space.size, study.num_samples, most) if n is not None]
        if not known:
            raise NoResultError("the search has no limit, so there is no estimate: set `num_samples` or `max_cost`.")
        return min(known), float(min(known))
    n, limit = study.num_samples, study.num_samples
    if n is not None and n > _MOST_SIMULATED:
        limit = _MOST_SIMULATED
    trials, cost = _simulated(replace(study, num_samples=limit), agree=agree)
    scale = 1.0 if n is None or limit is None else n / limit
    return round(trials * scale), cost * scale


def _simulated(study: Study, *, agree: bool) -> tuple[int, float]:
    """Returns trials and cost of a search with a scheduler over random configs with random losses."""
    study = replace(study, search_alg="random", search_options={}, warm_start=(), constraints=(), stop=None)
    rng = np.random.default_rng(study.seed)
    frontier = Frontier(study, make_searcher(study))
    known: dict[bytes, float] = {}
    n, cost = 0, 0.0
    while True:
        for batch in frontier.advance():
            n += len(batch)
            cost += float(batch.fidelity.sum())
            for row in range(len(batch)):
                loss = float(rng.random())
                if agree:
                    loss = known.setdefault(batch.points[row].tobytes(), loss)
                frontier.finish(_finished(study, batch.first + row, batch.points[[row]], batch.fidelity[row], loss))
        if frontier.done:
            return n, cost


def _finished(study: Study, trial: int, point: FloatArray, fidelity: float, loss: float) -> Finished:
    value = Column("float", np.array([loss]), np.ones(1, dtype=bool))
    outcomes = Outcomes(np.full(1, COMPLETED, np.uint8), {study.metric: value}, {}, np.zeros(1))
    return Finished(np.array([trial]), point, float(fidelity), outcomes, "", 0.0, 0.0, 0.0)

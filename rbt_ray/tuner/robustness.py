"""Checks how robust the best trial of a study is, each check as a batch on the study's workers."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from threading import Event
from typing import Any, cast

import numpy as np

from rbt_ray.analysis.robustness import CostFactors, MonteCarlo, Noise, Plateau, Robustness, Starts, monte_carlo
from rbt_ray.analysis.sensitivity import Grid, Line, Sensitivity
from rbt_ray.engine.review import batch_numbers, run_alone
from rbt_ray.errors import NoResultError, SettingError, StudyInterrupted
from rbt_ray.nearest import nearest
from rbt_ray.objectives.kind import kind_of
from rbt_ray.objectives.out_of_sample import OutOfSample
from rbt_ray.objectives.variants import CASE, SCALED, Change, variants_of
from rbt_ray.pool.pool import Batch, Job, WorkerPool
from rbt_ray.store.table import TrialTable
from rbt_ray.study.space import Space, grid_search
from rbt_ray.study.trials import nested_seed, trial_seeds
from rbt_ray.study.windows import Window
from rbt_ray.tuner.neighbours import RADIUS, is_config, levels, moved, neighbours, values_at
from rbt_ray.tuner.nested import NestedStudies, alone, evaluator, run_configs
from rbt_ray.types import FloatArray, is_integer, is_real

_COSTS = (2.0, 5.0)
_ORDERS = 1_000
_LINE, _GRID = 9, 5
_MOST_RUNS = 100_000


@dataclass(frozen=True, slots=True)
class Settings:
    """What the checks do.

    Args:
        checks: their names; None: all that can be done.
        n: the most neighbours, and the number of noisy copies and of first bars.
        noise: the deviation of the noise, as a share of the deviation of each symbol's returns.
        jitter: the share of the training bars that the first bar is drawn from.
        radius: how near neighbours are, as a share of each parameter's domain.

    Raises:
        SettingError: one of these has a value that is not allowed.
    """

    checks: Iterable[str] | None = None
    n: int = 50
    noise: float = 0.2
    jitter: float = 0.1
    radius: float = RADIUS

    def __post_init__(self) -> None:
        if self.checks is not None:
            given = [self.checks] if isinstance(self.checks, str) else list(self.checks)
            for name in given:
                if name not in Robustness.CHECKS:
                    raise SettingError(f"there is no check {name!r}: {nearest(str(name), Robustness.CHECKS)}")
            object.__setattr__(self, "checks", tuple(given))
        if not is_integer(self.n) or not 1 <= self.n <= _MOST_RUNS:
            raise SettingError(f"`n` is a number of runs, from 1 to {_MOST_RUNS:,}; got {self.n!r}.")
        for name, below in (("noise", np.inf), ("jitter", 1.0), ("radius", 1.0)):
            value = getattr(self, name)
            if not is_real(value) or not 0 < value < below:
                limit = "" if below == np.inf else " and below 1"
                raise SettingError(f"`{name}` is a share, above 0{limit} (0.1 is 10 %); got {value!r}.")


@dataclass(frozen=True, slots=True, eq=False)
class StudyWorkers:
    """What runs a study's objective again, while its workers are idle.

    Args:
        objective: of the study.
        nested: runs studies within the study's folder.
        pool: idle workers.
        job: of the study.
        interrupt: set to stop.
    """

    objective: Any
    nested: NestedStudies
    pool: WorkerPool
    job: Job
    interrupt: Event


@dataclass(frozen=True, slots=True, eq=False)
class Checks:
    """Runs the checks of the best trial.

    Args:
        table: the trials of the study.
        typical: the median of the study's metric over its trials, or over its audit set.
        workers: run the objective.
        settings: what the checks do.
    """

    table: TrialTable
    typical: float
    workers: StudyWorkers
    settings: Settings

    def run(self) -> Robustness:
        """Returns the results.

        Raises:
            NoResultError: no trial completed at full fidelity.
            SettingError: a check was asked for that cannot be done.
            StudyInterrupted: the checks were stopped.
        """
        best = self.table.ranking(1)
        if not len(best):
            raise NoResultError(
                "no trial completed at full fidelity, so there is none whose robustness can be checked."
            )
        checks: Mapping[str, Callable[[], Any]] = {
            "plateau": self._plateau,
            "noise": self._noise,
            "costs": self._costs,
            "start": self._start,
            "sensitivity": self._sensitivity,
            "monte_carlo": self._monte_carlo,
        }
        found: dict[str, Any] = {}
        left_out: dict[str, str] = {}
        for name in checks if self.settings.checks is None else self.settings.checks:
            try:
                found[name] = checks[name]()
            except SettingError as error:
                if self.settings.checks is not None:
                    raise
                left_out[name] = str(error)
        result = self.table.results()[self._row]
        study = self.table.study
        return Robustness(
            study.metric, study.mode, result.trial_id, result.config, self._best, **found, left_out=left_out
        )

    @property
    def _row(self) -> int:
        return int(self.table.ranking(1)[0])

    @property
    def _point(self) -> FloatArray:
        point: FloatArray = self.table.points[self._row]
        return point

    @property
    def _best(self) -> float:
        return float(self.table.numbers(self.table.study.metric)[self._row])

    def _seeds(self, purpose: str, n: int) -> list[int]:
        return [nested_seed(self.table.study.seed, purpose, number) for number in range(n)]

    def _plateau(self) -> Plateau:
        space = self.table.study.space
        near = neighbours(space, self._point, self.settings.radius, self.settings.n, self._seeds("near", 1)[0])
        values = self._values_at(near, "plateau")
        return Plateau(self.table.study.mode, self._best, values, tuple(space.decode(near)), self.typical)

    def _sensitivity(self) -> Sensitivity:
        space, point = self.table.study.space, self._point
        columns = [column for column in range(space.n_params) if not np.isnan(point[column])]
        along = {column: levels(space, point, column, _LINE) for column in columns}
        coarse = {column: levels(space, point, column, _GRID) for column in columns}
        pairs = list(itertools.combinations(columns, 2))
        points = [moved(point, [(column, value)]) for column in columns for value in along[column]]
        points += [
            moved(point, [(first, one), (second, other)])
            for first, second in pairs
            for one in coarse[first]
            for other in coarse[second]
        ]
        values = np.full(len(points), np.nan)
        if points:
            whole = space.canonical(np.array(points))
            allowed = is_config(space, whole)
            values[allowed] = self._values_at(whole[allowed], "sensitivity")
        cells = iter(np.split(values, np.cumsum(self._sizes(along, coarse, pairs))[:-1]) if points else [])
        names = space.names

        def options(column: int, of: FloatArray) -> tuple[Any, ...]:
            return tuple(space.domains[column].to_python(of))

        lines = {names[column]: Line(options(column, along[column]), next(cells)) for column in columns}
        grids = {
            (names[first], names[second]): Grid(
                (options(first, coarse[first]), options(second, coarse[second])),
                next(cells).reshape(len(coarse[first]), len(coarse[second])),
            )
            for first, second in pairs
        }
        return Sensitivity(lines, grids)

    @staticmethod
    def _sizes(along: dict[int, FloatArray], coarse: dict[int, FloatArray], pairs: list[tuple[int, int]]) -> list[int]:
        return [len(one) for one in along.values()] + [len(coarse[one]) * len(coarse[other]) for one, other in pairs]

    def _noise(self) -> Noise:
        self._require_bundle("noise")
        if kind_of(self.workers.objective).provider is not None:
            raise SettingError("`noise` changes the prices of a `bundle`, and this objective has prices of its own.")
        share, seeds = float(self.settings.noise), self._seeds("noise", self.settings.n)
        values = self._under("noise", [Change(noise=(share, seed)) for seed in seeds])[0]
        return Noise(self.table.study.mode, self._best, values, share, tuple(seeds))

    def _costs(self) -> CostFactors:
        values, table = self._under("costs", [Change(costs=factor) for factor in _COSTS])
        scaled = table.numbers(SCALED)
        if (scaled == 0).any():
            raise SettingError(
                "`costs` multiplies the costs of built-in objectives, of `rbt.backtest` and of the settings of an adapter, and "
                "this objective has its costs elsewhere: make a factor of them a parameter, and look at its sensitivity."
            )
        return CostFactors(self.table.study.mode, self._best, values, _COSTS)

    def _start(self) -> Starts:
        n_bars = self._require_bundle("start")
        most = int(self.settings.jitter * n_bars)
        if not most:
            raise SettingError(
                f"`jitter` {self.settings.jitter:g} of {n_bars:,} bars leaves no other first bar: use a larger share."
            )
        rng = np.random.default_rng(self._seeds("start", 1)[0])
        bars = np.sort(rng.choice(most, min(self.settings.n, most), replace=False)).astype(np.int64) + 1
        values = self._under("start", [Change(start=bar) for bar in bars.tolist()])[0]
        return Starts(self.table.study.mode, self._best, values, bars, self.workers.nested.bundle.index[bars])

    def _monte_carlo(self) -> MonteCarlo:
        n_bars, row = self._require_bundle("monte_carlo"), self._row
        window = Window(((0, 1),), ((0, n_bars),))
        batch = Batch(
            next(batch_numbers),
            self.workers.job,
            self.table.trials[[row]],
            self.table.points[[row]],
            purpose="test",
            window=window,
        )
        timeout_s = self.workers.nested.run_config.trial_timeout_s
        answer = run_alone([batch], self.workers.pool, self.workers.interrupt, timeout_s)[0]
        if self.workers.interrupt.is_set():
            raise StudyInterrupted("the robustness checks were stopped. Call the method again to continue them.")
        returns = None if isinstance(answer, str) else cast("OutOfSample", answer).returns
        if returns is None or len(returns) != n_bars:
            raise SettingError(
                "`monte_carlo` needs the returns per bar: return a Backtest, or a dict with the array 'returns'."
            )
        return monte_carlo(returns, _ORDERS, self._seeds("orders", 1)[0])

    def _values_at(self, points: FloatArray, name: str) -> FloatArray:
        study = self.table.study
        evaluate = evaluator(study, self.workers.objective, self.workers.nested, name)
        return values_at(points, self.table, evaluate, study.metric)

    def _under(self, name: str, changes: list[Change]) -> tuple[FloatArray, TrialTable]:
        """Returns ``(n_changes,)`` values of the best config under changes, and the trials that gave them."""
        study = self.table.study
        objective = variants_of(self.workers.objective)(
            self.workers.objective,
            study.space,
            study.metric,
            self._point,
            int(trial_seeds(study.seed, self.table.trials[[self._row]])[0]),
            tuple(changes),
            study.max_reports,
            study.constrained_metrics,
        )
        space = Space.of({CASE: grid_search(list(range(len(changes))))})
        inner = replace(
            alone(study, name=name, num_samples=len(changes)),
            space=space,
            constraints=(),
            fidelity="prefix",
            max_reports=None,
        )
        points = space.grid(0, len(changes))
        found = run_configs(self.workers.nested, inner, objective, points, of=(study, self._point, changes))
        values = np.full(len(changes), np.nan)
        values[found.points[:, 0].astype(np.int64)] = found.numbers(study.metric)
        return values, found

    def _require_bundle(self, name: str) -> int:
        study = self.table.study
        if study.bundle is None:
            raise SettingError(f"`{name}` needs a study with a `bundle`.")
        return study.bundle.train_bars

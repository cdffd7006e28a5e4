"""Tests a search on the windows of its validation: chooses a config in each, and runs it on the test bars.

A search that does not learn chooses among the configs of its study, all of which are scored on all windows in one study
within the study's folder. A search that learns runs again in each window, as a study of its own there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from threading import Event
from typing import Any, cast

import numpy as np

from rbt_ray.block_sums import N_BLOCKS, OF_GROWTH, BlockRows, block_ends
from rbt_ray.data.fidelity import share_of
from rbt_ray.engine.review import batch_numbers, run_alone
from rbt_ray.objectives.fingerprint.own_code import Source
from rbt_ray.objectives.out_of_sample import OutOfSample
from rbt_ray.objectives.windowed import N_SCORED, alone_in, on_windows, score_name
from rbt_ray.pool.job import Task
from rbt_ray.pool.pool import Answer, Batch, WorkerPool
from rbt_ray.search.fixed_sequence import FixedConfigs
from rbt_ray.search.scheduler import ladder_from
from rbt_ray.store.journal import Validated
from rbt_ray.store.table import TrialTable
from rbt_ray.study.study import Study
from rbt_ray.study.trials import nested_seed
from rbt_ray.study.windows import Ranges, Window, bars_of, growth_of_windows, sharpes_of_windows
from rbt_ray.tuner.nested import NestedStudies
from rbt_ray.types import COMPLETED, Config, FloatArray, IntArray

FOLDER = "validation"
"""The folder, in a study's, of the studies that its validation runs."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The config that is chosen in a window.

    Args:
        trial: its number, in the study's table or in that of the window's search.
        point: ``(n_params,)`` the config.
        in_sample: the study's metric on the training bars.
        seed: of the study that the trial belongs to.
    """

    trial: int
    point: FloatArray
    in_sample: float
    seed: int


@dataclass(frozen=True, slots=True, eq=False)
class Validation:
    """Runs the validation of a study.

    Args:
        study: the study, which has a validation.
        task: its task.
        sources: the user's own modules.
        nested: runs studies within the study's folder.
        on_stage: called with what is running, as text.
    """

    study: Study
    task: Task
    sources: Mapping[str, Source]
    nested: NestedStudies
    on_stage: Callable[[str], None]

    def run(
        self, table: TrialTable, pool: WorkerPool, interrupt: Event, timeout_s: float | None, *, learns: bool
    ) -> Validated | None:
        """Returns the results to record; None if interrupted.

        Args:
            table: the trials of the study.
            pool: idle workers.
            interrupt: set to stop the study.
            timeout_s: the time-out of a trial in seconds; see `run_alone`.
            learns: whether the search learns, and so runs again in each window.
        """
        choices = self._search_again() if learns else self._choose_by_sums(table) or self._choose_again(table)
        if choices is None:
            return None
        tests = self._test(choices, pool, interrupt, timeout_s)
        return None if interrupt.is_set() else self._event(choices, tests)

    @property
    def windows(self) -> tuple[Window, ...]:
        """The windows."""
        assert self.study.validation is not None
        return self.study.validation.windows

    def _choose_by_sums(self, table: TrialTable) -> list[Choice | None] | None:
        """Returns the best of the study's configs in each window by the block sums of its trials.

        None if these do not suffice: other metrics than the Sharpe ratio and returns, windows that do not end with blocks,
        or trials without block sums need an evaluation.
        """
        study, recorded = self.study, table.outcomes.block_sums
        assert study.validation is not None
        assert study.bundle is not None
        n_completed = int((table.outcomes.status == COMPLETED).sum())
        if recorded is None or len(recorded) < n_completed or study.validation.min_trades:
            return None
        ends = block_ends(study.bundle.train_bars)
        ranges = [window.train for window in self.windows]
        if not {edge for one in ranges for pair in one for edge in pair} <= {0, *ends.tolist()}:
            return None
        found = _on_blocks(study.metric, recorded, ends, ranges, self.nested.bundle.periods_per_year)
        if found is None:
            return None
        values = np.full((len(ranges), len(table)), np.nan)
        values[:, recorded.rows] = found
        return [self._best_of(table, one, study.seed) for one in values]

    def _choose_again(self, table: TrialTable) -> list[Choice | None] | None:
        """Returns the best of the study's configs in each window; None if interrupted.

        Args:
            table: the trials of the study.
        """
        assert self.study.validation is not None
        self.on_stage(f"validation: scoring the configs on {len(self.windows)} windows")
        nested = replace(
            self._nested(max(window.train_stop for window in self.windows)),
            name="windows",
            metric=N_SCORED,
            mode="max",
            search_alg="custom",
            num_samples=None,
            max_cost=None,
            points_to_evaluate=(),
            stop=None,
        )
        objective = on_windows(self.task.objective, self.study.metric, self.windows, self.study.validation.min_trades)
        search = FixedConfigs(self.study.space, table.points)
        n_runs = 2 * len(self.windows)  # to the end of a window, and on its bars alone
        found = self.nested.table_of(f"{FOLDER}/windows", nested, objective, search_alg=search, runs_per_trial=n_runs)
        if found is None:
            return None
        return [self._best(found, score_name(number), nested.seed) for number in range(len(self.windows))]

    def _search_again(self) -> list[Choice | None] | None:
        """Returns the best config of a new search in each window; None if interrupted."""
        choices: list[Choice | None] = []
        for number, window in enumerate(self.windows):
            self.on_stage(f"validation: searching in window {number + 1} of {len(self.windows)}")
            nested, objective = self._search_in(number, window)
            found = self.nested.table_of(
                f"{FOLDER}/{number:04d}",
                nested,
                objective,
                search_alg=self.nested.new_search(),
                window=window,
                runs_per_trial=2,
            )
            if found is None:
                return None
            choices.append(self._best(found, nested.metric, nested.seed))
        return choices

    def _test(
        self, choices: list[Choice | None], pool: WorkerPool, interrupt: Event, timeout_s: float | None
    ) -> list[OutOfSample | None]:
        """Returns the results of the chosen configs on the test bars of their windows."""
        self.on_stage("validation: testing the chosen configs")
        seeds = {choice.seed for choice in choices if choice is not None}
        jobs = {seed: replace(self.task, seed=seed).pack(self.sources) for seed in seeds}
        batches = [
            Batch(
                next(batch_numbers),
                jobs[choice.seed],
                np.array([choice.trial]),
                choice.point[None],
                purpose="test",
                window=window,
            )
            for choice, window in zip(choices, self.windows, strict=True)
            if choice is not None
        ]
        answers = iter(run_alone(batches, pool, interrupt, timeout_s))
        return [None if choice is None else _as_test(next(answers)) for choice in choices]

    def _event(self, choices: list[Choice | None], tests: list[OutOfSample | None]) -> Validated:
        assert self.study.bundle is not None
        assert self.task.benchmark is not None
        rows, returns = [], []
        has_returns = any(test is not None and test.returns is not None for test in tests)
        for window, choice, test in zip(self.windows, choices, tests, strict=True):
            n = len(window.test_bars)
            if test is None:  # no config qualifies, so nothing is held
                returns.append(np.zeros(n))
            else:
                right = test.returns is not None and len(test.returns) == n
                returns.append(test.returns if test.returns is not None and right else np.full(n, np.nan))
            rows.append(
                {
                    "train": window.train,
                    "test": window.test,
                    "trial": None if choice is None else choice.trial,
                    "config": None if choice is None else self._config(choice),
                    "in_sample": None if choice is None else choice.in_sample,
                    "metrics": {} if test is None else test.metrics,
                    "error": None if test is None else test.error,
                }
            )
        bundle, n_bars = self.nested.bundle, self.study.bundle.train_bars
        curves = {
            "time_ms": bundle.index[:n_bars].astype("datetime64[ms]").astype(np.float64),
            "benchmark": self.task.benchmark,
            "returns": np.concatenate(returns) if has_returns else np.empty(0),
        }
        return Validated(rows, curves, bundle.periods_per_year)

    def _config(self, choice: Choice) -> Config:
        return self.study.space.decode(choice.point[None])[0]

    def _nested(self, train_bars: int) -> Study:
        """Returns the study's definition for its first `train_bars` bars, without what only the whole study does."""
        assert self.study.bundle is not None
        return replace(
            self.study,
            bundle=replace(self.study.bundle, train_bars=train_bars),
            recheck=0,
            benchmark=None,
            validation=None,
            why="",
        )

    def _search_in(self, number: int, window: Window) -> tuple[Study, Any]:
        study = self.study
        assert study.validation is not None
        assert study.bundle is not None
        nested = replace(
            self._nested(window.train_stop),
            name=f"window-{number:04d}",
            seed=nested_seed(study.seed, "window", number),
            # Prior results may come from the test bars; the best prior config is the last of the points.
            warm_start=(),
            points_to_evaluate=study.points_to_evaluate[: -1 if study.warm_start else None],
            lowest_fidelity=_lowest_fidelity(study, len(window.train_bars)),
        )
        if study.fidelity == "reports":
            return nested, alone_in(self.task.objective, window)
        scored = on_windows(self.task.objective, study.metric, [window], study.validation.min_trades)
        return replace(nested, metric=score_name(0)), scored

    def _best(self, table: TrialTable, metric: str, seed: int) -> Choice | None:
        values = table.numbers(metric)
        values[table.fidelity < 1] = np.nan
        return self._best_of(table, values, seed)

    def _best_of(self, table: TrialTable, values: FloatArray, seed: int) -> Choice | None:
        """Returns the trial with the best value, the first of equals; None if none is finite."""
        loss = values * (-1.0 if self.study.mode == "max" else 1.0)
        loss[~np.isfinite(loss)] = np.inf
        row = int(np.argmin(loss)) if len(loss) else 0
        if not len(loss) or np.isinf(loss[row]):
            return None
        return Choice(int(table.trials[row]), table.points[row], float(values[row]), seed)


def _on_blocks(
    metric: str, recorded: BlockRows, ends: IntArray, ranges: Sequence[Ranges], periods_per_year: float
) -> FloatArray | None:
    """Returns a metric ``(n_windows, n_rows)`` from block sums; None if it does not follow from them."""
    if metric == "sharpe":
        sums, squares = recorded.values[:, :N_BLOCKS], recorded.values[:, N_BLOCKS : 2 * N_BLOCKS]
        return sharpes_of_windows(sums, squares, ends, ranges) * math.sqrt(periods_per_year)
    if metric not in OF_GROWTH or recorded.growth is None:
        return None
    equity = growth_of_windows(recorded.growth, ends, ranges)
    if metric == "total_return":
        return equity - 1.0
    n_bars = np.array([[len(bars_of(one))] for one in ranges])
    with np.errstate(invalid="ignore"):  # an equity below 0 has no root
        found: FloatArray = equity ** (periods_per_year / n_bars) - 1.0
    return found


def _as_test(answer: Answer | str) -> OutOfSample:
    return OutOfSample({}, error=answer) if isinstance(answer, str) else cast("OutOfSample", answer)


def _lowest_fidelity(study: Study, n_bars: int) -> float:
    """Returns the lowest fidelity in a window with `n_bars` training bars, so that it has as many bars as in the study."""
    if study.bundle is None or study.fidelity != "prefix" or study.lowest_fidelity == 1:
        return study.lowest_fidelity
    least = share_of(study.lowest_fidelity, study.bundle.train_bars)
    ladder = ladder_from(study.lowest_fidelity, study.eta)
    return next((rung for rung in ladder if share_of(rung, n_bars) >= least), 1.0)

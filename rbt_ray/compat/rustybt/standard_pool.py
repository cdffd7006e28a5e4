"""Runs trials on a pool with `apply_async`, such as `multiprocessing.Pool`, and detects dead and hanging workers."""

from __future__ import annotations

import pickle
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import psutil

from rbt_ray.compat.rustybt.objective import ScoredObjective
from rbt_ray.compat.rustybt.parameter_space import python_values
from rbt_ray.compat.rustybt.run_study import OptimizationResult
from rbt_ray.compat.rustybt.strategy_searcher import StrategySearcher
from rbt_ray.errors import ObjectiveError
from rbt_ray.objectives.objective import describe

_POLL_SECONDS = 0.02
_GRACE_SECONDS = 2.0
"""Seconds to wait for a result after the process that computed it has exited."""


@dataclass(frozen=True)
class TrackedObjective:
    """An objective that records which process evaluates a trial, and does not raise.

    Args:
        objective: the user's objective.
        folder: the folder of the records, one file per trial.
    """

    objective: ScoredObjective
    folder: Path

    def __call__(self, number: int, params: dict[str, Any]) -> OptimizationResult:
        """Runs a trial and returns its result."""
        process = psutil.Process()
        (self.folder / str(number)).write_text(f"{process.pid} {process.create_time()}")
        started = time.perf_counter()
        try:
            score, metrics = self.objective.score(params)
            error = None if Decimal(score).is_finite() else f"the score is {score}, not a finite number."
        except BaseException as raised:  # a bad trial, even one that calls sys.exit, must not stop the others
            score, metrics, error = float("-inf"), {}, describe(raised)
        took = Decimal(str(time.perf_counter() - started))
        if error is not None:
            return OptimizationResult(number, params, Decimal("-Infinity"), {}, error, took, worker=str(process.pid))
        return OptimizationResult(number, params, Decimal(str(score)), metrics, None, took, worker=str(process.pid))


def run_on_pool(
    pool: Any,
    searcher: StrategySearcher,
    objective: ScoredObjective,
    *,
    max_eval_time: float | None,
    on_result: Callable[[OptimizationResult], None],
) -> None:
    """Runs a search; results are reported in the order of the suggestions, not of completion.

    Args:
        pool: a pool with `apply_async`.
        searcher: suggests params.
        objective: scores the params.
        max_eval_time: time limit of a trial in seconds, after which its process is killed.
        on_result: called with every result, before the searcher gets it.

    Raises:
        ObjectiveError: the objective cannot be pickled for a standard pool.
    """
    with tempfile.TemporaryDirectory(prefix="rbt-ray-trials-") as folder:
        watched = TrackedObjective(objective, Path(folder))
        if not hasattr(pool, "run_batch"):
            _check_packed(watched)
        pending: list[_PendingTrial] = []
        while True:
            while (params := searcher.suggest()) is not None:
                number = searcher.n_asked - 1
                result = pool.apply_async(watched, (number, python_values(params)))
                pending.append(_PendingTrial(number, params, result, watched.folder / str(number)))
            if not pending:
                return
            while (done := pending[0].look()) is None:
                for other in pending:
                    other.watch(max_eval_time)
            del pending[0]
            on_result(done)
            searcher.tell_score(done.trial_id, done.score)


class _PendingTrial:
    def __init__(self, number: int, params: dict[str, Any], result: Any, note: Path) -> None:
        self.number = number
        self._params = params
        self._result = result
        self._note = note
        self._started = 0.0
        self._lost: str | None = None
        self._gone = 0.0

    def look(self) -> OptimizationResult | None:
        """Waits briefly; returns the trial's result, or None if it is still running."""
        self._result.wait(_POLL_SECONDS)
        if self._result.ready():
            try:
                done: OptimizationResult = self._result.get()
            except Exception as error:
                return self._failed(self._lost or describe(error))
            return done
        if self._gone and time.monotonic() - self._gone > _GRACE_SECONDS:
            return self._failed(self._lost or "the process that evaluated the trial died.")
        return None

    def watch(self, max_eval_time: float | None) -> None:
        """Checks whether the trial's process has died, and kills it if the trial takes too long."""
        if self._gone or self._result.ready():
            return
        words = self._note.read_text().split() if self._note.exists() else []
        if len(words) < 2:  # not started
            return
        self._started = self._started or time.monotonic()
        if (process := _find_process(int(words[0]), float(words[1]))) is None:
            self._gone = time.monotonic()
        elif max_eval_time is not None and time.monotonic() - self._started > max_eval_time:
            self._lost = f"the trial took longer than `max_eval_time`, {max_eval_time:g} s."
            process.kill()

    def _failed(self, error: str) -> OptimizationResult:
        took = Decimal(str(time.monotonic() - self._started if self._started else 0.0))
        return OptimizationResult(self.number, python_values(self._params), Decimal("-Infinity"), {}, error, took)


def _find_process(pid: int, created: float) -> psutil.Process | None:
    """Returns the process if it is alive and its id was not reused."""
    try:
        process = psutil.Process(pid)
        alive = process.create_time() == created and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return None
    return process if alive else None


def _check_packed(watched: TrackedObjective) -> None:
    try:
        pickle.dumps(watched)
    except Exception as error:  # pickling runs the objects' own code, which may raise anything
        raise ObjectiveError(
            f"the objective cannot be sent to a standard pool: {type(error).__name__}: {error}. Define it in a module, or "
            f"set `enable_persistent_worker_pool`, whose pool also accepts functions of a script."
        ) from error

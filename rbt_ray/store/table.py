"""The trials of a study as a table in columns, in trial order."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rbt_ray import metric_columns
from rbt_ray.block_sums import BlockRows
from rbt_ray.columns import Outcomes, Proposals, Results
from rbt_ray.errors import JournalError
from rbt_ray.metric_columns import Column
from rbt_ray.pareto import fronts, non_dominated
from rbt_ray.store import validate
from rbt_ray.store.journal import Event, Finished
from rbt_ray.study.goals import Goal
from rbt_ray.study.study import Study
from rbt_ray.study.trials import Cost
from rbt_ray.types import COMPLETED, BoolArray, Checkpoint, FloatArray, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class TrialTable:
    """Every finished trial of a study, one per row.

    Args:
        trials: ``(n_trials,)`` ascending.
        points: ``(n_trials, n_params)``.
        fidelity: ``(n_trials,)`` the fidelity reached, which is lower than requested for a trial that stopped by itself.
        outcomes: the outcomes of all rows.
        worker: ``(n_trials,)`` positions in `workers`, in the smallest type that holds them.
        workers: the names of the workers.
        batches: ``(n_batches, 4)`` for the chart of busy workers: position in `workers`, start (s since the epoch), wall_s,
            cpu_s.
    """

    study: Study
    trials: IntArray
    points: FloatArray
    fidelity: FloatArray
    outcomes: Outcomes
    worker: NDArray[np.unsignedinteger[Any]]
    workers: tuple[str, ...]
    batches: FloatArray

    def __len__(self) -> int:
        return len(self.trials)

    @property
    def cost(self) -> float:
        """The cost of all trials in evaluations at full fidelity; work that a checkpoint saved is not counted."""
        left = self.outcomes.checkpoints
        if not left:
            return float(self.fidelity.sum())
        cost, spent = Cost(), 0.0
        for row, point in enumerate(self.points):
            spent += float(cost.of(point[None], self.fidelity[row : row + 1])[0])
            if row in left:
                cost.record_checkpoint(point, float(self.fidelity[row]))
        return spent

    @property
    def loss(self) -> FloatArray:
        """``(n_trials,)`` the study's metric, signed so that less is better; NaN where not completed."""
        return self.study.loss_of(self.outcomes.metrics, len(self))

    @property
    def losses(self) -> FloatArray:
        """``(n_trials, n_goals)`` the losses by each of the study's metrics; NaN where not completed."""
        return self.study.losses_of(self.outcomes.metrics, len(self))

    @property
    def is_eligible(self) -> BoolArray:
        """``(n_trials,)`` whether each trial completed at full fidelity and is feasible, so that it can be the best."""
        eligible: BoolArray = (self.fidelity == 1.0) & (self.outcomes.status == COMPLETED) & self.is_feasible
        return eligible

    @property
    def front(self) -> IntArray:
        """The rows of the Pareto front: eligible trials that no other one dominates, best by the first metric first."""
        losses = np.where(self.is_eligible[:, None], self.losses, np.nan)
        rows = np.flatnonzero(non_dominated(losses))
        best: IntArray = rows[np.argsort(losses[rows, 0], kind="stable")]
        return best

    @property
    def violations(self) -> FloatArray:
        """``(n_constraints, n_trials)`` how far each trial breaks each constraint on metrics; see `Study.violations`."""
        return self.study.violations(self.points, self.outcomes, self.fidelity)

    @property
    def is_feasible(self) -> BoolArray:
        """``(n_trials,)`` False for a trial that breaks a constraint on metrics."""
        if not self.study.constraints:
            return np.ones(len(self), dtype=bool)
        return np.asarray((self.violations == 0).all(axis=0), dtype=bool)

    def feasibility_columns(self) -> tuple[BoolArray, FloatArray]:
        """Returns ``(n_trials,)`` whether each trial is feasible, and its violation summed over the constraints on metrics.

        The violation is NaN for a trial that is not judged: it did not complete, or was satisfactory so far at a lower
        fidelity.
        """
        violation = self.violations.sum(axis=0)
        judged = (violation > 0) | ((self.fidelity == 1.0) & (self.outcomes.status == COMPLETED))
        return violation == 0, np.where(judged, violation, np.nan)

    def numbers(self, metric: str) -> FloatArray:
        """Returns ``(n_trials,)`` values of a metric; NaN for a trial without it."""
        column = self.outcomes.metrics.get(metric)
        return np.full(len(self), np.nan) if column is None else column.numbers()

    def ranking(self, n: int | None = None, *, metric: str | None = None, mode: str | None = None) -> IntArray:
        """Returns the rows of the best feasible trials that completed at full fidelity, best first; equal ones in trial order.

        In a study of several metrics they are in the order of their Pareto fronts, and in each front in that of the metric. So
        the first one is the best by the metric, and no trial that is equal by it dominates it.

        Args:
            n: how many rows; None: all.
            metric: the metric to compare; None: the study's first.
            mode: its direction; None: the study's.
        """
        goal = next((goal for goal in self.study.goals if goal.metric == (metric or self.study.metric)), None)
        if goal is not None and mode in (None, goal.mode) and self.study.further_goals:
            return self._by_front(goal, n)
        sign = -1.0 if (mode or self.study.mode) == "max" else 1.0
        loss = sign * self.numbers(metric or self.study.metric)
        loss[~self.is_eligible] = np.nan
        rows = np.flatnonzero(~np.isnan(loss))
        if n is not None and n < len(rows):
            kth = np.partition(loss[rows], n - 1)[n - 1]
            rows = rows[loss[rows] <= kth]
        best: IntArray = rows[np.argsort(loss[rows], kind="stable")][:n]
        return best

    def _by_front(self, goal: Goal, n: int | None) -> IntArray:
        losses = np.where(self.is_eligible[:, None], self.losses, np.nan)
        rows = np.flatnonzero(~np.isnan(losses[:, 0]))
        front = fronts(losses[rows], n)
        best: IntArray = rows[np.lexsort([losses[rows, self.study.goals.index(goal)], front])][:n]
        return best

    def results(self) -> Results:
        """Returns the table as a sequence of results, each created on access."""
        proposals = Proposals(self.points, self.fidelity, self.study.space)
        workers = np.array(self.workers or ("",), dtype=object)[self.worker]
        violation = self.violations.sum(axis=0) if self.study.constraints else None
        losses = self.losses if self.study.further_goals else None
        return Results(self.trials, proposals, self.outcomes, self.loss, workers, violation, losses)

    def hash(self) -> str:
        """Returns the SHA-256 of everything that must not differ between backends.

        That is config, fidelity, status and metrics, at full precision. It is computed by column over the whole table, so it
        does not depend on the batches.
        """
        digest = hashlib.sha256(json.dumps([self.study.space.fingerprint, len(self)]).encode())
        for head, values in self.hashed():
            digest.update(head)
            digest.update(values)
        return digest.hexdigest()

    def hashed(self) -> Iterator[tuple[bytes, bytes]]:
        """Yields what is hashed of each column: what describes it, and its values."""
        for values in (self.trials, self.points, self.fidelity, self.outcomes.status):
            yield b"", _canonical(values)
        for name in sorted(self.outcomes.metrics):
            column = self.outcomes.metrics[name]
            yield json.dumps([name, column.kind]).encode(), _canonical(column.present)
            if column.kind == "json":
                yield b"", json.dumps(column.to_list()).encode()
            else:
                yield b"", _canonical(np.where(column.present, column.values, np.zeros((), column.values.dtype)))


def table_of(events: Iterable[Event], study: Study) -> TrialTable:
    """Builds the table of all finished trials from a journal's events.

    Raises:
        JournalError: the events are of another study, or contain a trial twice.
    """
    finished = [event for event in events if isinstance(event, Finished)]
    if any(event.points.shape[1] != study.space.n_params for event in finished):
        raise JournalError(f"the journal of {study.name!r} is damaged: it has configs of another space.")
    finished.sort(
        key=lambda event: int(event.trials[0])
    )  # so that the order of metrics depends on the trials, not on the workers
    trials, rows = _rows_of(finished, study)
    workers = tuple(sorted({event.worker for event in finished}))
    number_of = {name: number for number, name in enumerate(workers)}
    points, fidelity = np.empty((len(trials), study.space.n_params)), np.empty(len(trials))
    worker = np.empty(len(trials), np.min_scalar_type(len(workers)))
    for event, its in zip(finished, rows, strict=True):
        points[its], fidelity[its], worker[its] = event.points, event.fidelity, number_of[event.worker]
    outcomes = _merge(finished, rows, len(trials))
    try:
        validate.check_table(study.space, points)
    except ValueError as error:
        raise JournalError(f"the journal of {study.name!r} contains an invalid event: {error}.") from error
    batches = [(number_of[event.worker], event.started, event.wall_s, event.cpu_s) for event in finished]
    return TrialTable(
        study=study,
        trials=trials,
        points=points,
        fidelity=outcomes.reached(fidelity),
        outcomes=outcomes,
        worker=worker,
        workers=workers,
        batches=np.array(batches, dtype=np.float64).reshape(-1, 4),
    )


def _rows_of(finished: list[Finished], study: Study) -> tuple[IntArray, list[IntArray]]:
    """Returns the trials, ascending, and the rows of each event's trials among them.

    Raises:
        JournalError: a trial is there twice.
    """
    arrival = np.concatenate([event.trials for event in finished]) if finished else np.empty(0, np.int64)
    trials = np.sort(arrival)
    if (trials[1:] == trials[:-1]).any():
        raise JournalError(f"the journal of {study.name!r} is damaged: it has results of one trial twice.")
    if len(trials) and trials[-1] - trials[0] + 1 == len(trials):  # no trial is missing: no search for its row
        np.subtract(arrival, trials[0], out=arrival)
    else:
        arrival = np.searchsorted(trials, arrival)
    ends = np.cumsum([len(event.trials) for event in finished])
    return trials, np.split(arrival, ends[:-1]) if finished else []


def _merge(finished: list[Finished], rows_of: list[IntArray], n: int) -> Outcomes:
    status, duration = np.empty(n, np.uint8), np.empty(n)
    errors: dict[int, str] = {}
    left: dict[int, Checkpoint] = {}
    shares: dict[int, float] = {}
    parts, sums = [], []
    for event, rows in zip(finished, rows_of, strict=True):
        status[rows], duration[rows] = event.outcomes.status, event.outcomes.duration_s
        parts.append((event.outcomes.metrics, rows))
        sums.append((event.outcomes.block_sums, rows))
        errors.update((int(rows[row]), text) for row, text in event.outcomes.errors.items())
        left.update((int(rows[row]), checkpoint) for row, checkpoint in event.outcomes.checkpoints.items())
        shares.update((int(rows[row]), share) for row, share in event.outcomes.shares.items())
    metrics: dict[str, Column] = metric_columns.join(parts, n)
    return Outcomes(status, metrics, errors, duration, left, shares, BlockRows.join(sums))


def _canonical(values: NDArray[Any]) -> bytes:
    """Returns bytes that are equal if the values are: little-endian, one NaN, no negative zero."""
    if values.dtype.kind == "f":
        values = np.where(np.isnan(values), np.nan, values + 0.0)
    return np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes()

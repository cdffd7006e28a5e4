"""Batches in columns; the frozen values of `types` are created on access.

A config is a row of `points`, with one float64 per parameter: the value of a number, the position of a choice's option, or
NaN if a condition makes the parameter inactive. `Space` converts rows to configs and back.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, overload

import numpy as np
from numpy.typing import NDArray

from rbt_ray import metric_columns, recordable
from rbt_ray.block_sums import BlockRows
from rbt_ray.metric_columns import MetricColumns
from rbt_ray.recordable import require
from rbt_ray.types import STATUSES, Checkpoint, Config, FloatArray, IntArray, Proposal, Result, StatusCode


class Decoder(Protocol):
    """Converts points to configs: a `Space`."""

    def decode(self, points: FloatArray) -> list[Config]:
        """Returns a config for each row of `points`, shape ``(n_configs, n_params)``."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Proposals(Sequence[Proposal]):
    """Proposals in columns; indexing and iterating give `Proposal` values.

    Args:
        points: ``(n_configs, n_params)``.
        fidelity: ``(n_configs,)``, each above 0 and at most 1.
        space: the space of the points.
        tags: one tag per proposal; None if the searcher uses no tags.
    """

    points: FloatArray
    fidelity: FloatArray
    space: Decoder
    tags: tuple[tuple[int, ...], ...] | None = None

    @classmethod
    def at_full_fidelity(cls, points: FloatArray, space: Decoder) -> Proposals:
        """Returns proposals at full fidelity."""
        return cls(points, np.ones(len(points)), space)

    def __len__(self) -> int:
        return len(self.points)

    @overload
    def __getitem__(self, index: int) -> Proposal: ...
    @overload
    def __getitem__(self, index: slice) -> Proposals: ...
    def __getitem__(self, index: int | slice) -> Proposal | Proposals:
        if isinstance(index, slice):
            tags = None if self.tags is None else self.tags[index]
            return Proposals(self.points[index], self.fidelity[index], self.space, tags)
        row = range(len(self))[index]
        config = self.space.decode(self.points[row : row + 1])[0]
        return Proposal(config, float(self.fidelity[row]), () if self.tags is None else self.tags[row])

    def __iter__(self) -> Iterator[Proposal]:
        configs = self.space.decode(self.points)
        for row, config in enumerate(configs):
            yield Proposal(config, float(self.fidelity[row]), () if self.tags is None else self.tags[row])


@dataclass(frozen=True, slots=True, eq=False)
class Outcomes:
    """The outcomes of `n` trials, in columns.

    Args:
        status: ``(n,)`` positions in `types.STATUSES`.
        metrics: columns of `n` values; absent for a trial that did not complete.
        errors: the error of each row that did not complete.
        duration_s: ``(n,)`` seconds per trial; for a vectorised batch, its share of the batch.
        checkpoints: the latest checkpoint by row, for objectives that report.
        shares: for each row that stopped by itself, the share of the requested work that was done: above 0 and below 1.
        block_sums: the block sums of some rows that completed; None if there are none.
    """

    status: NDArray[np.uint8]
    metrics: MetricColumns
    errors: Mapping[int, str]
    duration_s: FloatArray
    checkpoints: Mapping[int, Checkpoint] = field(default_factory=dict)
    shares: Mapping[int, float] = field(default_factory=dict)
    block_sums: BlockRows | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles the fields only, as `Column` does."""
        parts = self.status, self.metrics, self.errors, self.duration_s, self.checkpoints, self.shares, self.block_sums
        return type(self), parts

    def reached(self, asked: FloatArray) -> FloatArray:
        """Returns ``(n,)`` the fidelities that the trials reached.

        Args:
            asked: ``(n,)`` the requested fidelities.
        """
        if not self.shares:
            return asked
        found = asked.copy()
        found[list(self.shares)] *= list(self.shares.values())
        return found

    def __len__(self) -> int:
        return len(self.status)

    def recordable(self, n: int) -> Outcomes:
        """Returns the outcomes of `n` trials in recordable form; corrects durations and texts that cannot be recorded.

        Answers of workers and rows of journals are both validated here, because a worker runs code that may change anything
        in its process, and anybody may have written a journal's file. So everything that is written can be read.

        Raises:
            ValueError: a column has another length or type, or a value is impossible for a trial.
        """
        status = recordable.array(self.status, np.uint8, (n,), "status")
        require(not status.any() or int(status.max()) < len(STATUSES), "status", status)
        for name, by_row in (("errors", self.errors), ("checkpoints", self.checkpoints), ("shares", self.shares)):
            require(type(by_row) is dict, name, by_row)
            require(all(recordable.is_whole(row, n - 1) for row in by_row), name, by_row)
        require(all(type(share) is float and 0 < share < 1 for share in self.shares.values()), "shares", self.shares)
        for left in self.checkpoints.values():
            require(type(left) is Checkpoint and type(left.payload) is bytes, "checkpoints", left)
            require(recordable.is_whole(left.n_reports), "checkpoints", left.n_reports)
        block_sums = self.block_sums
        if block_sums is not None:
            require(type(block_sums) is BlockRows, "block_sums", block_sums)
            block_sums = block_sums.recordable(n)
            is_partial = not self.shares.keys().isdisjoint(block_sums.rows.tolist()) if self.shares else False
            failed = status[block_sums.rows].any()  # the code of COMPLETED is 0
            require(not (failed or is_partial), "block_sums", block_sums.rows)
        return RecordableOutcomes(
            status=status,
            metrics=metric_columns.all_recordable(self.metrics, n),
            errors={row: recordable.text(error)[: recordable.LONGEST_ERROR] for row, error in self.errors.items()},
            duration_s=recordable.durations(self.duration_s, n),
            checkpoints=self.checkpoints,
            shares=self.shares,
            block_sums=block_sums,
        )

    @classmethod
    def all_failed(cls, n: int, status: StatusCode, error: str, duration_s: float) -> Outcomes:
        """Returns the same failure for each of `n` trials."""
        return cls(np.full(n, status, np.uint8), {}, dict.fromkeys(range(n), error), np.full(n, duration_s / max(n, 1)))


@dataclass(frozen=True, slots=True, eq=False)
class RecordableOutcomes(Outcomes):
    """Outcomes in recordable form, as `Outcomes.recordable` returns them; they are not validated again."""

    def recordable(self, n: int) -> Outcomes:
        """Returns these outcomes.

        Raises:
            ValueError: they are not of `n` trials.
        """
        recordable.require(len(self) == n, "status", self.status)
        return self


@dataclass(frozen=True, slots=True, eq=False)
class Results(Sequence[Result]):
    """Results in columns; indexing and iterating give `Result` values.

    Args:
        trials: ``(n,)`` trial numbers.
        proposals: the evaluated proposals, one per row.
        outcomes: their outcomes, one per row.
        loss: ``(n,)`` the value that searchers minimise; NaN for a trial that did not complete.
        workers: the name of the worker of each trial.
        violation: ``(n,)`` how far each trial breaks the constraints on metrics; None if there are none.
        losses: ``(n, n_goals)`` the losses by each metric; None in a study of one metric.
    """

    trials: IntArray
    proposals: Proposals
    outcomes: Outcomes
    loss: FloatArray
    workers: Sequence[str] | NDArray[np.object_]
    violation: FloatArray | None = None
    losses: FloatArray | None = None

    def __len__(self) -> int:
        return len(self.trials)

    @overload
    def __getitem__(self, index: int) -> Result: ...
    @overload
    def __getitem__(self, index: slice) -> list[Result]: ...
    def __getitem__(self, index: int | slice) -> Result | list[Result]:
        rows = range(len(self))[index]
        if isinstance(rows, range):
            return [self[row] for row in rows]
        proposal = self.proposals[rows]
        loss = float(self.loss[rows])
        return Result(
            trial_id=int(self.trials[rows]),
            config=proposal.config,
            fidelity=proposal.fidelity,
            status=STATUSES[self.outcomes.status[rows]],
            metrics=metric_columns.row(self.outcomes.metrics, rows),
            error=self.outcomes.errors.get(rows),
            loss=None if math.isnan(loss) else loss,
            duration_s=float(self.outcomes.duration_s[rows]),
            worker=self.workers[rows],
            tag=proposal.tag,
            violation=0.0 if self.violation is None else float(self.violation[rows]),
            losses=() if self.losses is None or math.isnan(loss) else tuple(self.losses[rows].tolist()),
        )

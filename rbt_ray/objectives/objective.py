"""Scores a batch of configs on a worker, with an objective of any kind."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from time import perf_counter  # by name: an objective may replace `time.perf_counter`
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from rbt_ray import metric_columns
from rbt_ray.block_sums import BlockRows
from rbt_ray.columns import Outcomes
from rbt_ray.errors import ObjectiveError, ObjectiveResultError, RbtError
from rbt_ray.metric_columns import Column
from rbt_ray.objectives.blocks import BlockRequest, gathered
from rbt_ray.objectives.builtin.strategy import SweptObjective
from rbt_ray.objectives.interpreter import Interpreter, objective_frames
from rbt_ray.objectives.isolation import GlobalRandomness, ProcessState
from rbt_ray.objectives.kind import SweepObjective, kind_of
from rbt_ray.objectives.reports import WHOLE, ReportLimitReached, ReportRange, Reports
from rbt_ray.objectives.returned_metrics import ended_share, fail_without, finite_only, metrics_of, only_finite, short
from rbt_ray.types import COMPLETED, FAILED, Checkpoint, Config, FloatArray, Metrics

if TYPE_CHECKING:
    from rbt_ray.data.view import BundleView
    from rbt_ray.study.space import Space

_LONGEST_ERROR = 20_000
_PACKAGE = str(Path(__file__).parents[1]) + os.sep


class Evaluator(Protocol):
    """The interface that workers call. A batch scores as its configs would one by one."""

    def score(
        self,
        view: BundleView | None,
        points: FloatArray,
        seeds: Sequence[int],
        span: ReportRange = WHOLE,
        blocks: BlockRequest | None = None,
        /,
    ) -> Outcomes:
        """Returns the outcomes of the configs in `points`, ``(n_configs, n_params)``, in the same order.

        `span` limits the iterations of objectives that take one config; for others it is `WHOLE`. `blocks` asks for the
        block sums of some rows; they are in the outcomes if the objective gives returns per bar, and change nothing else.
        """
        ...


def as_evaluator(
    objective: Any,
    space: Space,
    metric: str,
    also_needed: tuple[str, ...] = (),
    also_optimized: tuple[str, ...] = (),
) -> Evaluator:
    """Returns the evaluator for an objective.

    Args:
        objective: of any kind.
        space: converts points to configs.
        metric: the study's metric.
        also_needed: further metrics without which a trial fails.
        also_optimized: further metrics of the study; a trial fails if one of them is not finite.

    Raises:
        ObjectiveError: it cannot be called.
    """
    kinds: dict[str, Callable[[Any, Space, str], Evaluator]] = {
        "config": PerConfig,
        "configs": Batched,
        "columns": partial(Sweep, also_needed=(*also_optimized, *also_needed)),
    }
    scoring = kinds[kind_of(objective).takes](objective, space, metric)
    return Requiring(scoring, also_needed, also_optimized) if also_needed or also_optimized else scoring


@dataclass(frozen=True, slots=True)
class Requiring:
    """Fails the trials of another evaluator that lack a metric.

    Args:
        evaluator: the other one.
        names: the metrics that a trial must have.
        optimized: those that must be finite.
    """

    evaluator: Evaluator
    names: tuple[str, ...]
    optimized: tuple[str, ...] = ()

    def score(
        self,
        view: BundleView | None,
        points: FloatArray,
        seeds: Sequence[int],
        span: ReportRange = WHOLE,
        blocks: BlockRequest | None = None,
        /,
    ) -> Outcomes:
        """Returns the outcomes of the evaluator; a trial without one of the metrics has failed."""
        outcomes = self.evaluator.score(view, points, seeds, span, blocks)
        for name in self.optimized:
            outcomes = only_finite(outcomes, name)
        for name in self.names:
            column = outcomes.metrics.get(name)
            lacking = (outcomes.status == COMPLETED) & (True if column is None else ~column.present)
            outcomes = fail_without(outcomes, np.flatnonzero(lacking), name, "which a constraint names")
        return outcomes


@dataclass(frozen=True, slots=True)
class PerConfig:
    """Calls an objective once per config."""

    objective: Callable[[Config, Any], Any]
    space: Space
    metric: str
    randomness: GlobalRandomness = field(default_factory=GlobalRandomness)
    interpreter: Interpreter = field(default_factory=Interpreter)

    def score(
        self,
        view: BundleView | None,
        points: FloatArray,
        seeds: Sequence[int],
        span: ReportRange = WHOLE,
        blocks: BlockRequest | None = None,
        /,
    ) -> Outcomes:
        """Calls the objective once per config, with the process state restored before each; a call that raises fails alone.

        When the objective first draws from the global random states or damages the interpreter, the batch is scored again
        with protection against that.
        """
        repairing = self.interpreter.was_damaged
        call = self.interpreter.repairing(self.objective) if repairing else self.objective
        try:
            outcomes = self._score(call, view, points, seeds, span, blocks)
            again = not repairing and self.interpreter.repair()
        except BaseException:
            if repairing or not self.interpreter.repair():
                raise
            again = True
        if again or (len(points) > 1 and not self.randomness.is_used and self.randomness.look()):
            return self.score(view, points, seeds, span, blocks)
        return outcomes

    def _score(
        self,
        call: Callable[..., Any],
        view: BundleView | None,
        points: FloatArray,
        seeds: Sequence[int],
        span: ReportRange,
        blocks: BlockRequest | None,
    ) -> Outcomes:
        process_state = ProcessState()
        wanted = frozenset(blocks.rows.tolist()) if blocks is not None else frozenset[int]()
        sums: dict[int, FloatArray] = {}
        rows: list[Metrics | None] = []
        errors: dict[int, str] = {}
        checkpoints: dict[int, Checkpoint] = {}
        shares: dict[int, float] = {}
        trials: Sequence[int | None] = span.trials or [None] * len(points)
        clock = [perf_counter()]
        for row, (config, seed) in enumerate(zip(self.space.decode(points), seeds, strict=True)):
            if row == 0 or self.randomness.is_used:
                self.randomness.seed(seed)
            try:
                data = None if view is None else view.for_trial(seed)
                n_bars = None if data is None else data.n_bars
                with Reports(span.stop, span.starts.get(row), trials[row], n_bars) as reports:
                    try:
                        answer = copy_context().run(call, config, data)
                    except ReportLimitReached:
                        answer = None
                if span.stop is not None and not reports.any:
                    raise ObjectiveResultError(
                        "the objective ended without calling `rbt.report`, which this study needs for its fidelity."
                    )
                if answer is None:
                    answer = reports.latest
                metrics = metrics_of(answer, self.metric)
                if reports.any:
                    if reports.checkpoint is not None:
                        checkpoints[row] = reports.checkpoint
                    if (share := reports.share) < 1:
                        shares[row] = share
                if type(answer) is not float and (share := ended_share(answer)) < 1:
                    shares[row] = min(share, shares.get(row, 1.0))
                if type(answer) is not float and row in wanted and row not in shares:
                    assert blocks is not None
                    if (found := blocks.sums(answer)) is not None:
                        sums[row] = found
                rows.append(metrics)
            except BaseException as error:  # one config, even one that calls sys.exit, must not stop the others
                errors[row] = describe(error)
                rows.append(None)
            process_state.restore()
            if row == 0:
                self.randomness.look()
            clock.append(perf_counter())
        outcomes = _outcomes(rows, errors, np.diff(clock), self.metric, gathered(sums))
        shares = {row: share for row, share in shares.items() if outcomes.status[row] == COMPLETED}
        return replace(outcomes, checkpoints=checkpoints, shares=shares)


@dataclass(frozen=True, slots=True)
class Batched:
    """Calls an objective marked with `batched` once per batch."""

    objective: Callable[[list[Config], Any], Sequence[Any]]
    space: Space
    metric: str
    interpreter: Interpreter = field(default_factory=Interpreter)

    def score(
        self,
        view: BundleView | None,
        points: FloatArray,
        seeds: Sequence[int],
        _span: ReportRange = WHOLE,
        blocks: BlockRequest | None = None,
        /,
    ) -> Outcomes:
        """Calls the objective once; a batch that raises is retried in halves, so that only the configs at fault fail.

        The view has no seed, since results would then depend on how configs are batched.
        """
        start = perf_counter()
        configs = self.space.decode(points)
        rows: list[Metrics | None] | None = None
        sums: dict[int, FloatArray] = {}
        shares: dict[int, float] = {}
        process_state = ProcessState()
        try:
            answers = copy_context().run(self.interpreter.repairing(self.objective), configs, view)
            if not isinstance(answers, (Sequence, np.ndarray)) or len(answers) != len(configs):
                is_list = isinstance(answers, (Sequence, np.ndarray))
                raise ObjectiveResultError(
                    f"a batched objective returns a list of one result for each of its {len(configs)} params; "
                    f"got {f'{len(answers)} results' if is_list else short(answers)}."
                )
            shares = {row: share for row, answer in enumerate(answers) if (share := ended_share(answer)) < 1}
            if blocks is not None:
                sums = blocks.sums_of_rows(answers)
            rows = [metrics_of(answer, self.metric) for answer in answers]
        except BaseException as error:
            if len(configs) == 1:
                return _all_failed(1, describe(error), start)
        finally:
            process_state.restore()
        if rows is None:  # outside of the handler, so that errors of the halves are not chained to its error
            return _in_halves(self, view, points, seeds, blocks)
        each = (perf_counter() - start) / len(configs)
        sums = {row: found for row, found in sums.items() if row not in shares}
        outcomes = _outcomes(rows, {}, np.full(len(configs), each), self.metric, gathered(sums))
        return replace(outcomes, shares={row: one for row, one in shares.items() if outcomes.status[row] == COMPLETED})


@dataclass(frozen=True, slots=True)
class Sweep:
    """Passes columns of parameters to an objective that takes them."""

    objective: SweepObjective
    space: Space
    metric: str
    also_needed: tuple[str, ...] = ()

    def score(
        self,
        view: BundleView | None,
        points: FloatArray,
        seeds: Sequence[int],
        _span: ReportRange = WHOLE,
        blocks: BlockRequest | None = None,
        /,
    ) -> Outcomes:
        """Scores all configs in one pass over the bundle; the objective draws no random numbers."""
        start = perf_counter()
        n = len(points)
        wanted = tuple(dict.fromkeys((*self.objective.metrics, self.metric, *self.also_needed)))
        metrics: dict[str, Column] | None = None
        sums: BlockRows | None = None
        try:
            if view is None:
                raise ObjectiveError(f"{self.objective!r} needs prices: pass `bundle` to the Tuner.")
            columns = self.space.number_columns(points)
            values: Mapping[str, FloatArray]
            if blocks is not None and isinstance(self.objective, SweptObjective):
                values, found = self.objective.evaluate_with_blocks(view, columns, wanted, blocks)
                sums = BlockRows.finite(blocks.rows, found)
            else:
                values = self.objective.evaluate(view, columns, wanted)
            present = np.ones(n, dtype=bool)
            metrics = {
                name: Column("float", np.asarray(values[name], np.float64).reshape(n), present) for name in wanted
            }
        except BaseException as error:
            if n == 1:
                return _all_failed(1, describe(error), start)
        if metrics is None:
            return _in_halves(self, view, points, seeds, blocks)
        return finite_only(metrics, {}, np.full(n, (perf_counter() - start) / n), self.metric, sums)


def describe(error: BaseException) -> str:
    """Returns the error with the traceback of the user's frames, or the message alone if rbt_ray itself raised it."""
    own = objective_frames(error)
    try:
        if isinstance(error, RbtError) and all(
            frame.f_code.co_filename.startswith(_PACKAGE) for frame, _ in traceback.walk_tb(own)
        ):
            own = None
        text = "".join(traceback.format_exception(type(error), error, own)).rstrip()
    except BaseException:  # an exception whose __str__ raises or exits must still be reported
        return f"{type(error).__name__} (its message could not be formatted)"
    if len(text) <= _LONGEST_ERROR:
        return text
    half = _LONGEST_ERROR // 2
    return f"{text[:half]}\n... {len(text) - 2 * half:,} characters left out ...\n{text[-half:]}"


def _outcomes(
    rows: list[Metrics | None], errors: dict[int, str], durations: FloatArray, metric: str, sums: BlockRows | None
) -> Outcomes:
    return finite_only(metric_columns.from_rows(rows), errors, durations, metric, sums)


def _in_halves(
    evaluator: Batched | Sweep,
    view: BundleView | None,
    points: FloatArray,
    seeds: Sequence[int],
    blocks: BlockRequest | None,
) -> Outcomes:
    n, middle = len(points), len(points) // 2
    first, second = (None, None) if blocks is None else (blocks.part(0, middle), blocks.part(middle, n))
    left = evaluator.score(view, points[:middle], seeds[:middle], WHOLE, first)
    right = evaluator.score(view, points[middle:], seeds[middle:], WHOLE, second)
    return join_outcomes([left, right])


def join_outcomes(parts: Sequence[Outcomes]) -> Outcomes:
    """Returns the outcomes of several batches as those of one."""
    starts = np.concatenate([[0], np.cumsum([len(part) for part in parts])])
    n = int(starts[-1])
    places = [(part.metrics, np.arange(starts[i], starts[i + 1])) for i, part in enumerate(parts)]
    errors = {int(starts[i]) + row: text for i, part in enumerate(parts) for row, text in part.errors.items()}
    return Outcomes(
        np.concatenate([part.status for part in parts]),
        metric_columns.join(places, n),
        errors,
        np.concatenate([part.duration_s for part in parts]),
        block_sums=BlockRows.join(
            (part.block_sums, np.arange(starts[i], starts[i + 1])) for i, part in enumerate(parts)
        ),
    )


def _all_failed(n: int, reason: str, start: float) -> Outcomes:
    return Outcomes.all_failed(n, FAILED, reason, perf_counter() - start)

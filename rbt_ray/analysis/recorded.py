"""What a verdict is made from, as a study's journal records it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from rbt_ray.analysis.evidence import Moments, sharpe_ratios
from rbt_ray.analysis.overfitting import Cscv, cscv_of_sums
from rbt_ray.analysis.validation import validation_result
from rbt_ray.analysis.verdict import VerdictInputs
from rbt_ray.analysis.walk_forward import WalkForwardResult, walk_forward_of_sums
from rbt_ray.block_sums import Benchmark, BlockSums
from rbt_ray.errors import NoResultError
from rbt_ray.store.study_record import StudyRecord

_TRAIN_BLOCKS, _TEST_BLOCKS = 8, 1
_NO_RETURNS = (
    "no returns of trials are recorded. They are if the study has a `bundle` and its objective returns a Backtest, or a dict "
    "with the simple `returns` of each bar."
)


def cscv_of(record: StudyRecord) -> Cscv:
    """Returns the cross-validation of a study's sample of trials, or of its audit set if the search is adaptive.

    Raises:
        NoResultError: fewer than 2 trials have returns; the message says why.
    """
    benchmark = record.benchmark
    sums = record.audit_sums() if record.study.is_adaptive else record.block_sums()
    if benchmark is None or record.block_sums() is None:
        raise NoResultError(_NO_RETURNS)
    if sums is None:
        raise NoResultError(
            "the search is adaptive, so its trials are no sample of the space: set `audit=128` of TuneConfig."
        )
    is_sample = ~np.isin(sums.trials, record.table.trials[record.best_row])
    if not record.study.is_adaptive:
        is_sample |= record.is_drawn(sums.trials)
    sample = BlockSums.of_rows(sums.trials[is_sample], sums.rows()[is_sample])
    if len(sample) < 2:
        raise NoResultError(f"cross-validation compares at least 2 trials; {len(sample)} have returns.")
    return cscv_of_sums(sample, benchmark.lengths)


def verdict_inputs(record: StudyRecord) -> VerdictInputs:
    """Returns what the journal of a study says about its best trial."""
    study, table, benchmark, own = record.study, record.table, record.benchmark, record.block_sums()
    is_audit = study.is_adaptive and own is not None
    best = record.best_row
    winner = int(table.trials[best[0]]) if len(best) else None
    holdout, holdout_years = _holdout(record, winner)
    walk, name = None, "walk-forward"
    if benchmark is not None:
        walk = _validated(record, benchmark)
        if walk is not None and study.validation is not None:
            name = _validation_name(study.validation.name)
        elif (found := walk_forward_of(record)) is not None:
            walk = found
    return VerdictInputs(
        sums=record.audit_sums() if is_audit else own,
        benchmark=benchmark,
        winner=winner,
        best_value=float(table.numbers(study.metric)[best[0]]) if len(best) else math.nan,
        metric=study.metric,
        n_trials=len(table),
        n_evaluations=len(table),
        is_audit=is_audit,
        holdout=holdout,
        walk_forward=walk,
        walk_forward_name=name,
        is_done=record.is_done,
        moments=_moments(record, own),
        caveats=_caveats(record, own),
        winner_is_drawn=len(best) > 0 and bool(record.is_drawn(table.trials[best])[0]),
        benchmark_name=benchmark_name(record),
        holdout_years=holdout_years,
    )


def _validated(record: StudyRecord, benchmark: Benchmark) -> WalkForwardResult | None:
    """Returns the study's validation as a walk-forward; None without one, or without returns per bar."""
    if record.study.validation is None or record.validated is None:
        return None
    found = validation_result(record.validated, record.study.validation.name, record.study.metric)
    if not math.isfinite(found.sharpe):
        return None
    years = len(found.time) / benchmark.periods_per_year
    return WalkForwardResult((), found.sharpe, found.benchmark_sharpe, years)


def walk_forward_of(record: StudyRecord, *, anchored: bool = False) -> WalkForwardResult | None:
    """Returns the walk-forward by blocks of a study's sample of trials: 8 to choose on, at first, and the next one to test.

    None for a search that learns, whose trials are no sample; without returns per bar; or if a block is empty.
    """
    own, benchmark = record.block_sums(), record.benchmark
    if own is None or benchmark is None or record.study.is_adaptive:
        return None
    drawn = record.is_drawn(own.trials)
    if not drawn.any() or not benchmark.lengths.all():
        return None
    sample = BlockSums.of_rows(own.trials[drawn], own.rows()[drawn])
    return walk_forward_of_sums(sample, benchmark, _TRAIN_BLOCKS, _TEST_BLOCKS, anchored)


def _validation_name(name: str) -> str:
    """Returns a validation's name as a sentence has it, from the name of its class and settings."""
    return {"WalkForward": "walk-forward", "CPCV": "cross-validation"}.get(name.partition("(")[0], "the validation")


def _holdout(record: StudyRecord, winner: int | None) -> tuple[tuple[float, float] | None, float | None]:
    """Returns the annual Sharpe ratios of the best trial and of the benchmark on the hold-out, and its years."""
    bundle, benchmark = record.study.bundle, record.study.benchmark
    sharpe = _number(_reviewed(record, winner).get("holdout"), "sharpe")
    if sharpe is None or bundle is None or benchmark is None:
        return None, None
    beside = 0.0 if benchmark.holdout_sharpe is None else benchmark.holdout_sharpe
    return (sharpe, beside), (bundle.n_bars - bundle.train_bars) / benchmark.periods_per_year


def _reviewed(record: StudyRecord, winner: int | None) -> Mapping[str, Any]:
    rows = [] if record.review is None else record.review.rows
    return next((row for row in rows if row["trial"] == winner), {})


def _number(metrics: Any, name: str) -> float | None:
    value = metrics.get(name) if isinstance(metrics, dict) else None
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None


def _moments(record: StudyRecord, own: BlockSums | None) -> Moments | None:
    """Returns the moments of the best trial's returns, of a normal distribution if its metrics do not have them.

    None without returns of the best trial, and without a best trial.
    """
    table, benchmark, best = record.table, record.benchmark, record.best_row
    if benchmark is None or not len(best):
        return None
    n_bars = int(benchmark.lengths.sum())
    sharpe, skew, kurtosis = (float(table.numbers(name)[best[0]]) for name in ("sharpe", "skew", "kurtosis"))
    if np.isfinite([sharpe, skew, kurtosis]).all():
        return Moments(n_bars, sharpe / math.sqrt(benchmark.periods_per_year), skew, kurtosis)
    if own is None:
        return None
    rows = np.flatnonzero(own.trials == table.trials[best[0]])
    if not len(rows):
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        per_bar = float(sharpe_ratios(BlockSums.of_rows(own.trials[rows], own.rows()[rows]), float(n_bars))[0])
    return Moments(n_bars, per_bar) if math.isfinite(per_bar) else None


def _caveats(record: StudyRecord, own: BlockSums | None) -> tuple[str, ...]:
    found = [] if record.is_done else ["The study is not finished: this is about its trials so far."]
    study, best = record.study, record.best_row
    if study.further_goals:
        names = " and ".join(goal.metric for goal in study.goals)
        found.append(f"The search optimized {names}; this is about the best trial by {study.metric}.")
    if own is not None and not study.is_adaptive and len(own) < len(record):
        found.append(
            f"It is computed from {len(own):,} of {len(record):,} trials: a random sample of those with returns."
        )
    winner = int(record.table.trials[best[0]]) if len(best) else None
    at_order_level = _number(_reviewed(record, winner).get("order_level"), study.metric)
    if at_order_level is not None:
        found.append(
            f"With drifting holdings and exact orders, {study.metric} of the best trial is {at_order_level:.2f}."
        )
    return tuple(found)


def benchmark_name(record: StudyRecord) -> str:
    """Returns what trials are compared with, as in "over holding"."""
    benchmark = record.study.benchmark
    if benchmark is None or benchmark.kind in ("hold", "zero"):
        return "holding"
    return f"holding {benchmark.symbol}" if benchmark.symbol is not None else "the benchmark"

"""Converts the result of an objective for one config to metrics of plain Python values, and fails trials that lack a metric."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Mapping
from itertools import islice
from typing import Any

import numpy as np

from rbt_ray import metric_columns
from rbt_ray.block_sums import BlockRows
from rbt_ray.columns import Outcomes
from rbt_ray.errors import ObjectiveResultError
from rbt_ray.metric_columns import Column
from rbt_ray.recordable import LARGEST_INT
from rbt_ray.simulate.metrics import METRICS
from rbt_ray.study.values import to_python
from rbt_ray.types import COMPLETED, FAILED, RESULT_COLUMNS, FloatArray, IntArray, Metrics

_LONGEST_NAME = 1_000
_LONGEST_TEXT = 100_000
_MOST_METRICS = 10_000
_RETURNS = "returns"
"""The name under which a dict of metrics may bring the series of returns that they are computed from."""
_RATIOS = frozenset(metric.name for metric in METRICS if metric.unit == "ratio")


def metrics_of(answer: Any, metric: str) -> Metrics:
    """Returns the result of an objective as plain metrics; a number is the metric of the study.

    A series of `returns` in a dict is no metric; see `returns_of`.

    Raises:
        ObjectiveResultError: it is not a number, a dict of plain values, or a Backtest.
    """
    if type(answer) is float:
        return {metric: answer}
    number = to_python(answer)
    if isinstance(number, bool):
        raise ObjectiveResultError("the objective returned a bool; return a number, a dict of metrics or a Backtest.")
    if isinstance(number, (int, float)):
        return {metric: float(_plain(metric, number))}
    if not isinstance(answer, Mapping):
        metrics = getattr(answer, "metrics", None)
        if not callable(metrics):
            raise ObjectiveResultError(
                f"the objective returned {short(answer)}; return a number, a dict of metrics or a Backtest."
            )
        answer = metrics()
    found = {
        _name(name): _plain(name, value)
        for name, value in islice(answer.items(), _MOST_METRICS + 1)
        if name != _RETURNS or not _is_series(value)
    }
    if len(found) > _MOST_METRICS:
        raise ObjectiveResultError(f"a trial has at most {_MOST_METRICS:,} metrics; the objective returned more.")
    return found


def returns_of(answer: Any, n_bars: int) -> FloatArray | None:
    """Returns ``(n_bars,)`` the returns per bar of what an objective returned; None if it has none.

    Args:
        answer: a Backtest, the result of an adapter's backtest, or a dict with a series of `returns`.
        n_bars: bars of the data. A Backtest on other bars has no returns for them.

    Raises:
        ObjectiveResultError: the `returns` of a dict are not a finite number for each bar.
    """
    if not isinstance(answer, Mapping):
        found = getattr(answer, "returns", None)
        fits = isinstance(found, np.ndarray) and found.shape == (n_bars,) and found.dtype == np.float64
        return found if fits else None
    given = answer.get(_RETURNS)
    if not _is_series(given):
        return None
    try:
        series: FloatArray = np.asarray(given, np.float64)
    except (TypeError, ValueError) as error:
        raise ObjectiveResultError(
            f"`returns` are the strategy's simple returns per bar, as numbers; {error}."
        ) from None
    if series.shape != (n_bars,):
        raise ObjectiveResultError(
            f"`returns` are the strategy's simple returns, one for each of the {n_bars:,} bars of `data`; got shape "
            f"{series.shape}. On bars without a return, such as the first, it is 0."
        )
    missing = np.flatnonzero(~np.isfinite(series))
    if len(missing):
        raise ObjectiveResultError(
            f"`returns` are finite numbers; got {series[missing[0]]} on {len(missing):,} of {n_bars:,} bars, first on bar "
            f"{missing[0]}. On bars without a return it is 0."
        )
    return series


def ended_share(answer: Any) -> float:
    """Returns the share of the bars that a Backtest used: 1.0 unless its drawdown limit ended it, and for other answers."""
    if getattr(answer, "ended_bar", None) is None:
        return 1.0
    return float(answer.share)


def _is_series(value: Any) -> bool:
    return isinstance(value, (list, tuple)) or getattr(value, "ndim", 0) > 0


def _name(name: Any) -> str:
    if not isinstance(name, str):
        raise ObjectiveResultError(f"metrics are named by strings; the objective returned the name {short(name)}.")
    text: str = str.__str__(name)  # a subclass might not be picklable
    if len(text) > _LONGEST_NAME:
        raise ObjectiveResultError(f"a metric's name has at most {_LONGEST_NAME} letters; got {short(text)}.")
    if text in RESULT_COLUMNS or text.startswith("config/"):
        raise ObjectiveResultError(f"{text!r} is a column of the results already; call the metric something else.")
    return text


def _plain(name: str, value: Any) -> Any:
    if type(value) in (float, bool) or value is None:
        return value
    value = to_python(value)
    if value is None:
        return None
    if isinstance(value, int) and abs(value) > LARGEST_INT:
        raise ObjectiveResultError(
            f"metrics fit into a float; the objective returned an int of {value.bit_length():,} bits for {name!r}."
        )
    if isinstance(value, str):
        if len(value) > _LONGEST_TEXT:
            raise ObjectiveResultError(
                f"a metric that is text has at most {_LONGEST_TEXT:,} letters; the objective returned {len(value):,} for "
                f"{name!r}. Write large results to a file."
            )
        return str.__str__(value)
    for kind in (bool, int, float):
        if isinstance(value, kind):
            return kind(value)
    raise ObjectiveResultError(
        f"metrics are numbers, strings or None; the objective returned {short(value)} for {name!r}."
    )


def short(value: Any) -> str:
    """Returns the value and its type in about a hundred letters, for messages."""
    # reprlib shortens long values, but not bytes.
    text = reprlib.repr(bytes(value[:80]) if isinstance(value, (bytes, bytearray)) else value)
    return f"{text if len(text) <= 80 else text[:77] + '...'} ({type(value).__name__})"


def finite_only(
    metrics: Mapping[str, Column],
    errors: Mapping[int, str],
    durations: FloatArray,
    metric: str,
    sums: BlockRows | None = None,
) -> Outcomes:
    """Returns outcomes in which trials without a finite study metric have failed, and failed trials have only an error."""
    status = np.full(len(durations), COMPLETED, np.uint8)
    status[list(errors)] = FAILED
    return only_finite(Outcomes(status, metrics, errors, durations, block_sums=sums), metric)


def only_finite(outcomes: Outcomes, metric: str) -> Outcomes:
    """Like `finite_only`, for outcomes and one of the study's metrics."""
    metrics, completed = outcomes.metrics, outcomes.status == COMPLETED
    column = metrics.get(metric)
    numbers = np.full(len(outcomes), np.nan) if column is None else column.numbers()
    lacking = np.flatnonzero(~np.isfinite(numbers) & completed)
    return fail_without(outcomes, lacking, metric, "the study's metric")


def fail_without(outcomes: Outcomes, lacking: IntArray, metric: str, role: str) -> Outcomes:
    """Returns outcomes in which these trials have failed for lack of a metric, and failed trials have no metrics."""
    metrics, status = outcomes.metrics, outcomes.status.copy()
    if not status.any() and not len(lacking):
        return outcomes
    status[lacking] = FAILED
    reasons = {int(row): _why_lacking(metrics, int(row), metric, role) for row in lacking}
    kept = {name: c.only(status == COMPLETED) for name, c in metrics.items()}
    kept = {name: c for name, c in kept.items() if c.present.any()}
    shares = {row: share for row, share in outcomes.shares.items() if status[row] == COMPLETED}
    sums = None if outcomes.block_sums is None else outcomes.block_sums.only(status == COMPLETED)
    return Outcomes(
        status, kept, {**outcomes.errors, **reasons}, outcomes.duration_s, outcomes.checkpoints, shares, block_sums=sums
    )


def _why_lacking(metrics: Mapping[str, Column], row: int, metric: str, role: str) -> str:
    found = metric_columns.row(metrics, row)
    if metric not in found:
        names = ", ".join(found) or "nothing"
        return f"the objective returned no {metric!r}, {role}; it returned {names}."
    value = found[metric]
    if isinstance(value, float) and math.isnan(value):
        why = " (ratios are NaN if the strategy never trades)" if metric in _RATIOS else ""
        return f"the metric {metric!r} is nan{why}."
    return f"the metric {metric!r} is {value!r}, not a finite number."

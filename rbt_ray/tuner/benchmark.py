"""The benchmark of a study: returns per bar that its trials are compared with, and what the study records of them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from rbt_ray.block_sums import Benchmark
from rbt_ray.data import times
from rbt_ray.data.times import TimeArray
from rbt_ray.errors import SettingError
from rbt_ray.nearest import nearest
from rbt_ray.study.study import BenchmarkKind, StudyBenchmark
from rbt_ray.types import FloatArray

if TYPE_CHECKING:
    from rbt_ray.data.bundle import Bundle

HOLD = "hold"
_CELLS = 2**20
"""Prices processed at once, so that the memory does not grow with the bundle."""


def study_benchmark(given: Any, bundle: Bundle | None, train_bars: int) -> StudyBenchmark | None:
    """Returns what a new study records of its benchmark; None for a study without prices.

    Args:
        given: `TuneConfig.benchmark`.
        bundle: the prices of the study.
        train_bars: the number of training bars.

    Raises:
        SettingError: the bundle has no such symbol, or the series does not fit its bars.
    """
    if bundle is None:
        if given is not None and not (isinstance(given, str) and given == HOLD):
            raise SettingError("`benchmark` is compared with trials on the bars of a bundle, and there is no `bundle`.")
        return None
    kind: BenchmarkKind
    symbol, series = None, ()
    if given is None:
        kind = "zero"
    elif not isinstance(given, str):
        kind, series = "series", tuple(series_returns(given, bundle, train_bars).tolist())
    elif given == HOLD:
        kind = "hold"
    else:
        kind, symbol = "symbol", given
    without_sums = StudyBenchmark(kind, symbol, series, (), (), bundle.periods_per_year)
    without_sums = replace(without_sums, holdout_sharpe=_holdout_sharpe(without_sums, given, bundle, train_bars))
    of = Benchmark.of(benchmark_returns(without_sums, bundle, train_bars), bundle.periods_per_year)
    return replace(without_sums, sums=tuple(of.sums.tolist()), squares=tuple(of.squares.tolist()))


def _holdout_sharpe(recorded: StudyBenchmark, given: Any, bundle: Bundle, train_bars: int) -> float | None:
    try:
        if recorded.kind == "series":
            returns = series_returns(given, bundle, bundle.n_bars)[train_bars:]
        else:
            returns = benchmark_returns(recorded, bundle, bundle.n_bars)[train_bars:]
    except SettingError:  # it covers the training bars only
        return None
    if len(returns) < 2 or not (deviation := float(returns.std(ddof=1))) > 0:
        return None
    return float(returns.mean()) / deviation * math.sqrt(recorded.periods_per_year)


def benchmark_returns(recorded: StudyBenchmark, bundle: Bundle, train_bars: int) -> FloatArray:
    """Returns ``(train_bars,)`` the returns of a study's benchmark.

    Raises:
        SettingError: the bundle has no such symbol.
    """
    if recorded.kind == "zero":
        return np.zeros(train_bars)
    if recorded.kind == "series":
        return np.array(recorded.returns)
    return hold_returns(bundle, train_bars, recorded.symbol)


def hold_returns(bundle: Bundle, n_bars: int, symbol: str | None = None) -> FloatArray:
    """Returns ``(n_bars,)`` close-to-close returns of equal shares in all symbols, reset on every bar without costs.

    A share is cash before the first close of its symbol and after the last one. The return over bars without a close falls
    on the next close.

    Args:
        bundle: the prices.
        n_bars: the number of bars, from the first.
        symbol: hold this symbol alone; None: all.

    Raises:
        SettingError: the bundle has no such symbol.
    """
    if symbol is not None and symbol not in bundle.symbols:
        raise SettingError(
            f"`benchmark` is 'hold', a symbol of the bundle, a series or None; got {symbol!r}: "
            f"{nearest(symbol, (HOLD, *bundle.symbols))}"
        )
    close = bundle.close[:n_bars]
    if symbol is not None:
        close = close[:, [bundle.symbols.index(symbol)]]
    returns, last = np.zeros(n_bars), np.full((1, close.shape[1]), np.nan)
    step = max(1, _CELLS // close.shape[1])
    for start in range(0, n_bars, step):
        known = np.concatenate([last, close[start : start + step]])
        rows = np.maximum.accumulate(np.where(np.isnan(known), 0, np.arange(len(known))[:, None]), axis=0)
        known = np.take_along_axis(known, rows, axis=0)
        change = known[1:] / known[:-1] - 1.0
        returns[start : start + step] = np.where(np.isnan(change), 0.0, change).sum(axis=1) / close.shape[1]
        last = known[-1:]
    return returns


def series_returns(given: Any, bundle: Bundle, n_bars: int) -> FloatArray:
    """Returns ``(n_bars,)`` a benchmark that a user gave as simple returns.

    Args:
        given: an array with a return for each training bar, or for each bar of the bundle; or a pandas Series by date, which
            has a return for each training bar and may have others. Dates without a time zone are UTC.
        bundle: the prices.
        n_bars: the number of training bars.

    Raises:
        SettingError: it has another length or type, lacks a bar, or a return is not finite.
    """
    try:
        values: FloatArray = np.asarray(given, np.float64)
    except (TypeError, ValueError) as error:
        raise SettingError(f"`benchmark` as a series holds numbers, simple returns per bar: {error}.") from None
    if hasattr(given, "index") and hasattr(given, "to_numpy"):
        values = _by_date(given.index, values, bundle.index[:n_bars], bundle.tz)
    if values.shape not in ((n_bars,), (bundle.n_bars,)):
        raise SettingError(
            f"`benchmark` as an array has a simple return for each of the {n_bars:,} training bars; got shape "
            f"{values.shape}. Pass a pandas Series to select them by date."
        )
    values = values[:n_bars].copy()
    wrong = np.flatnonzero(~np.isfinite(values))
    if len(wrong):
        date = times.text(bundle.index[wrong[0]], bundle.tz)
        raise SettingError(
            f"`benchmark` has a finite return for each bar; got {values[wrong[0]]} on {len(wrong):,} bars, first on {date}. On "
            f"bars without a return it is 0."
        )
    return values


def _by_date(index: Any, values: FloatArray, bars: TimeArray, tz: str | None) -> FloatArray:
    if getattr(index, "tz", None) is not None:
        index = index.tz_convert("UTC").tz_localize(None)
    if getattr(getattr(index, "dtype", None), "kind", "") != "M" or values.ndim != 1:
        raise SettingError("`benchmark` as a pandas Series has an index of dates, as pandas.to_datetime makes it.")
    dates = np.asarray(index, "datetime64[ns]")
    order = np.argsort(dates, kind="stable")
    dates, values = dates[order], values[order]
    at = np.minimum(np.searchsorted(dates, bars), max(len(dates) - 1, 0))
    there = dates[at] == bars if len(dates) else np.zeros(len(bars), bool)
    if not there.all():
        missing = times.text(bars[np.argmin(there)], tz)
        raise SettingError(
            f"`benchmark` has no return on {int((~there).sum()):,} of the {len(bars):,} training bars, first on {missing}. "
            f"Give it one on each bar: 0 where it has none."
        )
    return values[at]

"""The benchmark setting: what a study records of it, and its returns per bar for workers."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from rbt_ray.block_sums import Benchmark
from rbt_ray.errors import SettingError
from rbt_ray.study.study import BenchmarkKind, StudyBenchmark
from rbt_ray.types import FloatArray

if TYPE_CHECKING:
    from rbt_ray.data.bundle import Bundle


def study_benchmark(given: Any, bundle: Bundle | None, train_bars: int) -> StudyBenchmark | None:
    """Returns what a new study records of its benchmark; None for a study without prices.

    Args:
        given: `TuneConfig.benchmark`.
        bundle: the prices of the study.
        train_bars: the number of training bars.

    Raises:
        SettingError: the bundle has no such symbol, or the series does not fit its bars.
    """
    from rbt_ray.data.benchmark import HOLD, series_returns

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
    from rbt_ray.data.benchmark import series_returns

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
    from rbt_ray.data.benchmark import hold_returns

    if recorded.kind == "zero":
        return np.zeros(train_bars)
    if recorded.kind == "series":
        return np.array(recorded.returns)
    return hold_returns(bundle, train_bars, recorded.symbol)

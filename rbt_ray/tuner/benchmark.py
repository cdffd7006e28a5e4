"""The benchmark setting: what a study records of it, and its returns per bar for workers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rbt_ray.block_sums import Benchmark
from rbt_ray.errors import SettingError
from rbt_ray.study.study import StudyBenchmark
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
    series: FloatArray | None = None
    if not (given is None or isinstance(given, str)):
        series = series_returns(given, bundle, train_bars)
    kind = "zero" if given is None else "series" if series is not None else "hold" if given == HOLD else "symbol"
    symbol = given if kind == "symbol" else None
    empty = StudyBenchmark(kind, symbol, () if series is None else tuple(series.tolist()), (), (), 0.0)
    of = Benchmark.of(benchmark_returns(empty, bundle, train_bars), bundle.periods_per_year)
    return StudyBenchmark(
        kind, symbol, empty.returns, tuple(of.sums.tolist()), tuple(of.squares.tolist()), of.periods_per_year
    )


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

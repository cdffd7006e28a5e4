"""A benchmark beside a run: its returns per bar, and the metrics of `metrics.BENCHMARK_METRICS`.

Source:
    Jensen (1968), "The Performance of Mutual Funds in the Period 1945-1964", Journal of Finance 23(2), 389-416: alpha.
    Goodwin (1998), "The Information Ratio", Financial Analysts Journal 54(4), 34-43.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from rbt_ray.errors import SettingError
from rbt_ray.nearest import nearest
from rbt_ray.simulate.metrics import BENCHMARK_METRICS, CONSTANT
from rbt_ray.types import FloatArray, IntArray, Metrics, floats, is_real

HOLD = "hold"
_CELLS = 2**20
"""Prices processed at once, so that the memory does not grow with the bundle."""


class Closes(Protocol):
    """What a benchmark needs of a bundle or of a view of one."""

    @property
    def symbols(self) -> tuple[str, ...]:
        """One for each column."""
        ...

    def __getitem__(self, field: str) -> FloatArray:
        """A field, ``(n_bars, n_symbols)``."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Beside:
    """What a run is compared with.

    Args:
        benchmark: ``(n_bars,)`` simple returns; None: the run has no metrics of a benchmark.
        risk_free: ``(n_bars,)`` simple returns of cash; None: it returns nothing.
    """

    benchmark: FloatArray | None = None
    risk_free: FloatArray | None = None

    @classmethod
    def of(
        cls, data: Closes, benchmark: str | ArrayLike | None, risk_free: float | ArrayLike, per_year: float
    ) -> Beside:
        """Returns what the arguments of `backtest` name.

        Raises:
            SettingError: an argument has another type, length or value.
        """
        n_bars = len(data["close"])
        beside = free = None
        if isinstance(benchmark, str):
            beside = hold_returns(data, n_bars, None if benchmark == HOLD else benchmark)
        elif benchmark is not None:
            beside = _returns("benchmark", "'hold', a symbol, None, or an array of simple returns", benchmark, n_bars)
        if not is_real(risk_free):
            free = _returns("risk_free", "a rate a year such as 0.03, or an array of simple returns", risk_free, n_bars)
        elif not np.isfinite(risk_free):
            raise SettingError(f"`risk_free` is a finite rate a year, such as 0.03 for 3 %; got {risk_free!r}.")
        elif risk_free:
            free = np.full(n_bars, risk_free / per_year)
        return cls(beside, free)

    def excess(self, returns: FloatArray, bars: IntArray | slice) -> FloatArray | None:
        """Returns what some bars earned above cash, ``(n_bars,)``; None if cash returns nothing."""
        return None if self.risk_free is None else returns - self.risk_free[bars]

    def metrics(self, returns: FloatArray, bars: IntArray | slice, per_year: float) -> Metrics:
        """Returns the metrics of some bars against the benchmark; none without one.

        Args:
            returns: ``(n_bars,)`` simple returns of the run on these bars.
            bars: their positions.
            per_year: bars a year.
        """
        if self.benchmark is None:
            return {}
        free: Any = 0.0 if self.risk_free is None else self.risk_free[bars]
        values = _compared(returns, self.benchmark[bars], free, per_year)
        return {metric.name: float(value) for metric, value in zip(BENCHMARK_METRICS, values, strict=True)}


def _compared(returns: FloatArray, benchmark: FloatArray, free: Any, per_year: float) -> tuple[float, ...]:
    """Returns the metrics in the order of `BENCHMARK_METRICS`."""
    active, own, other = returns - benchmark, returns - free, benchmark - free
    difference = np.prod(1.0 + returns) - np.prod(1.0 + benchmark)
    if len(returns) < 2:
        return float(difference), np.nan, np.nan, np.nan, np.nan
    moved = other - other.mean()
    variance = moved @ moved
    varies = variance / (len(other) - 1) > CONSTANT * other.mean() ** 2
    beta = moved @ (own - own.mean()) / variance if varies else np.nan
    error = active.std(ddof=1)
    ratio = active.mean() / error if error**2 > CONSTANT * active.mean() ** 2 else np.nan
    year = np.sqrt(per_year)
    return float(difference), (own.mean() - beta * other.mean()) * per_year, beta, error * year, ratio * year


def _returns(name: str, what: str, given: ArrayLike, n_bars: int) -> FloatArray:
    try:
        values = floats(given)
    except (TypeError, ValueError):
        raise SettingError(f"`{name}` is {what} per bar; got {type(given).__name__}.") from None
    if values.shape != (n_bars,) or not np.isfinite(values).all():
        wrong = f"shape {values.shape}" if values.shape != (n_bars,) else "a value that is not finite"
        raise SettingError(f"`{name}` is {what} per bar, of shape ({n_bars},) and finite; got {wrong}.")
    return values


def hold_returns(data: Closes, n_bars: int, symbol: str | None = None) -> FloatArray:
    """Returns ``(n_bars,)`` close-to-close returns of equal shares in all symbols, reset on every bar without costs.

    A share is cash before the first close of its symbol and after the last one. The return over bars without a close falls
    on the next close.

    Args:
        data: the prices.
        n_bars: the number of bars, from the first.
        symbol: hold this symbol alone; None: all.

    Raises:
        SettingError: the bundle has no such symbol.
    """
    if symbol is not None and symbol not in data.symbols:
        raise SettingError(
            f"`benchmark` is 'hold', a symbol of the bundle, a series or None; got {symbol!r}: "
            f"{nearest(symbol, (HOLD, *data.symbols))}"
        )
    close = data["close"][:n_bars]
    if symbol is not None:
        close = close[:, [data.symbols.index(symbol)]]
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

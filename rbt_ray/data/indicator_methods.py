"""Indicators: the methods of views that compute indicators of their fields."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rbt_ray.data.content import Fields
from rbt_ray.data.talib_indicator import talib_indicator
from rbt_ray.types import FloatArray, is_integer


class Indicators(Fields):
    """Has the standard fields as attributes and computes indicators, each ``(n_bars, n_symbols)`` float64 and read-only."""

    __slots__ = ()

    @property
    def open(self) -> FloatArray:
        """Opening prices of each bar."""
        return self["open"]

    def memo(self, fn: Callable[..., Any], *args: Any) -> Any:
        """Returns the result of a function of bars, computed once on each worker."""
        raise NotImplementedError

    def _of_values(self, name: str, values: FloatArray, window: int) -> FloatArray:
        """Returns an indicator of values ``(n_bars, n_symbols)``."""
        raise NotImplementedError

    def sma(self, field: str | FloatArray, window: int) -> FloatArray:
        """Simple moving average of the last `window` values of each symbol, ``(n_bars, n_symbols)``.

        NaN until a symbol has that many values. A bar without a value is skipped and gets the average of the bar before.

        Args:
            field: the name of a field, whose result is cached for later trials; or values ``(n_bars, n_symbols)``.
            window: number of bars, at least 1.
        """
        return self._indicator("sma", field, window)

    def ema(self, field: str | FloatArray, span: int) -> FloatArray:
        """Exponential moving average with alpha ``2 / (span + 1)``, which starts at the first value; see `sma`."""
        return self._indicator("ema", field, span)

    def rolling_mean(self, field: str | FloatArray, window: int) -> FloatArray:
        """Mean of the last `window` bars; see `sma`."""
        return self._indicator("rolling_mean", field, window)

    def rolling_std(self, field: str | FloatArray, window: int) -> FloatArray:
        """Sample deviation (``ddof=1``) of the last `window` bars, at least 2; see `sma`."""
        return self._indicator("rolling_std", field, window)

    def rolling_max(self, field: str | FloatArray, window: int) -> FloatArray:
        """Highest value of the last `window` bars; see `sma`."""
        return self._indicator("rolling_max", field, window)

    def rolling_min(self, field: str | FloatArray, window: int) -> FloatArray:
        """Lowest value of the last `window` bars; see `sma`."""
        return self._indicator("rolling_min", field, window)

    def ta(self, name: str, **parameters: Any) -> Any:
        """Calls a TA-Lib function on the bars of each symbol: `data.ta("RSI", timeperiod=14)`.

        The function gets the bars on which the symbol has values, and the fields it takes. A bar without a value gets the
        result of the bar before; before the first value the result is NaN.

        Args:
            name: the function, in upper or lower case.
            **parameters: its parameters, under TA-Lib's names.

        Returns:
            ``(n_bars, n_symbols)``, or for a function with several outputs a read-only mapping of such arrays under
            TA-Lib's names (MACD: `macd, macdsignal, macdhist`).

        Raises:
            InputError: TA-Lib is not installed, or has no such function or parameter.
            MissingFieldError: the function takes a field that the bundle lacks.
        """
        return self.memo(talib_indicator, name, tuple(sorted(parameters.items())))

    def _indicator(self, name: str, field: str | FloatArray, window: int) -> FloatArray:
        if not isinstance(field, str):
            return self._of_values(name, field, window)
        if type(window) is not int and is_integer(window):  # a numpy integer must have the same key
            window = int(window)
        return self.memo(_of_field, name, field, window)  # type: ignore[no-any-return]


def _of_field(data: Fields, name: str, field: str, window: int) -> FloatArray:
    return compute(name, data[field], window)


def compute(name: str, values: FloatArray, window: int) -> FloatArray:
    """Returns the indicator of that name of values ``(n_bars, n_symbols)``."""
    from rbt_ray.simulate import indicators

    result: FloatArray = getattr(indicators, name)(values, window)
    return result

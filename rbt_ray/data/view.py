"""BundleView: the `data` argument of objectives."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from rbt_ray.data import times
from rbt_ray.data.content import Fields, missing_field
from rbt_ray.data.memo import ABSENT, Memo, freeze
from rbt_ray.data.times import TimeArray
from rbt_ray.errors import InputError
from rbt_ray.types import BoolArray, FloatArray, is_integer

if TYPE_CHECKING:
    from rbt_ray.data.bundle import Bundle


class BundleView(Fields):
    """The first `n_bars` bars of a bundle, with a cache of results derived from them and a trial's seed.

    The fields are `data.open`, `high`, `low`, `close`, `volume` and `data["name"]`: read-only float64 arrays
    ``(n_bars, n_symbols)``, NaN where a symbol has no value. Made by `Bundle.view`.

    Attributes:
        n_bars: number of bars in the view.
        n_symbols: number of symbols.
        symbols: one for each column.
        fields: names of the fields.
        index: ``(n_bars,)`` datetime64[ns], UTC.
        tz: the time zone of the source's timestamps, or None.
        periods_per_year: bars in a year.
        listed_until: the time of the last bar of each symbol that was delisted before the view's last bar.
        version: the bundle's content hash.
        seed: the trial's, or None outside a trial.
    """

    __slots__ = (
        "_arrays",
        "_memo",
        "_rng",
        "_seedless",
        "fields",
        "index",
        "listed_until",
        "n_bars",
        "n_symbols",
        "periods_per_year",
        "seed",
        "symbols",
        "tz",
        "version",
    )

    def __init__(self, bundle: Bundle, n_bars: int, memo: Memo) -> None:
        self._arrays = {field: bundle[field][:n_bars] for field in bundle.fields}
        self._memo = memo
        self._rng: np.random.Generator | None = None
        self._seedless: BundleView | None = None  # None for self: a reference to itself would keep the memo alive
        self.fields = bundle.fields
        self.index: TimeArray = bundle.index[:n_bars]
        # A later end is in the future: an objective could avoid symbols that are going to be delisted.
        ended = {name: end for name, end in bundle.listed_until.items() if (end < self.index[-1:]).all()}
        self.listed_until = MappingProxyType(ended)
        self.n_bars = n_bars
        self.n_symbols = bundle.n_symbols
        self.periods_per_year = bundle.periods_per_year
        self.seed: int | None = None
        self.symbols = bundle.symbols
        self.tz = bundle.tz
        self.version = bundle.version

    def for_trial(self, seed: int) -> BundleView:
        """Returns a view with a trial's seed that shares arrays and cache with this one."""
        view = object.__new__(BundleView)
        for slot in BundleView.__slots__:
            setattr(view, slot, getattr(self, slot))
        view.seed, view._rng, view._seedless = seed, None, self._seedless or self
        return view

    def window(self, start: int, stop: int) -> BundleView:
        """Returns a view of the bars from `start` to before `stop`, with the cache and the trial's seed of this one."""
        view = object.__new__(BundleView)
        for slot in BundleView.__slots__:
            setattr(view, slot, getattr(self, slot))
        view._arrays = {field: values[start:stop] for field, values in self._arrays.items()}
        view._rng = None
        view.index = self.index[start:stop]
        ended = {name: end for name, end in self.listed_until.items() if (end < view.index[-1:]).all()}
        view.listed_until = MappingProxyType(ended)
        view.n_bars = len(view.index)
        if start:  # what the cache holds depends on the first bar
            view.version = f"{self.version}/from {start}"
        if self._seedless is not None:
            view._seedless = self._seedless.window(start, stop)
        return view

    def with_empty_memo(self) -> BundleView:
        """Returns a view of the same bars, with the trial's seed of this one and a cache of its own."""
        view = self.window(0, self.n_bars)
        view._memo = Memo()
        if view._seedless is not None:
            view._seedless = view._seedless.with_empty_memo()
            view._seedless._memo = view._memo
        return view

    @property
    def open(self) -> FloatArray:
        """Opening prices of each bar."""
        return self["open"]

    @property
    def rng(self) -> np.random.Generator:
        """The random generator of this trial, the same on every worker.

        Raises:
            InputError: the view does not belong to a trial.
        """
        if self._rng is None:
            if self.seed is None:
                raise InputError(
                    "This view belongs to no trial, so it has no random numbers: trials share the results of `data.memo`, "
                    "and a batched objective runs many trials at once. Outside a study, use view.for_trial(seed)."
                )
            self._rng = np.random.default_rng(self.seed)
        return self._rng

    def __getitem__(self, field: str) -> FloatArray:
        """Returns the values of a field; raises `MissingFieldError` if the bundle has no such field."""
        try:
            return self._arrays[field]
        except (KeyError, TypeError):
            raise missing_field(field, self.fields) from None

    def memo(self, fn: Callable[..., Any], *args: Any) -> Any:
        """Returns `fn(view, *args)`, computed once on each worker for each number of bars, and cached up to a limit of memory.

        Args:
            fn: a module-level function. A lambda that each trial creates is a new key each time. Its view has no seed,
                since trials share the result.
            *args: hashable; 5, 5.0 and True are three different arguments.

        Returns:
            The result of `fn`, with read-only arrays and mappings.

        Raises:
            InputError: an argument is not hashable, or the result cannot be made read-only.
        """
        key = (fn, args, _types(args), self.n_bars, self.version)
        try:
            found = self._memo.get(key)
        except TypeError:
            shown = ", ".join(type(arg).__name__ for arg in args)
            raise InputError(
                f"`data.memo({_name(fn)}, ...)`: arguments must be hashable, like numbers, strings and tuples; got "
                f"{shown}. Pass a tuple instead of a list, and the name of a field instead of an array."
            ) from None
        if found is not ABSENT:
            return found
        result = freeze(fn(self._seedless or self, *args), _name(fn))
        self._memo.put(key, result)
        return result

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
            return freeze(_compute(name, field, window), name)  # type: ignore[no-any-return]
        if type(window) is not int and is_integer(window):  # a numpy integer must have the same key
            window = int(window)
        return self.memo(_of_field, name, field, window)  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        start, end = (times.text(self.index[bar], self.tz) for bar in (0, -1))
        seed = "" if self.seed is None else f", seed {self.seed}"
        return f"<BundleView: {self.n_bars:,} bars from {start} to {end}, {self.n_symbols} symbols{seed}>"


def _of_field(view: BundleView, name: str, field: str, window: int) -> FloatArray:
    return _compute(name, view[field], window)


def _compute(name: str, values: FloatArray, window: int) -> FloatArray:
    from rbt_ray.simulate import indicators

    result: FloatArray = getattr(indicators, name)(values, window)
    return result


def _types(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Returns the types of the arguments, also inside tuples: 5 == 5.0, but a function may distinguish them."""
    types = tuple(map(type, args))
    return tuple(_types(arg) if type(arg) is tuple else type(arg) for arg in args) if tuple in types else types


def _name(fn: Callable[..., Any]) -> str:
    return getattr(fn, "__name__", None) or repr(fn)


def talib_indicator(
    view: BundleView, name: str, parameters: tuple[tuple[str, Any], ...]
) -> FloatArray | dict[str, FloatArray]:
    """Calls a TA-Lib function for each symbol; see `BundleView.ta`.

    Source:
        https://ta-lib.github.io/ta-lib-python/abstract.html: names of inputs, parameters and outputs.
    """
    try:
        import talib
    except ImportError:
        raise InputError(
            f"`data.ta({name!r})` needs TA-Lib, which is not installed: pip install 'rbt-ray[ta]'."
        ) from None
    function = str(name).upper()
    _known(function, talib.get_functions(), "TA-Lib has no function", name)
    asked: Any = importlib.import_module("talib.abstract").Function(function)
    for parameter, _ in parameters:
        _known(parameter, asked.parameters, f"{function} has no parameter", parameter)
    inputs = [view[field] for field in _fields(asked.input_names)]
    outputs: list[str] = asked.output_names
    results = {output: np.full((view.n_bars, view.n_symbols), np.nan) for output in outputs}
    for position in range(view.n_symbols):
        columns = [values[:, position] for values in inputs]
        known: BoolArray = np.logical_and.reduce(~np.isnan(columns), axis=0)  # after a NaN, TA-Lib returns only NaN
        if not known.any():
            continue
        try:
            computed = getattr(talib, function)(*(column[known] for column in columns), **dict(parameters))
        except Exception as error:  # TA-Lib raises no narrower type for a parameter out of range
            given = ", ".join(f"{key}={value!r}" for key, value in parameters)
            raise InputError(f"`data.ta({name!r}, {given})`: TA-Lib refuses these parameters: {error}.") from None
        begun = int(np.argmax(known))
        own_bar = np.cumsum(known[begun:]) - 1  # for a bar without values, the last bar with values
        for output, values in zip(outputs, computed if len(outputs) > 1 else [computed], strict=True):
            results[output][begun:, position] = values[own_bar]
    return results if len(outputs) > 1 else results[outputs[0]]


def _fields(inputs: Mapping[str, str | list[str]]) -> list[str]:
    """Returns the fields in the order of the function's arguments: `{"price": "close", "prices": ["volume"]}` is close, volume."""
    return [field for value in inputs.values() for field in ([value] if isinstance(value, str) else value)]


def _known(name: str, names: Iterable[str], what: str, given: str) -> None:
    known = list(names)
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        hint = f"the nearest: {', '.join(near)}" if near else f"it has {', '.join(known[:12]) or 'none'}"
        raise InputError(f"{what} {given!r}; {hint}.")

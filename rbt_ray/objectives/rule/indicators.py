"""Computes the indicators of a rule once for each set of parameter values that they read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

import numpy as np

from rbt_ray.errors import ObjectiveResultError
from rbt_ray.types import FloatArray, IntArray, floats

if TYPE_CHECKING:
    from rbt_ray.data.view import BundleView

Indicator: TypeAlias = "Callable[[BundleView, Mapping[str, Any]], Any]"
"""``(n_bars, n_symbols)`` from prices and the parameters of a config by name."""


class _ReadsAnother(BaseException):
    """An indicator reads parameters that were not given to it. No `except Exception` of the indicator may catch it."""

    def __init__(self, names: frozenset[str]) -> None:
        super().__init__()
        self.names = names


class _Given(Mapping[str, Any]):
    """The parameters that an indicator is known to read; reading another one of the rule's raises `_ReadsAnother`."""

    def __init__(self, given: dict[str, Any], names: frozenset[str]) -> None:
        self._given, self._names = given, names

    def __getitem__(self, name: str) -> Any:
        if name in self._names and name not in self._given:
            raise _ReadsAnother(frozenset({name}))
        return self._given[name]

    def __iter__(self) -> Iterator[str]:
        self._require_all()
        return iter(self._given)

    def __len__(self) -> int:
        return len(self._names)

    def _require_all(self) -> None:
        if len(self._given) < len(self._names):
            raise _ReadsAnother(self._names)


def indicators_of(
    indicators: Mapping[str, Indicator],
    whole: frozenset[str],
    data: BundleView,
    columns: Mapping[str, FloatArray],
    n_rows: int,
) -> tuple[IntArray, list[FloatArray]]:
    """Returns the addresses of the indicators of each config, ``(n_indicators, n_rows)`` flat, and the arrays, to be kept alive.

    Args:
        indicators: by name.
        whole: the parameters that are whole numbers.
        data: prices.
        columns: ``(n_configs,)`` values of each parameter.
        n_rows: at least the number of configs; rows without a config have the indicators of the last one.

    Raises:
        ObjectiveResultError: an indicator returns no ``(n_bars, n_symbols)`` numbers.
    """
    n_configs, names = len(next(iter(columns.values()))), frozenset(columns)
    addresses = np.empty((len(indicators), n_rows), np.int64)
    arrays: list[FloatArray] = []
    for k, (name, indicator) in enumerate(indicators.items()):
        read: frozenset[str] = frozenset()
        while True:
            used = tuple(sorted(read))
            keys = np.array([columns[one] for one in used]).reshape(len(used), n_configs)
            distinct, of_config = np.unique(keys, axis=1, return_inverse=True)
            try:
                found = [
                    data.memo(
                        _values, name, indicator, names,
                        tuple((one, int(v) if one in whole else float(v)) for one, v in zip(used, values, strict=True)),
                    )
                    for values in distinct.T
                ]  # fmt: skip
            except _ReadsAnother as more:
                read |= more.names
                continue
            break
        arrays += found
        addresses[k, :n_configs] = np.array([values.ctypes.data for values in found])[of_config.ravel()]
        addresses[k, n_configs:] = addresses[k, n_configs - 1]
    return addresses.ravel(), arrays


def _values(
    data: BundleView, name: str, indicator: Indicator, names: frozenset[str], given: tuple[tuple[str, Any], ...]
) -> FloatArray:
    result = indicator(data, _Given(dict(given), names))
    try:
        values = np.ascontiguousarray(floats(result))
    except (TypeError, ValueError) as error:
        _refuse(name, given, f"it returned {type(result).__name__}, which holds no numbers: {error}")
    if values.shape != (data.n_bars, data.n_symbols):
        _refuse(name, given, f"it returned an array of shape {values.shape}")
    return values


def _refuse(name: str, given: tuple[tuple[str, Any], ...], what: str) -> NoReturn:
    shown = ", ".join(f"{key}={value!r}" for key, value in given)
    raise ObjectiveResultError(
        f"the indicator `{name}`{f' with {shown}' if shown else ''} is an array of shape (n_bars, n_symbols); {what}."
    )

"""Calls TA-Lib's functions on the bars of each symbol."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from rbt_ray.data.content import Fields
from rbt_ray.errors import InputError
from rbt_ray.types import BoolArray, FloatArray


def talib_indicator(
    data: Fields, name: str, parameters: tuple[tuple[str, Any], ...]
) -> FloatArray | dict[str, FloatArray]:
    """Calls a TA-Lib function for each symbol; see `Indicators.ta`.

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
    inputs = [data[field] for field in _fields(asked.input_names)]
    outputs: list[str] = asked.output_names
    results = {output: np.full(inputs[0].shape, np.nan) for output in outputs}
    for position in range(inputs[0].shape[1]):
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

"""Data frames and series of pandas and polars as names and arrays, which are the same in every process."""

from __future__ import annotations

import sys
from typing import Any


def made_of(value: Any) -> list[Any] | None:
    """What a frame, a series or an index is made of: names, types and columns; None for anything else."""
    pandas, polars = sys.modules.get("pandas"), sys.modules.get("polars")  # without which there are no such values
    if pandas is not None:
        if isinstance(value, pandas.DataFrame):
            return ["frame", value.index, value.columns, [value.iloc[:, n].array for n in range(value.shape[1])]]
        if isinstance(value, pandas.Series):
            return ["series", value.index, value.name, value.array]
        if isinstance(value, pandas.MultiIndex):
            return ["levels", list(value.names), [value.get_level_values(n) for n in range(value.nlevels)]]
        if isinstance(value, pandas.Index):
            return ["index", value.name, value.array]
        if isinstance(value, pandas.api.extensions.ExtensionArray):
            return ["array", str(value.dtype), *_pandas_array(value)]
    if polars is not None:
        if isinstance(value, polars.DataFrame):
            return ["frame", [value.get_column(name) for name in value.columns]]
        if isinstance(value, polars.Series):
            return ["series", value.name, str(value.dtype), *_polars_array(value)]
    return None


def _pandas_array(array: Any) -> list[Any]:
    if array.dtype.kind in "mM" and hasattr(array, "asi8"):
        return [array.asi8]
    if hasattr(array, "codes"):  # of categories
        return [array.codes, array.categories]
    stored = getattr(array.dtype, "numpy_dtype", None)
    if array.dtype.kind in "biuf" and stored is not None:
        missing = array.isna()
        return [missing, array.to_numpy(dtype=stored, na_value=0)] if missing.any() else [array.to_numpy()]
    if array.dtype.kind in "biuf" or stored is not None or str(array.dtype).startswith(("str", "large_string")):
        return [array.to_numpy()]
    return [list(map(repr, array))]  # such as periods and intervals


def _polars_array(series: Any) -> list[Any]:
    if series.dtype.is_numeric() and not series.null_count():
        return [series.to_numpy()]
    return [series.to_list()]

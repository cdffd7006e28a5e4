"""Columns of symbols and of numbers, as pandas has them, to numpy; with the row of a cell that is neither."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rbt_ray.data.checks import Origin
from rbt_ray.errors import BundleError
from rbt_ray.types import FloatArray, IntArray

if TYPE_CHECKING:
    Column = pd.Series[Any]

Names: TypeAlias = NDArray[np.object_]
"""``(n_rows,)`` a symbol each."""


def symbols(column: Column, origin: Origin, rows: IntArray) -> Names:
    """The symbol of each row as text; `BundleError` names the first row without one."""
    names: Names = column.astype(str).to_numpy(dtype=object)
    blank = column.isna().to_numpy() | (names == "")
    if blank.any():
        row = rows[np.argmax(blank)]
        raise BundleError(f"{origin.where(None, row)}: there is no symbol. Fill it, or remove the row.")
    if column.dtype == object and column.nunique() != pd.Series(names).nunique():
        first = pd.Series(names).map(column.groupby(names).nunique()).gt(1).to_numpy()
        row = int(np.argmax(first))
        raise BundleError(
            f"{origin.where(names[row], rows[row])}: the symbol is a number in some rows and text in others. Write it one way."
        )
    return names


def numbers(column: Column, origin: Origin, rows: IntArray, symbol: str | Names) -> FloatArray:
    """A column as float64, NaN for empty cells; `BundleError` names the first cell that is no number.

    Args:
        column: numbers, or objects or text that stand for numbers.
        origin: where they are, for messages.
        rows: row numbers, for messages.
        symbol: whose values they are, one for all or one a row.
    """
    if pd.api.types.is_numeric_dtype(column.dtype):
        known: FloatArray = column.to_numpy(np.float64, na_value=np.nan)
        return known
    values = np.full(len(column), np.nan)
    if column.dtype.kind not in "mM":  # dates would become nanoseconds
        values = pd.to_numeric(column.astype(object), errors="coerce").to_numpy(np.float64, na_value=np.nan)
    text = np.isnan(values) & column.notna().to_numpy()
    if text.any():
        row = int(np.argmax(text))
        whose = symbol if isinstance(symbol, str) else str(symbol[row])
        raise BundleError(
            f"{origin.where(whose, rows[row])}: `{column.name}` is {str(column.iloc[row])[:60]!r}, which is no number. "
            "Correct it, leave the cell empty if the value is not known, or remove the column if it is no field."
        )
    return values

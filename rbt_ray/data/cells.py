"""Columns of symbols and of numbers, as pandas has them, to numpy; with the row of a cell that is neither."""

from __future__ import annotations

import sys
from collections.abc import Hashable
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rbt_ray.data.checks import Origin
from rbt_ray.errors import BundleError
from rbt_ray.types import FloatArray, IntArray

if TYPE_CHECKING:
    Column = pd.Series[Any]

_REAL = (int, float, Decimal, np.integer, np.floating, np.bool_, str, bytes)
"""What a cell of objects may be to stand for a number."""
_LARGEST = int(sys.float_info.max)

Names: TypeAlias = NDArray[np.object_]
"""``(n_rows,)`` a symbol each."""


def symbols(column: Column, origin: Origin, rows: IntArray) -> Names:
    """The symbol of each row as text; `BundleError` names the first row without one."""
    names: Names = texts(column, origin, rows).to_numpy(dtype=object)
    blank = column.isna().to_numpy() | (names == "")
    if blank.any():
        row = rows[np.argmax(blank)]
        raise BundleError(f"{origin.where(None, row)}: there is no symbol. Fill it, or remove the row.")
    try:
        is_mixed = column.dtype == object and column.nunique() != pd.Series(names).nunique()
    except TypeError:  # lists and other things that nothing can be looked up by
        row = next((row for row, cell in enumerate(column) if not isinstance(cell, Hashable)), 0)
        raise BundleError(
            f"{origin.where(None, rows[row])}: `{column.name}` is {shown(column.iloc[row])}, which is no name. Write symbols as "
            "text."
        ) from None
    if is_mixed:
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
    if pd.api.types.is_numeric_dtype(column.dtype) and column.dtype.kind != "c":
        with np.errstate(over="ignore"):  # a long double above all float64 becomes infinite, which is refused
            known: FloatArray = column.to_numpy(np.float64, na_value=np.nan)
        return known
    values = np.full(len(column), np.nan)
    if column.dtype.kind not in "mMc":  # dates would become nanoseconds, and complex numbers lose a part
        values = _of_objects(column.astype(object).to_numpy())
    text = np.isnan(values) & column.notna().to_numpy()
    if text.any():
        row = int(np.argmax(text))
        whose = symbol if isinstance(symbol, str) else str(symbol[row])
        raise BundleError(
            f"{origin.where(whose, rows[row])}: `{column.name}` is {shown(column.iloc[row])}, which is no number. "
            "Correct it, leave the cell empty if the value is not known, or remove the column if it is no field."
        )
    return values


def texts(column: Column, origin: Origin, rows: IntArray) -> Column:
    """Each cell as text; `BundleError` names the first cell that has none."""
    try:
        return column.astype(str)
    except (TypeError, ValueError):
        row = next((row for row, cell in enumerate(column) if not _has_text(cell)), 0)
        raise BundleError(
            f"{origin.where(None, rows[row])}: `{column.name}` is {shown(column.iloc[row])}, which has no text. Correct it."
        ) from None


def shown(cell: object) -> str:
    """A cell for a message: the beginning of its text."""
    return repr(str(cell)[:60]) if _has_text(cell) else f"a value of type {type(cell).__name__}"


def _of_objects(cells: Names) -> FloatArray:
    """``(n_rows,)`` the number each cell is or stands for; NaN for others, with which pandas does odd things."""
    if not all(issubclass(kind, _REAL) for kind in set(map(type, cells))):
        cells = _column([_real(cell) for cell in cells])
    try:
        with np.errstate(over="ignore"):
            return _to_numbers(cells)
    except OverflowError:  # Python's ints have no largest one
        return _to_numbers(
            _column([None if isinstance(cell, int) and abs(cell) > _LARGEST else cell for cell in cells])
        )


def _to_numbers(cells: Names) -> FloatArray:
    found: FloatArray = pd.to_numeric(pd.Series(cells, dtype=object), errors="coerce").to_numpy(
        np.float64, na_value=np.nan
    )
    return found


def _column(cells: list[object]) -> Names:
    column: Names = np.empty(len(cells), object)
    column[:] = cells
    return column


def _real(cell: object) -> object:
    """The cell if it may stand for a number, the element of a 0-d array; else None."""
    if isinstance(cell, np.ndarray) and cell.ndim == 0 and not np.ma.is_masked(cell):
        cell = cell[()]
    return cell if isinstance(cell, _REAL) else None


def _has_text(cell: object) -> bool:
    try:
        _ = cell.decode() if isinstance(cell, bytes) else str(cell)
    except ValueError:  # bytes of another encoding, and ints of more digits than Python writes
        return False
    return True

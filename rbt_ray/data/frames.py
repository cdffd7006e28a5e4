"""Converts a pandas, polars or pyarrow frame, long or wide, to the rows of each symbol."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Hashable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from rbt_ray.data import cells
from rbt_ray.data.content import STANDARD
from rbt_ray.data.series import Origin, Series, Source
from rbt_ray.errors import BundleError
from rbt_ray.types import FloatArray, IntArray

DATES, SYMBOL = ("date", "timestamp", "datetime"), "symbol"
_THE_FRAME = Origin("the frame")


def read(frame: Any, symbol: str | None = None) -> Source:
    """Returns the series of a frame with rows in any order.

    Args:
        frame: see `Bundle.from_frame`.
        symbol: the symbol of a frame with fields but without symbols.

    Raises:
        BundleError: it is not a frame, or lacks dates, symbols or numbers.
    """
    given = _with_names(_to_pandas(frame))
    return table(given, _THE_FRAME, any_order=True, symbol=only_symbol(given, symbol))


def table(
    frame: pd.DataFrame,
    origin: Origin,
    rows: IntArray | None = None,
    *,
    any_order: bool,
    symbol: str | None = None,
    notes: Mapping[str, str] | None = None,
) -> Source:
    """Returns the series of a pandas frame.

    Args:
        frame: long or wide; see `Bundle.from_frame`.
        origin: where the rows are, for messages.
        rows: ``(n_rows,)`` row numbers for messages; None counts from 0.
        any_order: whether rows may come in any order.
        symbol: the symbol all rows belong to, where the frame has no column for it.
        notes: metadata for the bundle.
    """
    rows = np.arange(len(frame)) if rows is None else rows
    if not len(frame):
        raise BundleError(f"{origin.name} has no rows, and so no prices.")
    _check_names(frame.columns, origin)
    for name, dtype in frame.dtypes.items():
        if dtype.kind == "V":
            raise BundleError(f"{origin.name}: column {name!r} holds raw bytes ({dtype}). Convert or remove it.")
    if frame.columns.nlevels > 1:
        series = _by_field(frame, origin, rows)
    else:
        frame = _named(frame, origin, has_symbol=symbol is not None)
        date = next((name for name in DATES if name in frame.columns), None)
        if date is None:
            raise BundleError(
                f"{origin.name} has no column `date` or `timestamp`, and no index of dates; "
                f"its columns are {_listed(frame)}. Rename the one that holds the dates."
            )
        stamps, tz = cells.dates(frame[date], origin, rows)
        all_rows = Series(symbol or "", origin, stamps, tz, {}, rows)
        series = _series(frame.drop(columns=date), all_rows)
    return Source(series, any_order, dict(notes or {}))


def _with_names(frame: pd.DataFrame) -> pd.DataFrame:
    """Returns the frame with names of bytes decoded; refuses names that cannot be hashed or converted to text."""
    names = [name for column in frame.columns for name in (column if isinstance(column, tuple) else (column,))]
    try:
        hash(tuple(names))
        if any(isinstance(name, bytes) for name in names):
            frame = frame.rename(columns=lambda name: name.decode() if isinstance(name, bytes) else name)
        if frame.columns.dtype == np.longdouble:  # pandas cannot look these up
            frame = frame.set_axis(list(map(str, names)), axis=1)
        "".join(map(str, names))
    except (TypeError, ValueError) as error:
        raise BundleError(
            f"the frame has a column whose name is neither text nor a number: {error}. Rename it."
        ) from None
    return frame


def _check_names(columns: pd.Index, origin: Origin) -> None:
    """Refuse columns without a name, and different names with the same text: 700 and "700"."""
    for level in range(columns.nlevels):
        if columns.get_level_values(level).isna().any():
            raise BundleError(f"{origin.name} has a column without a name (NaN or None). Name it, or remove it.")
        kinds: dict[str, Hashable] = {}
        for name in columns.get_level_values(level).unique():
            other = kinds.setdefault(str(name), name)
            if other is not name:
                raise BundleError(
                    f"{origin.name} has columns {other!r} ({type(other).__name__}) and {name!r} ({type(name).__name__}), "
                    "which have the same name as text. Rename or remove one of them."
                )


def only_symbol(frame: pd.DataFrame, symbol: str | None) -> str | None:
    """Returns the symbol if the frame has fields but no symbols, as yfinance's frames of one ticker do; else None."""
    if frame.columns.nlevels > 1:
        return None
    names = {_usual(name) for name in (*frame.columns, *frame.index.names)}
    return symbol if SYMBOL not in names and any(name in names for name in STANDARD) else None


def _to_pandas(frame: Any) -> pd.DataFrame:
    if isinstance(frame, pd.DataFrame):
        return frame
    if hasattr(frame, "collect") and not hasattr(frame, "__arrow_c_stream__"):  # a polars LazyFrame
        frame = frame.collect()
    if hasattr(frame, "__arrow_c_stream__"):
        import pyarrow as pa

        with contextlib.suppress(pa.ArrowInvalid, TypeError):  # a Series can be streamed, but is not a table
            converted: pd.DataFrame = pa.table(frame).to_pandas()
            return converted
    raise BundleError(
        "A bundle is made from a pandas, polars or pyarrow frame, long (date, symbol, close, ...) or wide "
        f"(a column for each symbol); got {type(frame).__name__}."
    )


def _named(frame: pd.DataFrame, origin: Origin, *, has_symbol: bool) -> pd.DataFrame:
    """Returns the frame with standard column names; an index of dates or symbols becomes a column."""
    frame = frame.rename(columns=_usual)
    for level, name in enumerate(frame.index.names):
        values = frame.index.get_level_values(level)
        usual = "date" if name is None and _holds_times(values) else _usual(name)
        if _holds_times(values) and usual not in DATES:
            usual = "date"
        if usual in (*DATES, SYMBOL) and usual not in frame.columns:
            frame = frame.assign(**{str(usual): values})
    if has_symbol or SYMBOL in frame.columns or "close" in frame.columns:
        frame = frame.rename(columns={name.upper(): name for name in STANDARD})
    twice = [name for name, count in Counter(frame.columns).items() if count > 1]
    if twice:
        raise BundleError(f"{origin.name} has more than one column `{twice[0]}`. Rename or remove all but one.")
    return frame.reset_index(drop=True)


def _holds_times(index: pd.Index) -> bool:
    return index.dtype.kind == "M" or isinstance(index, pd.PeriodIndex)


def _usual(name: Hashable) -> Hashable:
    """Returns a standard name in lower case, other names as they are; LOW and OPEN may be stocks in a wide table."""
    lower = name.lower() if isinstance(name, str) else ""
    if lower in (*DATES, SYMBOL, "close") or (lower in STANDARD and name != lower.upper()):
        return lower
    return name


def _series(frame: pd.DataFrame, all_rows: Series) -> list[Series]:
    """Returns the series of a table whose dates are in `all_rows`: long, of one symbol, or wide."""
    origin, rows = all_rows.origin, all_rows.rows
    if all_rows.symbol:
        fields = frame.drop(columns=SYMBOL, errors="ignore")
        return [replace(all_rows, columns=_fields(fields, origin, rows, all_rows.symbol))]
    if SYMBOL in frame.columns:
        names = cells.symbols(frame[SYMBOL], origin, rows)
        codes, symbols = pd.factorize(names, sort=True)
        whole = replace(all_rows, columns=_fields(frame.drop(columns=SYMBOL), origin, rows, names))
        by_symbol = np.argsort(codes, kind="stable")
        parts = np.split(by_symbol, np.flatnonzero(np.diff(codes[by_symbol])) + 1)
        return [replace(whole.take(part), symbol=str(name)) for part, name in zip(parts, symbols, strict=True)]
    if any(name in STANDARD for name in frame.columns):
        raise BundleError(
            f"{origin.name} has no column `symbol`; its columns are {_listed(frame)}. Add one with the "
            "symbol of each row: frame.assign(symbol='AAPL')."
        )
    if not len(frame.columns):
        raise BundleError(f"{origin.name} has only dates; a wide table has a column of closes for each symbol.")
    closes = {str(name): cells.numbers(frame[name], origin, rows, str(name)) for name in frame.columns}
    return [replace(all_rows, symbol=symbol, columns={"close": values}) for symbol, values in closes.items()]


def _fields(frame: pd.DataFrame, origin: Origin, rows: IntArray, symbol: str | cells.Names) -> dict[str, FloatArray]:
    return {str(name): cells.numbers(frame[name], origin, rows, symbol) for name in frame.columns}


def _by_field(frame: pd.DataFrame, origin: Origin, rows: IntArray) -> list[Series]:
    """Returns the series of a wide frame with columns (field, symbol) or (symbol, field)."""
    if frame.columns.nlevels != 2 or not _holds_times(frame.index):
        raise BundleError(
            f"{origin.name}: columns of several levels must be (field, symbol) over an index of dates; "
            f"got {frame.columns.nlevels} levels over an index of type {type(frame.index).__name__}."
        )
    stamps, tz = cells.dates(pd.Series(frame.index), origin, rows)
    by_symbol: dict[str, dict[str, FloatArray]] = {}
    first = _level_of_fields(frame.columns)
    levels = (frame.columns.get_level_values(level) for level in (first, 1 - first))
    for position, (field, symbol) in enumerate(zip(*levels, strict=True)):
        name = str(field).lower() if str(field).lower() in STANDARD else str(field)
        columns = by_symbol.setdefault(str(symbol), {})
        if name in columns:
            raise BundleError(f"{origin.name} has more than one column `{name}` of {symbol}. Remove all but one.")
        columns[name] = cells.numbers(frame.iloc[:, position].rename(name), origin, rows, str(symbol))
    if not any("close" in columns for columns in by_symbol.values()):
        raise BundleError(
            f"{origin.name}: columns of two levels must be (field, symbol) or (symbol, field), and no field is `close`; the "
            f"first level is {_listed(frame)}."
        )
    return [Series(symbol, origin, stamps, tz, columns, rows) for symbol, columns in by_symbol.items()]


def _level_of_fields(columns: pd.Index) -> int:
    """Returns the level of the fields, 0 or 1: the one beside yfinance's `Ticker`, else the first with a `close`."""
    names = [str(name).lower() for name in columns.names]
    for word in ("ticker", SYMBOL):
        if word in names:
            return 1 - names.index(word)
    has_close = [any(str(value).lower() == "close" for value in columns.get_level_values(level)) for level in (0, 1)]
    return has_close.index(True) if any(has_close) else 0


def _listed(frame: pd.DataFrame) -> str:
    names = list(dict.fromkeys(str(name) for name in frame.columns.get_level_values(0)))
    return ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")

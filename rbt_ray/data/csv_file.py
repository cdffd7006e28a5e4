"""Reads a CSV file to a pandas frame, with the line number of each row."""

from __future__ import annotations

import gzip
import re
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

from rbt_ray.data import memory_limit
from rbt_ray.data.frames import DATES, SYMBOL
from rbt_ray.errors import BundleError, ResourceError
from rbt_ray.os_errors import explanation
from rbt_ray.types import IntArray

_EMPTY_CELLS = ["", "nan", "NaN", "NAN", "null", "NULL", "None", "NA", "N/A", "n/a", "#N/A", "-"]
"""Texts that mean a missing value in a column of numbers; in a column of symbols, NA and NAN are symbols."""

_SEPARATORS = (",", ";", "\t")
_ABOUT_COMMAS = "Numbers with a decimal comma need another separator, such as a semicolon."
_DECIMAL_POINT = r"\s*[+-]?\d*\.\d*\s*"
_DECIMAL_COMMA, _THOUSANDS = r"\s*[+-]?\d+,\d+(?:[eE][+-]?\d+)?\s*", r"\s*[+-]?[1-9]\d{0,2},\d{3}\s*"
_LONGEST_LINE = 2**22
"""In bytes: 40 for each of the 100,000 columns that a table may have."""


def read(path: Path, *, first_is_date: bool) -> tuple[pd.DataFrame, IntArray]:
    """Returns a frame with dates and symbols as text, and the line of each row (the header is line 1).

    Args:
        path: a CSV file with a header, plain or compressed.
        first_is_date: whether the first column has the dates, whatever its name, unless another is called `date`.

    Raises:
        BundleError: the file is empty, is not a CSV file, or has cells without a heading.
        ResourceError: the machine has too little memory or descriptors left to read it.
    """
    try:
        return _read(path, _checked_separator(path), first_is_date=first_is_date)
    except pd.errors.EmptyDataError:
        raise BundleError(f"{path.name} is empty. Remove it, or write a header and a row for each date.") from None
    except pd.errors.ParserError as error:
        if (why := explanation(error)) is not None:
            raise ResourceError(f"{path.name} cannot be read: {why}") from None
        found = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", str(error))
        what = f"row {found[2]}: {found[3]} cells under {found[1]} headings" if found else str(error).strip()
        raise BundleError(f"{path.name}, {what}. Give each row the same number of cells. {_ABOUT_COMMAS}") from None
    except (UnicodeDecodeError, OSError, EOFError, MemoryError, zlib.error) as error:
        if (why := explanation(error)) is not None:
            raise ResourceError(f"{path.name} cannot be read: {why}") from None
        raise BundleError(f"{path.name} cannot be read as text in UTF-8: {error}.") from None


def _read(path: Path, separator: str, *, first_is_date: bool) -> tuple[pd.DataFrame, IntArray]:
    names = _headings(path, separator, row=0)
    if names[0] == "Price" and separator == "," and _headings(path, separator, row=1)[0] == "Ticker":
        return _yfinance(path, names)
    has_date = any(name.lower() in DATES for name in names)
    counter = names[0] == "" and has_date  # the row numbers that `DataFrame.to_csv` writes
    if not has_date and (first_is_date or names[0] == ""):
        names[0] = DATES[0]
    if counter:
        names[0] = "\0"
    for name, times in Counter(names).items():
        if times > 1:
            what = f"more than one column `{name}`" if name else "columns without a heading"
            raise BundleError(f"{path.name}, row 1: there are {what}. Give each column a unique name.")
    texts = [name for name in names if name.lower() in (*DATES, SYMBOL)]
    frame, lines = _body(path, names, texts, separator)
    if separator != "," and _has_decimal_commas(path, frame.drop(columns=texts)):
        frame, lines = _body(path, names, texts, separator, decimal=",")
        _check_no_points(path, frame.drop(columns=texts), lines)
    return (frame.drop(columns="\0") if counter else frame), lines


def _headings(path: Path, separator: str, row: int) -> list[str]:
    found = pd.read_csv(
        path,
        header=None,
        skiprows=row,
        nrows=1,
        dtype=str,
        keep_default_na=False,
        sep=separator,
        encoding="utf-8-sig",
    )
    return [str(name).strip() for name in found.iloc[0]]


def _body(
    path: Path, names: list[str], texts: list[str], separator: str = ",", *, decimal: str = ".", n_headings: int = 1
) -> tuple[pd.DataFrame, IntArray]:
    """Returns the rows below the headings that are not blank, and the line of each."""
    frame = pd.read_csv(
        path,
        header=None,
        skiprows=n_headings,
        names=names,
        dtype=dict.fromkeys(texts, str),
        na_values={name: _EMPTY_CELLS for name in names if name not in texts},
        keep_default_na=False,
        skip_blank_lines=False,  # keeps line numbers right
        low_memory=False,
        sep=separator,
        decimal=decimal,
        encoding="utf-8-sig",
    )
    if not isinstance(frame.index, pd.RangeIndex):
        raise BundleError(
            f"{path.name}: the rows have more cells than the {len(names)} headings. Name every column. {_ABOUT_COMMAS}"
        )
    blank = (frame.isna() | (frame == "")).all(axis=1).to_numpy()
    lines = np.arange(n_headings + 1, len(frame) + n_headings + 1)[~blank]
    return frame[~blank].reset_index(drop=True), lines


def _has_decimal_commas(path: Path, cells: pd.DataFrame) -> bool:
    """Whether numbers have a decimal comma; `BundleError` if every comma may separate thousands, as in 1,500."""
    texts = [cells[name].dropna().astype(str) for name in cells if not pd.api.types.is_numeric_dtype(cells[name])]
    commas = [column[column.str.fullmatch(_DECIMAL_COMMA)] for column in texts]
    found = pd.concat(commas) if commas else pd.Series(dtype=str)
    if len(found) and found.str.fullmatch(_THOUSANDS).all():
        raise BundleError(
            f"{path.name}: the comma of {found.iloc[0]!r} may be a decimal comma or separate thousands, and no other number "
            "shows which. Write the numbers with a decimal point."
        )
    return len(found) > 0


def _check_no_points(path: Path, cells: pd.DataFrame, lines: IntArray) -> None:
    """Refuses a file with decimal commas in some numbers and points in others: the points may separate thousands."""
    for name in cells:
        if not pd.api.types.is_numeric_dtype(cells[name]):
            points = cells[name].fillna("").astype(str).str.fullmatch(_DECIMAL_POINT).to_numpy(bool)
            if points.any():
                row = int(np.argmax(points))
                raise BundleError(
                    f"{path.name}, row {lines[row]}: `{name}` is {cells[name].iloc[row]!r}, and other numbers have a decimal "
                    "comma. Write all of them with a decimal point."
                )


def _yfinance(path: Path, fields: list[str]) -> tuple[pd.DataFrame, IntArray]:
    """Returns the long frame of a file of `yfinance.download(...).to_csv()`: its headings are fields, tickers and the date's name.

    Each ticker has all dates.
    """
    tickers = _headings(path, ",", row=1)
    if len(tickers) != len(fields):
        raise BundleError(f"{path.name}, row 2: {len(tickers)} tickers under {len(fields)} fields. Correct it.")
    names = ["date", *(f"{field}\0{ticker}" for field, ticker in zip(fields[1:], tickers[1:], strict=True))]
    for name, times in Counter(names).items():
        if times > 1:
            raise BundleError(
                f"{path.name}: there is more than one column of {name.replace(chr(0), ' of ')}. Remove one."
            )
    frame, lines = _body(path, names, ["date"], n_headings=3)
    parts = []
    for ticker in dict.fromkeys(tickers[1:]):
        columns = {name: name.partition("\0")[0] for name in names[1:] if name.partition("\0")[2] == ticker}
        part = frame[["date", *columns]].rename(columns=columns)
        parts.append(part.assign(symbol=ticker))
    return pd.concat(parts, ignore_index=True), np.tile(lines, len(parts))


def _checked_separator(path: Path) -> str:
    """Returns the separator of cells: a comma, or if the headings have none, a semicolon or a tab.

    Refuses a file with too many columns, with too long a line, or larger than memory, before pandas parses it: pandas
    keeps whole lines in memory and needs a minute for a million headings. Decompressed, a file can be a thousand times as
    large.
    """
    n_bytes, separator = 0, ","
    with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as file:
        while part := file.read(_LONGEST_LINE):
            line_ends = b"\n" in part or b"\r" in part
            if len(part) == _LONGEST_LINE and not line_ends:
                raise BundleError(
                    f"{path.name} has a line of more than {_LONGEST_LINE // 2**20} MiB, too long for a row of at most "
                    f"{memory_limit.MOST_COLUMNS:,} columns. Is it a table of prices? Check the file."
                )
            if n_bytes == 0:
                heading = part.lstrip().splitlines()[:1]
                separator = next((mark for mark in _SEPARATORS if heading and mark.encode() in heading[0]), ",")
                memory_limit.check_columns(1 + sum(line.count(separator.encode()) for line in heading), path.name)
            n_bytes += len(part)
            memory_limit.check_bytes(n_bytes, f"{path.name}, as text,", "Is it a table of prices? Check the file.")
    return separator

"""One CSV file to a pandas frame, each row with the line it stands on."""

from __future__ import annotations

import gzip
import re
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

from rbt_ray.data import room
from rbt_ray.data.frames import DATES, SYMBOL
from rbt_ray.errors import BundleError, ResourceError
from rbt_ray.os_errors import explanation
from rbt_ray.types import IntArray

_EMPTY_CELLS = ["", "nan", "NaN", "NAN", "null", "NULL", "None", "NA", "N/A", "n/a", "#N/A", "-"]
"""What stands for no value in a column of numbers; in a column of symbols, NA and NAN are symbols."""

_LONGEST_LINE = 2**22
"""Bytes: 40 for each of the 100,000 columns that a table may have."""


def read(path: Path, *, first_is_date: bool) -> tuple[pd.DataFrame, IntArray]:
    """A frame, its dates and symbols as text, and the line of each row (the header is line 1).

    Args:
        path: a CSV file with a header, plain or compressed.
        first_is_date: the first column holds the dates, whatever it is called, unless another is called `date`.

    Raises:
        BundleError: the file is empty, is no CSV file, or has cells without a heading.
        ResourceError: the machine has too little memory or descriptors left to read it.
    """
    try:
        _check_size(path)
        return _read(path, first_is_date=first_is_date)
    except pd.errors.EmptyDataError:
        raise BundleError(f"{path.name} is empty. Remove it, or fill it: a header, then a row a date.") from None
    except pd.errors.ParserError as error:
        if (why := explanation(error)) is not None:
            raise ResourceError(f"{path.name} cannot be read: {why}") from None
        found = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", str(error))
        what = f"row {found[2]}: {found[3]} cells under {found[1]} headings" if found else str(error).strip()
        raise BundleError(f"{path.name}, {what}. Correct it: the same number of cells in each row.") from None
    except (UnicodeDecodeError, OSError, EOFError, MemoryError, zlib.error) as error:
        if (why := explanation(error)) is not None:
            raise ResourceError(f"{path.name} cannot be read: {why}") from None
        raise BundleError(f"{path.name} cannot be read as text in UTF-8: {error}.") from None


def _read(path: Path, *, first_is_date: bool) -> tuple[pd.DataFrame, IntArray]:
    heading = pd.read_csv(path, header=None, nrows=1, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    names = [str(name).strip() for name in heading.iloc[0]]
    has_date = any(name.lower() in DATES for name in names)
    counter = names[0] == "" and has_date  # the row numbers `DataFrame.to_csv` writes
    if not has_date and (first_is_date or names[0] == ""):
        names[0] = DATES[0]
    if counter:
        names[0] = "\0"
    for name, times in Counter(names).items():
        if times > 1:
            what = f"more than one column `{name}`" if name else "columns without a heading"
            raise BundleError(f"{path.name}, row 1: there are {what}. Give each column a name of its own.")
    texts = [name for name in names if name.lower() in (*DATES, SYMBOL)]
    frame = pd.read_csv(
        path,
        header=0,
        names=names,
        dtype=dict.fromkeys(texts, str),
        na_values={name: _EMPTY_CELLS for name in names if name not in texts},
        keep_default_na=False,
        skip_blank_lines=False,  # or the rows would lose their lines
        low_memory=False,
        encoding="utf-8-sig",
    )
    if not isinstance(frame.index, pd.RangeIndex):
        raise BundleError(f"{path.name}: the rows have more cells than the {len(names)} headings. Name every column.")
    blank = (frame.isna() | (frame == "")).all(axis=1).to_numpy()
    lines = np.arange(2, len(frame) + 2)[~blank]
    frame = frame[~blank].reset_index(drop=True)
    return (frame.drop(columns="\0") if counter else frame), lines


def _check_size(path: Path) -> None:
    """Refuse, before it is parsed, a file of too many columns, of a line too long, or larger than memory.

    pandas holds a line as a whole and needs a minute for a million headings; unpacked, a file can be a thousand times
    as large as it is.
    """
    n_bytes = 0
    with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as file:
        while part := file.read(_LONGEST_LINE):
            line_ends = b"\n" in part or b"\r" in part
            if len(part) == _LONGEST_LINE and not line_ends:
                raise BundleError(
                    f"{path.name} has a line of more than {_LONGEST_LINE // 2**20} MiB, which no row of at most "
                    f"{room.MOST_COLUMNS:,} columns is. Is it a table of prices? Look at it."
                )
            if n_bytes == 0:
                room.check_columns(1 + part.splitlines()[0].count(b","), path.name)
            n_bytes += len(part)
            room.check_bytes(n_bytes, f"{path.name}, as text,", "Is it a table of prices? Look at it.")

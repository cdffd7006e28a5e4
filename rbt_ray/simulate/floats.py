"""Conversion of arrays of any dtype to float64, for weights, indicators and fields."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from rbt_ray.types import FloatArray

_NO_NUMBERS = {"c": "complex numbers", "m": "durations", "M": "times", "V": "raw bytes"}
"""Kinds of dtypes that numpy would cast to float64 by dropping or inventing something."""
_NO_REAL_OBJECTS = (np.complexfloating, np.datetime64, np.timedelta64, np.void, type(np.ma.masked))


def floats(values: ArrayLike) -> FloatArray:
    """Returns the values as float64, NaN if masked; returns an array of float64 unchanged.

    Args:
        values: an array, a frame, or nested lists, of real numbers or of text with numbers.

    Raises:
        TypeError: it holds values of another kind: complex numbers, times, durations, raw bytes, objects.
        ValueError: a text is not a number, an int is too large for float64, or lists have different lengths.
    """
    if type(values) is np.ndarray and values.dtype == np.float64:
        return values
    is_frame = hasattr(values, "iloc") and hasattr(values, "columns")
    given: Any = values if is_frame else np.asanyarray(values)
    for kind in {dtype.kind for dtype in (given.dtypes if is_frame else [given.dtype])}:
        if kind in _NO_NUMBERS:
            raise TypeError(f"it holds {_NO_NUMBERS[kind]}")
    if not is_frame and given.dtype.kind == "O":
        for cell in given.flat:
            if isinstance(cell, _NO_REAL_OBJECTS):
                raise TypeError(f"it holds a value of type {type(cell).__name__}")
    try:
        with np.errstate(over="ignore"):  # a long double that is too large becomes infinite, which callers refuse
            array = np.asarray(given, np.float64)
    except OverflowError:
        raise ValueError("it holds a whole number that is too large for float64") from None
    masked = np.ma.getmask(given)
    return array if masked is np.ma.nomask else np.where(masked, np.nan, array)

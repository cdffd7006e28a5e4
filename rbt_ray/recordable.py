"""The values that a journal can record: one rule for writing and reading, so that everything written can be read.

Times only describe a trial, so a time outside the recordable range becomes the nearest one in it. Any other value outside its
range is an error. `check_types` compares the fields of a dataclass that was read from a file with their annotations.
"""

from __future__ import annotations

import dataclasses
import sys
import types
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import DTypeLike, NDArray

from rbt_ray.errors import JournalError
from rbt_ray.types import FloatArray

LATEST_S = 4_102_444_800.0
"""The year 2100, in seconds since the epoch: the latest time, and the longest duration, that is recorded."""
LARGEST_INT = int(sys.float_info.max)
LARGEST_NUMBER = 2**62
"""The largest number of a trial or a report."""
_PLAIN = {type(None), bool, int, float, str}
LONGEST_ERROR = 100_000
"""The longest error of a trial, in characters; longer ones are cut."""


def require(holds: bool, name: str, found: Any) -> None:
    """Raises an error if a condition does not hold.

    Raises:
        ValueError: the message names the part and shows its value.
    """
    if not holds:
        # Other types run their own code in `str`, and Python refuses to print an int of thousands of digits.
        is_short = type(found) in (str, float, bool) or (type(found) is int and found.bit_length() < 300)
        shown = str(found)[:80] if is_short else f"of type {type(found).__name__}"
        raise ValueError(f"its `{name}` is {shown!r}")


def is_whole(number: Any, most: int = LARGEST_NUMBER) -> bool:
    """Returns whether it is an int from 0 to `most`."""
    return type(number) is int and 0 <= number <= most


def seconds(found: Any) -> float:
    """Returns a time or duration within [0, `LATEST_S`]; 0.0 for a value that is not a number."""
    if type(found) not in (int, float):
        found = found.item() if type(found) in (np.float64, np.float32, np.int64) else 0.0
    return 0.0 if found != found else float(min(max(found, 0.0), LATEST_S))


def durations(found: Any, n: int) -> FloatArray:
    """Returns ``(n,)`` seconds, each within [0, `LATEST_S`]; 0.0 for a value that is not a number.

    Raises:
        ValueError: it is not an array of `n` values.
    """
    require(type(found) is np.ndarray and found.shape == (n,), "duration_s", found)
    if found.dtype.kind not in "fiu":
        return np.array([seconds(one) for one in found.tolist()])
    with np.errstate(over="ignore"):  # a long double may exceed the range of float64
        numbers: FloatArray = found.astype(np.float64, copy=False)
    if ((numbers >= 0.0) & (numbers <= LATEST_S)).all():
        return numbers
    return np.clip(np.nan_to_num(numbers, posinf=LATEST_S), 0.0, LATEST_S)


def array(found: Any, dtype: DTypeLike, shape: tuple[int, ...], name: str) -> NDArray[Any]:
    """Returns the array in this machine's byte order.

    Raises:
        ValueError: it is not an array of this type and shape.
    """
    require(type(found) is np.ndarray and found.shape == shape, name, found)
    if found.dtype != dtype:
        require(found.dtype.newbyteorder("=") == dtype, name, found)
        found = np.asarray(found, dtype)
    exact: NDArray[Any] = found
    return exact


def text(found: Any) -> str:
    """Returns a text without lone surrogates, which every Unicode encoding can represent.

    Raises:
        ValueError: it is not a string.
    """
    require(type(found) is str, "text", found)
    # JSON joins two lone surrogates into another character, and files and terminals refuse a lone one.
    valid: str = found if found.isascii() else found.encode("utf-8", "replace").decode()
    return valid


def json_values(found: list[Any]) -> list[Any]:
    """Returns the values of metrics: each None, a bool, a float, a string, or an int in the range of float.

    Raises:
        ValueError: one is none of these.
    """
    kinds = set(map(type, found))
    require(kinds <= _PLAIN, "value", next((one for one in found if type(one) not in _PLAIN), None))
    if int in kinds:
        too_large = next((one for one in found if type(one) is int and abs(one) > LARGEST_INT), None)
        require(too_large is None, "value", too_large)
    texts = found if kinds == {str} else [one for one in found if type(one) is str]
    if not all(map(str.isascii, texts)):
        return [text(one) if type(one) is str else one for one in found]
    return found


def check_types(value: Any, what: str = "the study's definition") -> None:
    """Checks the fields of a dataclass, and of dataclasses in them.

    Args:
        value: the dataclass.
        what: its name in errors.

    Raises:
        JournalError: a field has another type, or a number is not finite.
    """
    kind: Any = type(value)
    for name, hint in _hints(kind).items():
        found = getattr(value, name)
        if not _is_of(found, hint):
            raise JournalError(f"{what} is damaged: its `{name}` is {str(found)[:80]!r}.")


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


def _is_of(value: Any, hint: Any) -> bool:
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if origin in (Union, types.UnionType):
        return any(_is_of(value, option) for option in inner)
    if origin is Literal:
        return isinstance(value, str) and value in inner
    if origin is dict:
        pairs = value.items() if isinstance(value, dict) else ()
        return isinstance(value, dict) and all(_is_of(key, inner[0]) and _is_of(part, inner[1]) for key, part in pairs)
    if origin in (tuple, list):
        return isinstance(value, origin) and all(_is_of(part, inner[0]) for part in value)
    if hint is float:
        return type(value) in (int, float) and -sys.float_info.max <= value <= sys.float_info.max
    if hint in (int, bool, type(None)):
        return type(value) is hint
    if not isinstance(value, origin or hint):
        return False
    if dataclasses.is_dataclass(value):
        check_types(value)
    return True

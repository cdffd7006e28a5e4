"""Plain values: what equal options are, and how JSON holds what it has no word for."""

from __future__ import annotations

import copy
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

_SCALARS = (type(None), bool, int, float, str)


@dataclass(frozen=True, slots=True)
class OpaqueValue:
    """An option that a study's file can only name. Results show it; no trial can run with it."""

    name: str

    def __repr__(self) -> str:
        return self.name


def to_python(value: Any) -> Any:
    """A numpy bool, integer, float or string, or a 0-d array of one, as the Python value; anything else as it is.

    A masked value is None.
    """
    if value is np.ma.masked:
        return None
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, np.timedelta64):  # to numpy an integer
        return value
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, np.floating):
        return float(value)
    return str(value) if isinstance(value, np.str_) else value


def fresh(value: Any) -> Any:
    """The value, copied where an objective could change it and so change what later trials get."""
    return copy.deepcopy(value) if isinstance(value, (list, dict, set)) else value


def is_plain(value: Any) -> bool:
    """Whether a value is made of None, bools, numbers and text, in lists, tuples, sets or dicts."""
    if isinstance(value, Mapping):
        return all(is_plain(part) for pair in value.items() for part in pair)
    if isinstance(value, (list, tuple, set, frozenset)):
        return all(is_plain(part) for part in value)
    return isinstance(value, _SCALARS)


def key_of(value: Any) -> Any:
    """What a value is looked up by, or None where it cannot be hashed; True, 1 and 1.0 stay apart."""
    if isinstance(value, float) and math.isnan(value):
        return (float, "nan")
    try:
        hash(value)
    except TypeError:
        return None
    return (type(value), value)


def same(a: Any, b: Any) -> bool:
    """Whether two options of one type are equal; objects that cannot tell are equal only to themselves."""
    return type(a) is type(b) and alike(a, b)


def alike(a: Any, b: Any) -> bool:
    """Whether two values are equal as JSON sees them: 1 is 1.0, and a tuple is a list."""
    if a is b:
        return True
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(alike(x, y) for x, y in zip(a, b, strict=True))
    try:
        return bool(a == b)
    except (TypeError, ValueError):  # such as arrays, whose comparison is an array
        return False


def distinct(values: Sequence[Any]) -> tuple[list[Any], list[int]]:
    """The different values in order of first appearance, and how often each came."""
    found: list[Any] = []
    counts: list[int] = []
    by_key: dict[Any, int] = {}
    unhashable: list[int] = []
    for value in values:
        key = key_of(value)
        known = next((i for i in unhashable if same(found[i], value)), None) if key is None else by_key.get(key)
        if known is not None:
            counts[known] += 1
            continue
        if key is None:
            unhashable.append(len(found))
        else:
            by_key[key] = len(found)
        found.append(value)
        counts.append(1)
    return found, counts


def to_json(value: Any) -> Any:
    """A value as JSON can hold it; a tuple is marked as one, and an object that JSON has no word for is only named."""
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}
    if type(value) in _SCALARS:
        return value
    if type(value) is tuple:
        return {"tuple": [to_json(part) for part in value]}
    if type(value) is list:
        return [to_json(part) for part in value]
    if type(value) in (set, frozenset) and is_plain(value):
        return {type(value).__name__: sorted((to_json(part) for part in value), key=json.dumps)}
    if isinstance(value, (np.datetime64, np.timedelta64)):
        unit = np.datetime_data(value)
        return {type(value).__name__: [int(value.astype(np.int64)), f"{unit[1]}{unit[0]}"]}
    if type(value) is dict and all(isinstance(key, str) for key in value):
        return {"dict": {key: to_json(part) for key, part in value.items()}}
    return {"opaque": value.name if isinstance(value, OpaqueValue) else label(value)}


def from_json(held: Any) -> Any:
    """The value `to_json` was given; a `OpaqueValue` for an object that JSON has no word for."""
    if isinstance(held, list):
        return [from_json(part) for part in held]
    if not isinstance(held, dict):
        return held
    ((kind, content),) = held.items()
    if kind == "opaque":
        return OpaqueValue(content)
    if kind == "dict":
        return {key: from_json(part) for key, part in content.items()}
    if kind == "float":
        return float(content)
    if kind in ("datetime64", "timedelta64"):
        number, unit = content
        return np.array([number], dtype=np.int64).view(f"{kind}[{unit}]")[0]
    return {"tuple": tuple, "set": set, "frozenset": frozenset}[kind](from_json(part) for part in content)


def opaque_values_in(value: Any) -> Iterator[OpaqueValue]:
    """Every object in a value that the value's file could only name."""
    if isinstance(value, OpaqueValue):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from opaque_values_in(part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from opaque_values_in(part)


def label(value: Any) -> str:
    """A name for an object that is the same in every process: no memory address in it."""
    name = getattr(value, "__qualname__", None)
    if isinstance(name, str):
        return f"{getattr(value, '__module__', None)}.{name}"
    kind = f"an object of {type(value).__module__}.{type(value).__qualname__}"
    if repr(value) == object.__repr__(value):
        return kind
    return f"{kind}: {re.sub(r' at 0x[0-9a-fA-F]+', '', repr(value))}"

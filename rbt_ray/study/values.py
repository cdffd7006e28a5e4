"""Values of parameters: their equality, and their representation in JSON."""

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
    """The name of an option that JSON cannot represent. Results show it; no trial can run with it."""

    name: str

    def __repr__(self) -> str:
        return self.name


def to_python(value: Any) -> Any:
    """Returns the Python value of a numpy scalar or 0-d array; other values unchanged.

    A masked value becomes None.
    """
    if value is np.ma.masked:
        return None
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, np.timedelta64):  # numpy counts it as an integer
        return value
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, np.floating):
        return float(value)
    return str(value) if isinstance(value, np.str_) else value


def fresh(value: Any) -> Any:
    """Returns the value, copied if it is mutable, so that an objective cannot change the value of later trials."""
    return copy.deepcopy(value) if isinstance(value, (list, dict, set)) else value


def is_plain(value: Any) -> bool:
    """Returns whether a value consists of None, bools, numbers and strings, in lists, tuples, sets or dicts."""
    if isinstance(value, Mapping):
        return all(is_plain(part) for pair in value.items() for part in pair)
    if isinstance(value, (list, tuple, set, frozenset)):
        return all(is_plain(part) for part in value)
    return isinstance(value, _SCALARS)


def key_of(value: Any) -> Any:
    """Returns a key to look a value up by, None if it is unhashable; True, 1 and 1.0 have different keys."""
    if isinstance(value, float) and math.isnan(value):
        return (float, "nan")
    try:
        hash(value)
    except TypeError:
        return None
    return (type(value), value)


def same(a: Any, b: Any) -> bool:
    """Returns whether two options have the same type and are equal; see `alike`."""
    return type(a) is type(b) and alike(a, b)


def alike(a: Any, b: Any) -> bool:
    """Returns whether two values are equal in JSON: 1 equals 1.0, and a tuple equals a list."""
    if a is b:
        return True
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(alike(x, y) for x, y in zip(a, b, strict=True))
    try:
        return bool(a == b)
    except (TypeError, ValueError):  # the comparison of arrays is an array
        return False


def distinct(values: Sequence[Any]) -> tuple[list[Any], list[int]]:
    """Returns the distinct values in order of first appearance, and how often each occurs."""
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
    """Returns a value as JSON values; tuples are marked, and objects that JSON cannot represent become their names."""
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
    """Returns the value that `to_json` was given; an `OpaqueValue` for an object that JSON cannot represent."""
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
    """Yields every `OpaqueValue` in a value."""
    if isinstance(value, OpaqueValue):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from opaque_values_in(part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from opaque_values_in(part)


def label(value: Any) -> str:
    """Returns a name for an object that is the same in every process: without memory addresses."""
    name = getattr(value, "__qualname__", None)
    if isinstance(name, str):
        return f"{getattr(value, '__module__', None)}.{name}"
    kind = f"an object of {type(value).__module__}.{type(value).__qualname__}"
    if repr(value) == object.__repr__(value):
        return kind
    return f"{kind}: {re.sub(r' at 0x[0-9a-fA-F]+', '', repr(value))}"

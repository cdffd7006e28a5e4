"""Converts values, containers and the state of objects to text that is the same in every process."""

from __future__ import annotations

import copyreg
import dataclasses
import enum
import hashlib
import os
import random
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from rbt_ray.objectives.fingerprint.own_code import is_own, namespace_of
from rbt_ray.objectives.fingerprint.recorded_names import recorded, recorded_qualname


def frame_parts(value: Any) -> list[Any] | None:
    """Returns the names, types and columns of a frame, series or index; None for anything else."""
    pandas, polars = sys.modules.get("pandas"), sys.modules.get("polars")  # without them there are no such values
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
    if hasattr(array, "codes"):  # a categorical
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


_NUMBERS = (bool, int, float, type(None))
_LEAVES = {*_NUMBERS, complex, str, bytes, type(Ellipsis), type(NotImplemented)}
_ORDERED = {str, bytes, int}
"""Types whose values have a total order."""
_VALUES = {"collections", "datetime", "decimal", "fractions", "ipaddress", "types", "uuid", "zoneinfo"}
"""Modules of the standard library whose objects are values."""
_GENERATORS = (random.Random, np.random.Generator, np.random.RandomState, np.random.BitGenerator)
_MANY = 1_000
_SHORT = 8
_DEEPEST = 100
_OPAQUE = " object"
_LONGEST = 200
_LONGEST_SHOWN = 40


@dataclass(frozen=True, slots=True)
class Location:
    """The place of a value, for labels.

    Args:
        kind: "the global", "the attribute" and the like.
        name: the variable's.
        where: end of the label, such as the file.
        root: globals of the module, for a global.
        is_global: whether it is a global or a class attribute; only plain values of these count.
    """

    kind: str
    name: str
    where: str = ""
    root: Mapping[str, Any] | None = None
    is_global: bool = False

    @property
    def label(self) -> str:
        """The name of the place in messages."""
        return f"{self.kind} `{self.name}`{self.where}"

    def attribute(self, name: str) -> Location:
        """Returns the location of an attribute of the value."""
        if self.kind == "the":
            return replace(self, kind="the attribute", name=name)
        return replace(self, name=f"{self.name}.{name}")

    def argument(self, name: str | int) -> Location:
        """Returns the location of an argument, for a `functools.partial`."""
        return replace(self, kind="the argument", name=str(name))


class ValueText:
    """Converts values to text.

    Args:
        reference: returns the text for a function, class, module or wrapper, and None for other values.
        note: called with the label and the shown value of each part.
        counts: returns whether an attribute of an object is part of its state.
    """

    def __init__(
        self,
        reference: Callable[[Any, Location], str | None],
        note: Callable[[str, str], None],
        counts: Callable[[Any, str], bool],
    ) -> None:
        self._reference, self._note, self._counts = reference, note, counts
        self._open: dict[int, int] = {}
        self._kept: list[Any] = []
        self._known: dict[int, str] = {}

    def named(self, at: Location, value: Any) -> str:
        """Returns the text of a named value, and notes it as a part unless it has parts of its own."""
        text = self.text(value, at)
        if self._is_part(value, at) and not text.endswith(_OPAQUE):
            self._note(at.label, _shown(value) or f"#{_hash(text)[:32]}")
        return text

    def text(self, value: Any, at: Location) -> str:
        """Returns the text of any value."""
        kind = type(value)
        if kind in _LEAVES:
            return _leaf(value, at)
        if kind is tuple and len(value) < _SHORT and _LEAVES.issuperset(map(type, value)):  # such as a dict key
            return f"tuple [{','.join([_leaf(item, at) for item in value])}]"
        if id(value) in self._open:
            return f"<{len(self._open) - self._open[id(value)]} above>"
        if id(value) in self._known:
            return self._known[id(value)]
        if len(self._open) > _DEEPEST:
            return f"{recorded_qualname(kind)} too deep to be looked at"
        self._open[id(value)] = len(self._open)
        self._kept.append(value)  # keep it alive, so that its id is not reused
        try:
            text = self._compound(value, at)
        finally:
            del self._open[id(value)]
        text = text if len(text) <= _LONGEST else f"{recorded_qualname(kind)} {_hash(text)}"
        self._known[id(value)] = text
        return text

    def _is_part(self, value: Any, at: Location) -> bool:
        if at.kind == "the" or isinstance(value, (type, enum.Enum)):
            return isinstance(value, enum.Enum)
        if type(value) in _LEAVES or isinstance(value, (list, tuple, dict, set, frozenset, np.ndarray, np.generic)):
            return True
        return not callable(value) and not is_own(namespace_of(type(value))) and not dataclasses.is_dataclass(value)

    def _compound(self, value: Any, at: Location) -> str:
        kind = type(value)
        if kind in (list, tuple):
            if len(value) > _MANY and set(map(type, value)) == {float}:
                return f"{kind.__name__} {self._array(np.array(value), at)}"
            return f"{kind.__name__} [{','.join([self.text(item, at) for item in value])}]"
        if kind is dict:
            return f"dict {self._pairs(value.items(), at)}"
        if kind in (set, frozenset):
            return f"{kind.__name__} {[self.text(item, at) for item in _in_order(value)]}"
        if isinstance(value, np.ndarray) and kind in (np.ndarray, np.memmap):
            return self._array(np.asarray(value), at)
        if isinstance(value, (np.generic, np.dtype)):
            return f"{kind.__name__} {value!r}"
        if isinstance(value, _GENERATORS):
            return kind.__qualname__  # drawing a number changes its state
        if not is_own(namespace_of(kind)) and (parts := frame_parts(value)) is not None:
            return f"{kind.__qualname__} {[self.text(part, at) for part in parts]}"
        if isinstance(value, enum.Enum):
            return f"{self._reference(kind, at)} {value.name}"
        if isinstance(value, PurePath):
            return f"path {_leaf(os.fspath(value), at)}"
        if (reference := self._reference(value, at)) is not None:
            return reference
        return self._object(value, at)

    def _pairs(self, pairs: Iterable[tuple[Any, Any]], at: Location) -> str:
        by_key = dict(pairs)
        return str([(self.text(key, at), self.text(by_key[key], at)) for key in _in_order(by_key)])

    def _array(self, array: Any, at: Location) -> str:
        if array.dtype.hasobject:
            return f"array {array.shape} {self.text(array.tolist(), at)}"
        if array.dtype.names is not None:  # the padding between fields has random bytes
            return str([(name, self._array(array[name], at)) for name in array.dtype.names])
        little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        content = little.reshape(-1).view(np.uint8).data if little.nbytes else b""
        return f"array {little.dtype.str} {array.shape} {hashlib.sha256(content).hexdigest()}"

    def _object(self, value: Any, at: Location) -> str:
        kind = type(value)
        name = self._reference(kind, at) or kind.__qualname__
        if (settings := _settings(value)) is not None:
            parts = [
                (key, self.named(replace(at, kind="the setting", name=key), settings[key])) for key in sorted(settings)
            ]
            return f"{name} {parts}"
        if at.is_global and not _is_value(kind):
            return name + _OPAQUE
        try:
            reducer = copyreg.dispatch_table.get(kind)
            reduced: Any = value.__reduce_ex__(4) if reducer is None else reducer(value)
        except Exception:  # a lock, an open file
            return name + _OPAQUE
        if isinstance(reduced, str):
            return f"{name} {reduced}"
        function, arguments, state, items, pairs = (*reduced, None, None, None)[:5]
        text = [name, self.text(function, at), *(self.text(argument, at) for argument in arguments)]
        text += self._state(value, state, at)
        text += [self.text(item, at) for item in items or ()]
        return " ".join([*text, self._pairs(pairs or (), at)])

    def _state(self, value: Any, state: Any, at: Location) -> list[str]:
        attributes: dict[str, Any] = {}
        if state is None:
            return []
        if isinstance(state, list) and dataclasses.is_dataclass(value):  # frozen, with slots
            attributes = {one.name: part for one, part in zip(dataclasses.fields(value), state, strict=False)}
        elif isinstance(state, tuple) and len(state) == 2 and all(part is None or type(part) is dict for part in state):
            attributes = {**(state[0] or {}), **(state[1] or {})}
        elif type(state) is dict and all(type(name) is str for name in state):
            attributes = state
        else:
            return [self.text(state, at)]
        return [
            f"{name}={self.named(at.attribute(name), attributes[name])}"
            for name in sorted(attributes)
            if self._counts(value, name)
        ]


def _shown(value: Any) -> str | None:
    """Returns the text of a number, for messages and the journal; None for any other value, which may be a password."""
    if type(value) not in _NUMBERS or (type(value) is int and abs(value) >= 10**_LONGEST_SHOWN):
        return None
    return repr(value)


def _leaf(value: Any, at: Location) -> str:
    if type(value) is bytes and len(value) > _LONGEST:
        return f"bytes {len(value)} {hashlib.sha256(value).hexdigest()}"
    if type(value) is int:
        return f"int {value:x}"  # `repr` raises for more than 4,300 digits
    if type(value) is str and at.root is not None and (folder := _folder(at.root)) and value.startswith(folder):
        return f"str in the module's folder {value[len(folder) :]!r}"
    if type(value) is str and len(value) > _LONGEST:
        return f"str {len(value)} {_hash(value)}"
    return f"{type(value).__name__} {value!r}"


def _folder(namespace: Mapping[str, Any]) -> str:
    file = namespace.get("__file__")
    return _folder_of(file) if isinstance(file, str) else ""


@lru_cache
def _folder_of(file: str) -> str:
    return str(Path(file).absolute().parent)


def _settings(value: Any) -> dict[str, Any] | None:
    """Returns the settings that an object of rbt_ray declares as its identity; None if it declares none."""
    kind = type(value)
    if not kind.__module__.startswith("rbt_ray."):
        return None
    if kind.__module__.startswith("rbt_ray.data.") and isinstance(version := getattr(value, "version", None), str):
        return {"version": version}  # a bundle counts by its content, not its path
    if (counted := getattr(value, "fingerprinted", None)) is not None:
        return dict(counted)
    made_of = None if dataclasses.is_dataclass(value) else getattr(value, "made_of", None)
    return None if made_of is None else {f"{n:03d}": part for n, part in enumerate(made_of)}


def _is_value(kind: type) -> bool:
    """Returns whether a type has values, such as a date, rather than locks, connections or models."""
    if is_own(namespace_of(kind)) or dataclasses.is_dataclass(kind):
        return True
    return any(base.__module__ in _VALUES for base in kind.__mro__)  # pandas.Timestamp derives from datetime


def _in_order(items: Iterable[Any]) -> list[Any]:
    """Returns the items of a set or the keys of a dict in an order that is the same in every process."""
    ordered = list(items)
    kinds = {tuple(map(type, item)) if type(item) is tuple else (type(item),) for item in ordered}
    comparable = len(kinds) == 1 and _ORDERED.issuperset(*kinds)
    return sorted(ordered) if comparable else sorted(ordered, key=_key)


def _key(item: Any) -> str:
    if type(item) in _LEAVES:
        return f"{type(item).__name__} {item!r}" if type(item) is not int else f"int {item:x}"
    if isinstance(item, tuple):
        return f"tuple {[_key(part) for part in item]}"
    if isinstance(item, frozenset):
        return f"frozenset {sorted(map(_key, item))}"
    if isinstance(item, (np.generic, PurePath)):
        return repr(item)
    if isinstance(item, enum.Enum):
        return f"{type(item).__qualname__}.{item.name}"
    name = getattr(item, "__qualname__", "")
    if name:
        return recorded(f"{getattr(item, '__module__', '')}.{name}")
    isolated = ValueText(lambda value, _: getattr(value, "__qualname__", None), lambda *_: None, lambda *_: True)
    return f"{recorded_qualname(type(item))} {isolated.text(item, Location('', ''))}"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()

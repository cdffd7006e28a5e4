"""Prints the fingerprints of objectives with state that is hard to compare; they are the same in every process."""

import collections
import dataclasses
import datetime
import decimal
import enum
import functools
import itertools
import json
import re
import threading
import types
import weakref
from pathlib import Path

import numba
import numpy as np
import pandas as pd

import rbt_ray as rbt
from rbt_ray.objectives.address import locate

rng = np.random.default_rng()  # unseeded
lock = threading.Lock()
log = Path(__file__).open()  # noqa: SIM115 - what a module may hold
pool = {"names": {"b", "a", "c"}, "pairs": {("x", 1), ("y", 2)}, "sets": {frozenset("abc"), frozenset("de")}}
stamp = types.SimpleNamespace(a=1, when=datetime.datetime(2020, 1, 1))


@numba.njit
def kernel(x):
    return x + 1


@functools.cache
def cached(x):
    return x


class Kind(enum.Flag):
    A = 1
    B = 2


class Meta(type):
    def __call__(cls, *args):
        return super().__call__(*args)


class Odd(metaclass=Meta):
    def __init__(self, value):
        self.value = value

    def __call__(self, params, data):
        with lock:
            return kernel(rng.random()), cached(1), pool, stamp, Kind.A, log, self.lazy, re.compile("x"), np.sin(1.0)

    @functools.cached_property
    def lazy(self):
        return object()

    def __getattr__(self, name):
        raise AttributeError(name)


class Refuses:
    def __reduce_ex__(self, protocol):
        raise TypeError("never")


@dataclasses.dataclass
class Node:
    name: str
    others: list = dataclasses.field(default_factory=list)


def cycle():
    a, b = Node("a"), Node("b")
    a.others, b.others = [b, a], [a]
    return a


def deep():
    found = []
    for _ in range(5_000):
        found = [found]
    return found


def shared():
    found = (1, 2)
    for _ in range(60):
        found = (found, found)
    return found


frame = pd.DataFrame({"close": [1.0, 2.0], "name": ["x", "y"]}, pd.bdate_range("2020-01-01", periods=2))
VALUES = {
    "lock": threading.Lock(),
    "refuses": Refuses(),
    "cycle": cycle(),
    "deep": deep(),
    "shared": shared(),
    "huge": 10**10_000,
    "nan": [float("nan"), -0.0, complex(1, -2)],
    "frame": frame,
    "string index": frame.set_index("name"),
    "dates": frame.index,
    "bundle": rbt.load_bundle("sample"),
    "costs": rbt.Costs(turnover_bps={"A": 1.0, "B": 2.0}),
    "generator": np.random.default_rng(7),
    "times": np.array(["2020-01-01", "NaT"], "datetime64[ns]"),
    "records": np.array([(1, 2.5)], [("a", "i1"), ("b", "f8")]),
    "aligned": np.zeros(2, np.dtype([("a", "i1"), ("b", "f8")], align=True)),
    "masked": np.ma.masked_array([1, 2], [True, False]),
    "empty": np.empty((0, 3)),
    "scalar": np.array(3.0),
    "objects": np.array([{"b", "a"}, None], object),
    "counter": collections.Counter("hello"),
    "ordered": collections.OrderedDict(b=1, a=2),
    "default": collections.defaultdict(list, x=[1]),
    "deque": collections.deque([1, 2], 5),
    "iterator": itertools.count(3),
    "pattern": re.compile("a+"),
    "decimal": decimal.Decimal("1.5"),
    "path": Path("prices"),
    "range": range(3),
    "slice": slice(1, 2),
    "class": Node,
    "method": Odd(1).__call__,
    "weak": weakref.WeakValueDictionary(),
    "bytes": bytearray(b"abc"),
    "kind": Kind.A | Kind.B,
    "generic": list[int],
    "names": {"b", "a", "c", 1, None, ("x", 2.0), Kind.A, Path("x"), Node, len},
    "by odd keys": {Kind.A: 1, Node: 2, 3: 4, "x": 5, (1, "y"): 6},
    "surrogate": "\udc80",
    "series": pd.Series([1, 2], dtype="category"),
}


if __name__ == "__main__":
    print(json.dumps({name: locate(Odd(value)).address.code for name, value in VALUES.items()}))

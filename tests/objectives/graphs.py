"""Generated strategies: modules of every kind of code and state that an objective can reach, with numbered leaves.

As a script it prints the fingerprint of each strategy, and those that it has after each of its leaves was changed alone.
"""

import importlib
import json
import os
import random
import sys
import tempfile
from pathlib import Path

STRATEGY = """
import collections, datetime, decimal, enum, functools
import numpy as np
from graph_rules import rule, LIMITS
import graph_rules
import graph_rules as other

{code}

class Objective:
    {slots}
    shared = {shared}
    def __init__(self):
        self.state = {state}
        self.nested = {nested}
        self.calls = 0
    def __call__(self, params, data):
        from graph_late import late
        self.calls += 1
        if params not in _memo:
            _memo[params] = late(1)
        return [{uses}, rule(1), graph_rules.apply(2), other.TABLE, LIMITS, self.state, self.nested, self.help()]
    def help(self):
        return {constant}

objective = {objective}
"""
RULES = """
import datetime, decimal
import numpy as np
TABLE = {table}
LIMITS = {limits}
UNUSED = {unused}
def rule(x, bound={default}, *, other={keyword}):
    return x * {constant}
def apply(x):
    return _inner(x)
def _inner(x):
    return rule(x) + {inner}
def unused():
    return 1
"""
LATE = """
import graph_later
def late(x):
    return x + {constant} + graph_later.LATER
"""
LATER = "LATER = {later}\n"


class Graph:
    """The files of one strategy, and the numbers in them."""

    def __init__(self, seed):
        self._rng = random.Random(seed)
        self._leaves = 0
        kinds = self._rng.sample(FEATURES, k=self._rng.randint(2, 6))
        made = [kind(self, n) for n, kind in enumerate(kinds)]
        slots = self._rng.choice(["__slots__ = ('state', 'nested', 'calls')", "pass"])
        objective = self._rng.choice(["Objective()", "functools.partial(Objective(), data={})", "Objective().__call__"])
        self.files = {
            "graph_strategy.py": STRATEGY.format(
                code="_memo = {}\n" + "\n".join(code for code, _ in made),
                uses=", ".join(use for _, use in made),
                slots=slots,
                shared=self.value(),
                state=self.value(),
                nested=self._rng.choice(["Point({})", "[Point({})]", "Frozen(Point({}))"]).format(self.value()),
                constant=self.leaf(),
                objective=objective.format(self.value()),
            ),
            "graph_rules.py": RULES.format(
                table=self.value(),
                limits=self.value(),
                unused=0,
                default=self.value(),
                keyword=self.leaf(),
                constant=self.leaf(),
                inner=self.leaf(),
            ),
            "graph_late.py": LATE.format(constant=self.leaf()),
            "graph_later.py": LATER.format(later=self.leaf()),
        }
        self.files["graph_strategy.py"] = CLASSES.format(self.leaf(), self.leaf()) + self.files["graph_strategy.py"]
        text = "".join(self.files.values())
        self.leaves = [leaf for leaf in range(10_001, 10_001 + self._leaves) if str(leaf) in text]

    def leaf(self):
        """A number that occurs nowhere else."""
        self._leaves += 1
        return f"{10_000 + self._leaves}"

    def value(self, depth=2):
        """The source of a plain value."""
        forms = ["{}", "{}.5", "'text {}'", "b'{}'", "({}+1j)", "np.float64({})", "decimal.Decimal({})"]
        forms += ["datetime.timedelta({})", "np.arange({0}, {0} + 3)", "np.array(['a', {}], object)"]
        if depth == 0 or self._rng.random() < 0.3:
            return self._rng.choice(forms[:5] if depth < 2 else forms).format(self.leaf())
        inner = [self.value(depth - 1) for _ in range(self._rng.randint(1, 3))]
        names = ", ".join(f"'k{n}': {one}" for n, one in enumerate(inner))
        strings = ", ".join(f"'{letter}{self.leaf()}'" for letter in "abcdef")
        return self._rng.choice(
            [
                f"[{', '.join(inner)}]",
                f"({', '.join(inner)},)",
                f"{{{names}}}",
                f"{{{strings}}}",
                f"frozenset({{{strings}}})",
                f"{{name: {self.leaf()} for name in {{{strings}}}}}",
                f"[{{{strings}}}, ({', '.join(inner)},)]",
            ]
        )


CLASSES = """
import dataclasses
class Base:
    weight = {}
    def weigh(self):
        return {}
class Point(Base):
    def __init__(self, x):
        self.x = x
class Slotted:
    __slots__ = ("x",)
    def __init__(self, x):
        self.x = x
@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    x: object
    y: int = 3
"""


def a_global(graph, n):
    return f"G{n} = {graph.value()}", f"G{n}"


def a_function(graph, n):
    return f"def f{n}(x, d={graph.value()}):\n    return x + {graph.leaf()}", f"f{n}(1)"


def a_closure(graph, n):
    code = f"def make{n}():\n    kept = {graph.value()}\n    def inner(x):\n        return kept, {graph.leaf()}\n    return inner"
    return f"{code}\nc{n} = make{n}()", f"c{n}(1)"


def a_class(graph, n):
    code = f"class C{n}(Base):\n    size = {graph.value()}\n    @staticmethod\n    def s():\n        return {graph.leaf()}\n"
    for kind in ("property", "functools.cached_property", "classmethod"):
        code += f"    @{kind}\n    def {kind.rpartition('.')[2]}(self):\n        return {graph.leaf()}\n"
    return code, f"C{n}().property"


def an_object(graph, n):
    kind = graph._rng.choice(["Point", "Slotted", "Frozen"])
    return f"O{n} = {kind}({graph.value()})", f"O{n}.x"


def a_cached_function(graph, n):
    return f"@functools.lru_cache\ndef l{n}(x):\n    return {graph.leaf()}", f"l{n}(1)"


def a_wrapped_function(graph, n):
    code = f"def by{n}(g):\n    @functools.wraps(g)\n    def call(*a):\n        return g(*a) * {graph.leaf()}\n    return call\n"
    return f"{code}@by{n}\ndef w{n}(x):\n    return {graph.leaf()}", f"w{n}(1)"


def a_choice_of_functions(graph, n):
    code = f"def one{n}():\n    return {graph.leaf()}\ndef two{n}():\n    return {graph.leaf()}"
    return f"{code}\nBY_NAME{n} = {{'one': one{n}, 'two': two{n}}}", f"BY_NAME{n}[params]"


def an_enum(graph, n):
    return f"class E{n}(enum.Enum):\n    A = {graph.value()}\n    B = {graph.leaf()}", f"E{n}.A"


def a_named_tuple(graph, n):
    return f"N{n} = collections.namedtuple('N{n}', 'a b')({graph.leaf()}, {graph.value()})", f"N{n}.a"


def a_partial(graph, n):
    return f"P{n} = functools.partial(rule, {graph.leaf()}, other={graph.value()})", f"P{n}()"


def a_lambda(graph, n):
    return f"L{n} = lambda x, y={graph.leaf()}: x + {graph.leaf()}", f"L{n}(1)"


def two_that_call_each_other(graph, n):
    code = f"def even{n}(x):\n    return x == {graph.leaf()} or odd{n}(x - 1)\n"
    return f"{code}def odd{n}(x):\n    return x != {graph.leaf()} and even{n}(x - 1)", f"even{n}(1)"


FEATURES = [a_global, a_function, a_closure, a_class, an_object, a_cached_function, a_wrapped_function]
FEATURES += [a_choice_of_functions, an_enum, a_named_tuple, a_partial, a_lambda, two_that_call_each_other]


def fingerprint(files):
    """The fingerprint of the objective in these files, which are imported as they are."""
    from rbt_ray.objectives.address import locate

    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            Path(folder, name).write_text(text)
        sys.path.insert(0, folder)
        try:
            importlib.invalidate_caches()
            return locate(importlib.import_module("graph_strategy").objective).address.code
        finally:
            sys.path.remove(folder)
            for name in [name for name in sys.modules if name.startswith("graph_")]:
                del sys.modules[name]


def main(first, last):
    """Prints them; the changes by half in each of the two processes that are compared."""
    half = int(os.environ["PYTHONHASHSEED"]) % 2
    sys.dont_write_bytecode = True
    found = {}
    for seed in range(first, last):
        graph = Graph(seed)
        changed = {}
        for leaf in graph.leaves[half::2]:
            other = {name: text.replace(str(leaf), str(leaf + 40_000)) for name, text in graph.files.items()}
            changed[leaf] = fingerprint(other)
        commented = {name: f"# a comment\n\n{text}\n# the end\n" for name, text in graph.files.items()}
        found[seed] = {"as it is": fingerprint(graph.files), "commented": fingerprint(commented), "changed": changed}
    print(json.dumps(found))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

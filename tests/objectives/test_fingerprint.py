"""Fingerprints are equal in every process, and differ if anything that the objective reaches differs."""

import dataclasses
import functools
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import numba
import pytest

from rbt_ray.errors import StudyMismatchError
from rbt_ray.objectives.address import address_of, differences, locate
from rbt_ray.tuner.same_objective import require_same_objective

HERE = Path(__file__).parent


def printed(script, *words, cwd):
    """What a script of this folder prints in two processes: in other folders, and with sets and dicts in other orders."""
    processes = []
    for seed in ("1", "2"):
        (cwd / seed).mkdir()
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(HERE.parents[1])}
        command = [sys.executable, str(HERE / script), *words]
        processes.append(subprocess.Popen(command, env=environment, cwd=cwd / seed, stdout=subprocess.PIPE, text=True))
    outputs = [process.communicate(timeout=300)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    return [json.loads(output) for output in outputs]


def check_generated(first, last, cwd):
    found, again = printed("graphs.py", str(first), str(last), cwd=cwd)
    n_leaves = 0
    for seed, graph in found.items():
        changed = {**graph.pop("changed"), **again[seed].pop("changed")}
        assert graph == again[seed], f"strategy {seed} differs between processes"
        assert graph["commented"] == graph["as it is"], f"comments count in strategy {seed}"
        missed = [leaf for leaf, digest in changed.items() if digest == graph["as it is"]]
        assert not missed, f"changes of strategy {seed} that nobody sees"
        assert len(set(changed.values())) == len(changed)
        n_leaves += len(changed)
    assert n_leaves > 20 * (last - first)


def test_generated_strategies(tmp_path):
    check_generated(0, 2, tmp_path)


@pytest.mark.slow
def test_more_generated_strategies(tmp_path):
    check_generated(2, 22, tmp_path)


def test_odd_state_is_the_same_in_every_process(tmp_path):
    found, again = printed("odd_state.py", cwd=tmp_path)
    assert {name for name in found if found[name] != again[name]} == set()
    assert len(set(found.values())) == len(found) > 30


def made(text, name="objective"):
    namespace = {"__name__": "typed_strategy"}
    exec(text, namespace)
    return namespace[name]


CACHES = {
    "an item": "memo = {}\ndef objective(x):\n    memo[x] = 1",
    "an item of two keys": "memo = {}\ndef objective(x):\n    memo[x, len('a')] = max(x, 2)",
    "an augmented item": "memo = {3: 0}\ndef objective(x):\n    memo[x] += abs(-1)",
    "a deeper item": "memo = {'a': {}}\ndef objective(x):\n    memo['a'][x] = 1",
    "a list in a dict": "import collections\nmemo = collections.defaultdict(list)\ndef objective(x):\n    memo[x].append(1)",
    "setdefault": "memo = {}\ndef objective(x):\n    return memo.setdefault(x, 1)",
    "a list": "memo = []\ndef objective(x):\n    memo.append(x)",
    "a set": "memo = set()\ndef objective(x):\n    memo.add(x)",
    "a slice": "import numpy as np\nmemo = np.zeros(3)\ndef objective(x):\n    memo[:] = x",
    "a counter": "n = 0\ndef objective(x):\n    global n\n    n += 1",
    "a helper's": "memo = {}\ndef keep(x):\n    memo[x] = 1\ndef objective(x):\n    keep(x)",
    "a nested function's": "memo = {}\ndef objective(x):\n    def keep():\n        memo[x] = 1\n    keep()",
    "a closure's": "def make():\n    memo = {}\n    def objective(x):\n        memo[x] = 1\n    return objective\nobjective = make()",
    "nonlocal": "def make():\n    n = 0\n    def objective(x):\n        nonlocal n\n        n += 1\n    return objective\nobjective = make()",
    "an attribute's item": "class C:\n    def __init__(self):\n        self.memo = {}\n    def __call__(self, x):\n        self.memo[x] = 1\nobjective = C()",
    "an attribute": "class C:\n    last = None\n    def __call__(self, x):\n        self.last = x\nobjective = C()",
    "an augmented attribute": "class C:\n    n = 0\n    def __call__(self, x):\n        self.n += 1\nobjective = C()",
    "a called method's": "class C:\n    def __init__(self):\n        self.memo = []\n    def keep(self, x):\n        self.memo.append(x)\n    def __call__(self, x):\n        self.keep(x)\nobjective = C()",
    "a class's": "class C:\n    memo = {}\n    def __call__(self, x):\n        self.memo[x] = 1\nobjective = C()",
    "cached_property": "import functools\nclass C:\n    @functools.cached_property\n    def lazy(self):\n        return 1\n    def __call__(self, x):\n        return self.lazy\nobjective = C()",
    "lru_cache": "import functools\n@functools.lru_cache\ndef helper(x):\n    return x\ndef objective(x):\n    return helper(x)",
    "what is left out of the state": "class C:\n    def __init__(self):\n        self.made = {}\n    def __getstate__(self):\n        return {}\n    def __call__(self, x):\n        vars(self)['made'][x] = 1\nobjective = C()",
    "an attribute of a global": "import types\nSTATE = types.SimpleNamespace(n=0)\ndef objective(x):\n    STATE.n += 1",
    "an attribute of an own object": "class S:\n    def __init__(self):\n        self.n, self.log = 0, []\nSTATE = S()\ndef objective(x):\n    STATE.n = x\n    STATE.log.append(x)",
    "an attribute of a class": "class S:\n    n = 0\ndef objective(x):\n    S.n += 1",
    "an attribute of a closure's object": "import types\ndef make():\n    state = types.SimpleNamespace(n=0)\n    def objective(x):\n        state.n += x\n    return objective\nobjective = make()",
    "an attribute of the function": "def objective(x):\n    objective.calls = getattr(objective, 'calls', 0) + 1",
    "an augmented attribute of the function": "def objective(x):\n    objective.calls += 1\nobjective.calls = 0",
    "another name": "class C:\n    def __init__(self):\n        self.log = {}\n    def __call__(self, x):\n        log = self.log\n        log[x] = 1\n        log.update(a=2)\nobjective = C()",
    "another name of a global": "memo = []\ndef objective(x):\n    kept = memo\n    kept.append(x)",
    "a generator of random numbers": "import random\nclass C:\n    def __init__(self):\n        self.rng = random.Random(1)\n    def __call__(self, x):\n        self.rng.random()\nobjective = C()",
    "NumPy's generator": "import numpy as np\nclass C:\n    def __init__(self):\n        self.rngs = [np.random.default_rng(1), np.random.RandomState(1)]\n    def __call__(self, x):\n        [rng.random() for rng in self.rngs]\nobjective = C()",
    "a dict that is passed on": "CACHE = {}\ndef remember(cache, k, v):\n    cache[k] = v\ndef objective(x):\n    remember(CACHE, x, abs(x) + 1)",
    "a dict that is passed on twice": "CACHE = {}\ndef inner(v, c):\n    c.update(a=v)\ndef remember(cache, v):\n    inner(v, cache)\ndef objective(x):\n    remember(CACHE, x)",
    "a heap": "import heapq\nHEAP = []\ndef objective(x):\n    heapq.heappush(HEAP, x)",
    "a heap by its name": "from heapq import heappush\nHEAP = []\ndef objective(x):\n    heappush(HEAP, x)",
    "an attribute that is passed on": "def keep(log, x):\n    log.append(x)\nclass C:\n    def __init__(self):\n        self.log = []\n    def __call__(self, x):\n        keep(self.log, x)\nobjective = C()",
    "an attribute that is passed to a method": "class C:\n    def __init__(self):\n        self.log = []\n    def keep(self, x, log):\n        log.append(x)\n    def __call__(self, x):\n        self.keep(x, self.log)\nobjective = C()",
    "a method that is the objective": "class C:\n    n = 0\n    def run(self, x):\n        self.n += 1\nobjective = C().run",
}


@pytest.mark.parametrize("cache", CACHES)
def test_what_the_objective_keeps_between_calls_does_not_count(cache):
    objective = made(CACHES[cache])
    before = address_of(objective)
    objective(3)
    assert differences(before, address_of(objective)) == []


def test_an_attribute_that_only_others_set_counts():
    text = "class C:\n    def __init__(self):\n        self.fee = 1\n    def charge(self, fee):\n        self.fee = fee\n    def __call__(self, x):\n        return self.fee\nobjective = C()"
    objective = made(text)
    before = address_of(objective)
    objective.charge(100)
    assert differences(before, address_of(objective)) == ["the attribute `fee`: 1 then, 100 now"]


SETTINGS = {
    "a constructor's helper": "class C:\n    def __init__(self, fee):\n        self._set(fee)\n    def _set(self, fee):\n        self.fee = fee\n    def __call__(self, x):\n        return self.fee\nobjective = C({})",
    "a method that nothing calls": "class C:\n    def __init__(self, fee):\n        self.fee = fee\n    def set(self, fee):\n        self.fee = fee\n    def clone(self):\n        return C(0).set(self.fee)\n    def __call__(self, x):\n        return self.fee\nobjective = C({})",
    "a method named as a set's": "class C:\n    def __init__(self):\n        self.rules = []\n    def add(self, n):\n        self.rules.append(n)\n        return self\n    def __call__(self, x):\n        seen = set()\n        seen.add(x)\n        return sum(self.rules)\nobjective = C().add({})",
    "a global that a constructor fills": "RULES = []\ndef register(n):\n    RULES.append(n)\nclass C:\n    def __init__(self, n):\n        register(n)\n    def __call__(self, x):\n        return sum(RULES)\nobjective = C({})",
    "a table that is passed on": "TABLE = {{'fee': {}}}\ndef cost(table, x):\n    return table['fee'] * x\ndef objective(x):\n    return cost(TABLE, x)",
    "a table that is passed beside a cache": "TABLE, CACHE = {{'fee': {}}}, {{}}\ndef cost(cache, table, x):\n    cache[x] = 1\n    return table['fee'] * x\ndef objective(x):\n    return cost(CACHE, TABLE, x)",
    "a table that is copied where it is passed": "TABLE = {{'fee': {}}}\ndef cost(table, x):\n    table = dict(table)\n    table['x'] = x\n    return table\ndef objective(x):\n    return cost(TABLE, x)",
    "a table whose copy is passed": "TABLE = {{'fee': {}}}\ndef cost(table, x):\n    table['x'] = x\n    return table\ndef objective(x):\n    return cost(dict(TABLE), x)",
    "functions that call each other": "TABLE = {{'fee': {}}}\ndef a(t, x):\n    return b(t, x)\ndef b(t, x):\n    return x if x < 0 else a(t, x - 1) + t['fee']\ndef objective(x):\n    return a(TABLE, x)",
    "another object of the class": "import types\nSTATE, SET = types.SimpleNamespace(n=0), types.SimpleNamespace(n={})\ndef objective(x):\n    STATE.n += 1\n    return SET.n",
    "what a local list is made of": "FEES = [{}]\ndef objective(x):\n    fees = list(FEES)\n    fees.append(x)\n    return fees",
    "a variable that is assigned twice": "FEES = {{'a': {}}}\ndef objective(x):\n    fees = FEES\n    fees = dict(fees)\n    fees['b'] = x\n    return fees",
}


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_setting_is_not_taken_for_what_the_objective_keeps(setting):
    then, now = (address_of(made(SETTINGS[setting].format(value))) for value in (1, 2))
    assert differences(then, now) != []


def test_a_compiled_kernel_counts_with_its_options():
    def kernel(factor, **options):
        text = f"@njit({', '.join(f'{name}={value}' for name, value in options.items())})\ndef kernel(x):\n    return x * {factor}"
        namespace = {"__name__": "typed_strategy", "njit": numba.njit}
        exec(f"{text}\ndef objective(params, data):\n    return kernel(1.0)", namespace)
        return address_of(namespace["objective"])

    assert differences(kernel(2), kernel(2)) == []
    [change] = differences(kernel(2), kernel(3))
    assert "`kernel`" in change
    assert differences(kernel(2), kernel(2, fastmath=True)) != []


def test_names_that_stand_for_each_other_count():
    text = "def a(x):\n    return x\ndef b(x):\n    return -x\ndef one(x):\n    return {0}(x)\ndef two(x):\n    return {1}(x)\n"
    text += "first, second = {2}, {3}\ndef objective(x):\n    return first(x) - second(x)"
    there, swapped = made(text.format("a", "b", "one", "two")), made(text.format("a", "b", "two", "one"))
    assert differences(address_of(there), address_of(swapped)) != []


@pytest.mark.parametrize("body", ["return x", "str(x)", "y = None\n    return x is y, 1.5, (x for x in 'ab')"])
def test_a_docstring_that_is_added_does_not_count(body):
    plain = f"def objective(x):\n    {body}"
    assert differences(address_of(made(plain)), address_of(made(plain.replace("(x):", "(x):\n    'About.'", 1)))) == []


def test_docstrings_and_line_numbers_do_not_count():
    plain = "def helper(x):\n    'About x.'\n    return x\ndef objective(p, d):\n    return helper(1)"
    other = "\n\n# moved\ndef helper(x):\n    '''More about x.'''\n\n    return x  # as it is\n\ndef objective(p, d):\n    return helper(1)"
    assert differences(address_of(made(plain)), address_of(made(other))) == []


def test_no_text_is_shown_or_kept():
    password = "correct horse battery staple"
    namespace = {"__name__": "typed_strategy", "PASSWORD": password}
    exec("def objective(p, d, key=PASSWORD):\n    return len(PASSWORD), key", namespace)
    address = address_of(functools.partial(namespace["objective"], password))
    assert password not in json.dumps(dataclasses.asdict(address))
    assert "the global `PASSWORD` of typed_strategy" in address.parts


def first(x):
    return x


def second(x):
    return x + 1


def test_studies_that_recorded_nothing_but_source_are_compared_by_that():
    then = dataclasses.replace(address_of(first), code="", parts={}, python="")
    assert differences(then, address_of(first)) == []
    assert differences(then, address_of(second)) != []
    require_same_objective(then, address_of(first), Path("study"))
    with pytest.raises(StudyMismatchError, match=r"began with|begun with"):
        require_same_objective(then, address_of(second), Path("study"))


def test_after_another_python_source_and_state_are_compared():
    class Score:
        def __init__(self, fee):
            self.fee = fee

        def __call__(self, params, data):
            return self.fee

    then = address_of(Score(1))
    other = {label: shown if "attribute" in label else "another compiler's" for label, shown in then.parts.items()}
    then = dataclasses.replace(then, code="another", parts=other, python="3.99")
    assert differences(then, address_of(Score(1))) == []
    assert differences(then, address_of(Score(100))) == ["the attribute `fee`: 1 then, 100 now"]


def test_functions_that_are_imported_late_are_named():
    text = "def objective(p, d):\n    from tests.objectives import graphs\n    import numpy\n    return graphs"
    found = locate(made(text)).fingerprint
    assert "tests.objectives.graphs" in found.imports
    assert "the module tests/objectives/graphs.py" in found.parts
    assert not any("numpy" in label for label in found.parts)


KEYS = [
    1,
    -2,
    "a",
    "b",
    b"a",
    None,
    1.5,
    float("nan"),
    False,
    (1, "a"),
    ("a", 1),
    (1, 2),
    (0, 3),
    (),
    ("a",),
    ((1,), 2),
]


@pytest.mark.parametrize("seed", range(30))
def test_a_dict_counts_with_all_kinds_of_keys_in_any_order(seed):
    rng = random.Random(seed)
    pairs = [(key, n) for n, key in enumerate(rng.sample(KEYS, rng.randint(1, 4)))]
    text = "TABLE = {}\ndef objective(p, d):\n    return TABLE"
    objective = made(text)
    found = []
    for table in (pairs, rng.sample(pairs, len(pairs)), [(key, n + 1) for key, n in pairs]):
        objective.__globals__["TABLE"] = dict(table)
        found.append(address_of(objective))
    assert differences(found[0], found[1]) == []
    assert differences(found[0], found[2]) != []


FRAMES = {
    "a value": ("pd.DataFrame({'a': [1.0, 2.0], 'b': ['x', 'y']})", "pd.DataFrame({'a': [1.0, 2.5], 'b': ['x', 'y']})"),
    "a text": ("pd.DataFrame({'a': [1.0, 2.0], 'b': ['x', 'y']})", "pd.DataFrame({'a': [1.0, 2.0], 'b': ['x', 'z']})"),
    "a name": ("pd.DataFrame({'a': [1.0]})", "pd.DataFrame({'b': [1.0]})"),
    "a type": ("pd.DataFrame({'a': [1]})", "pd.DataFrame({'a': [1.0]})"),
    "a row's name": ("pd.Series([1, 2], index=['x', 'y'])", "pd.Series([1, 2], index=['x', 'z'])"),
    "a date": ("pd.date_range('2020-01-01', periods=3)", "pd.date_range('2020-01-02', periods=3)"),
    "a time zone": ("pd.date_range('2020', periods=2, tz='UTC')", "pd.date_range('2020', periods=2)"),
    "levels": ("pd.MultiIndex.from_tuples([(1, 'a'), (1, 'b')])", "pd.MultiIndex.from_tuples([(1, 'a'), (2, 'b')])"),
    "a missing number": ("pd.Series([1, None], dtype='Int64')", "pd.Series([1, 0], dtype='Int64')"),
    "a category": ("pd.Series(['a', 'b'], dtype='category')", "pd.Series(['a', 'c'], dtype='category')"),
    "a boolean": ("pd.Series([True, None], dtype='boolean')", "pd.Series([False, None], dtype='boolean')"),
    "a period": ("pd.period_range('2020-01', periods=2, freq='M')", "pd.period_range('2020-02', periods=2, freq='M')"),
    "a sparse value": (
        "pd.Series(pd.arrays.SparseArray([0.0, 1.0, float('nan')]))",
        "pd.Series(pd.arrays.SparseArray([0.0, 2.0, float('nan')]))",
    ),
    "a missing value": ("pd.Series([0.0, None])", "pd.Series([0.0, 0.0])"),
    "a mixed column": (
        "pd.Series([1, 'a', pd.Timestamp(2020, 1, 1)])",
        "pd.Series([1, 'a', pd.Timestamp(2020, 1, 2)])",
    ),
    "an interval": ("pd.Series(pd.interval_range(0, 2))", "pd.Series(pd.interval_range(0, 2, closed='left'))"),
    "two columns of a name": (
        "pd.DataFrame([[1, 2]], columns=['a', 'a'])",
        "pd.DataFrame([[1, 3]], columns=['a', 'a'])",
    ),
    "a range": ("pd.DataFrame({'a': [1, 2]}, index=range(2))", "pd.DataFrame({'a': [1, 2]}, index=range(1, 3))"),
    "a value of polars": ("pl.DataFrame({'a': [1.0, 2.0]})", "pl.DataFrame({'a': [1.0, 3.0]})"),
    "a text of polars": ("pl.Series('a', ['x', None])", "pl.Series('a', ['x', 'None'])"),
    "a type of polars": ("pl.Series('a', [1], pl.Int8)", "pl.Series('a', [1], pl.Int64)"),
    "a date of polars": ("pl.Series('a', [datetime.date(2020, 1, 1)])", "pl.Series('a', [datetime.date(2020, 1, 2)])"),
}


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize(
    "text",
    [
        "TABLE = {}\ndef objective(p, d):\n    return TABLE",
        "import functools\nobjective = functools.partial(sorted, {})",
    ],
)
def test_frames_count_wherever_they_are(frame, text):
    if "pl." in FRAMES[frame][0]:
        pytest.importorskip("polars")
    imports = "import datetime\nimport pandas as pd\n" + ("import polars as pl\n" if "pl." in FRAMES[frame][0] else "")
    then, again, now = (address_of(made(imports + text.format(FRAMES[frame][n]))) for n in (0, 0, 1))
    assert differences(then, again) == []
    assert differences(then, now) != []


@pytest.mark.parametrize("value", ["b'x' * 1000", "'x' * 1000"])
def test_long_texts_and_bytes_count(value):
    text = "TABLE = {} + {}\ndef objective(p, d):\n    return TABLE"
    a, b = ("b'a'", "b'b'") if value.startswith("b") else ("'a'", "'b'")
    then, now = (address_of(made(text.format(value, last))) for last in (a, b))
    assert differences(then, now) == ["the global `TABLE` of typed_strategy has another value"]


def test_dates_of_libraries_count_and_the_environment_does_not(monkeypatch):
    text = "import pandas as pd\nfrom os import environ\nSTART = pd.Timestamp('{}')\ndef objective(p, d):\n    return START, environ"
    then = address_of(made(text.format("2010-01-04")))
    monkeypatch.setenv("RBT_TEST_OF_THE_ENVIRONMENT", "another")
    assert differences(then, address_of(made(text.format("2010-01-04")))) == []
    assert differences(then, address_of(made(text.format("2011-01-03")))) == [
        "the global `START` of typed_strategy has another value"
    ]

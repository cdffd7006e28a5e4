"""Constraints: an expression means what it means in Python, a space holds what satisfies it, and nothing else is accepted."""

import ast
import builtins
import re

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

import rbt_ray as rbt
from rbt_ray.errors import SettingError, SpaceError
from rbt_ray.search.fixed_sequence import GridSearch
from rbt_ray.search.random_draws import RandomSearch, SobolSearch
from rbt_ray.study.conditions import Compare
from rbt_ray.study.constraint_functions import text_of
from rbt_ray.study.constraint_parser import Names, parse, parse_all
from rbt_ray.study.space import Space

NUMBERS = st.one_of(st.integers(-5, 5), st.sampled_from([0.5, -1.25, 3.0]))
OPTIONS = ("sma", "ema", None)
NAMES = Names({"a": None, "b": None, "n": (1, 2.5, True), "kind": OPTIONS}, {"fee": 2})


def numeric():
    leaf = st.one_of(NUMBERS.map(str), st.sampled_from(["a", "b", "n", "fee", "m"]))

    def deeper(inner):
        binary = st.tuples(inner, st.sampled_from("+-*/%"), inner).map(lambda parts: "({} {} {})".format(*parts))
        calls = st.tuples(st.sampled_from(["min", "max"]), inner, inner).map(lambda parts: "{}({}, {})".format(*parts))
        unary = st.tuples(st.sampled_from(["-({})", "abs({})", "+({})"]), inner).map(
            lambda parts: parts[0].format(parts[1])
        )
        return st.one_of(binary, calls, unary)

    return st.recursive(leaf, deeper, max_leaves=5)


def conditions():
    signs = st.sampled_from(["<", "<=", ">", ">=", "==", "!="])
    two = st.tuples(numeric(), signs, numeric()).map(" ".join)
    three = st.tuples(numeric(), signs, numeric(), signs, numeric()).map(" ".join)
    option = st.tuples(st.sampled_from(["==", "!="]), st.sampled_from(OPTIONS)).map(
        lambda parts: f"kind {parts[0]} {parts[1]!r}"
    )

    def deeper(inner):
        joined = st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(lambda parts: "({} {} {})".format(*parts))
        return st.one_of(joined, inner.map(lambda part: f"not ({part})"))

    return st.recursive(st.one_of(two, three, option), deeper, max_leaves=4)


ROW = st.fixed_dictionaries(
    {
        "a": NUMBERS,
        "b": NUMBERS,
        "m": NUMBERS,
        "n": st.sampled_from(NAMES.parameters["n"]),
        "kind": st.sampled_from(OPTIONS),
    }
)


def columns_of(rows):
    """Columns as a space has them: numbers as they are, options by position."""
    position = {"n": NAMES.parameters["n"].index, "kind": OPTIONS.index}
    return {
        name: np.array([position.get(name, float)(row[name]) for row in rows], dtype=np.float64) for name in rows[0]
    }


@settings(max_examples=150, deadline=None)
@given(text=conditions(), rows=st.lists(ROW, min_size=1, max_size=8))
def test_an_expression_is_true_where_python_says_so(text, rows):
    try:
        constraints = parse(text, NAMES)
    except SettingError as error:
        if "names no parameter" not in str(error):
            raise
        reject()  # such as 1 < 2
    columns = columns_of(rows)
    found = np.all([one.satisfied(columns) for one in constraints], axis=0)
    broken = np.sum([one.violation(columns) for one in constraints], axis=0)
    for row, holds, violation in zip(rows, found, broken, strict=True):
        try:
            expected = eval(text, {"__builtins__": builtins}, {**row, **NAMES.constants})
        except ZeroDivisionError:
            continue  # undefined here, as the next test says
        assert bool(expected) == holds, (text, row)
        assert (violation == 0) == holds


def test_what_is_undefined_decides_nothing():
    columns = {"a": np.array([0.0, 1.0, np.nan]), "b": np.array([6.0, 6.0, 6.0])}
    names = Names({})

    def satisfied(text):
        return np.all([one.satisfied(columns) for one in parse(text, names)], axis=0).tolist()

    assert satisfied("b / a > 5") == [False, True, False]
    assert satisfied("not b / a > 5") == [False, False, False]
    assert satisfied("b % a == 0") == [False, True, False]
    assert satisfied("a == 0 or b / a > 5") == [True, True, False]
    assert satisfied("b > 5 or b / a > 50") == [True, True, True]
    assert satisfied("a != 7") == [True, True, False]


def test_a_violation_grows_with_the_distance_whatever_the_unit():
    def violations(text, values):
        [constraint] = parse(text, Names({}))
        return constraint.violation({"m": np.array(values, dtype=np.float64)})

    for text, values in [
        ("m >= 30", [30, 29, 10, 0, -5]),
        ("m > 0", [1e-9, 0, -0.01, -0.2, -9]),
        ("0.3 > m", [0, 0.3, 0.4, 2, 99]),
    ]:
        found = violations(text, values)
        assert found[0] == 0
        assert (np.diff(found) > 0).all()
        assert found[-1] < 1
    np.testing.assert_array_equal(violations("m >= 30", [24]), violations("m >= 0.3", [0.24]))
    assert violations("m >= 30", [np.nan])[0] == 1
    assert violations("m >= 30 or m < 5", [10]) == violations("m >= 30", [10]) < violations("m < 5", [10])


SPACE = {
    "fast": rbt.randint(0, 12),
    "slow": rbt.randint(0, 12),
    "kind": rbt.choice(["sma", "ema"]),
    "opt": {"lr": rbt.grid_search([0.1, 0.5, 2])},
    "fee": 5,
}
TEXTS = [
    "fast < slow",
    "slow - fast >= 10",
    "fast < slow < 9 and kind == 'sma'",
    "kind != 'ema' or fast % 3 == 1",
    "max(fast, slow) - min(fast, slow) < fee",
    "opt.lr * slow <= fast / 2",
    "not (fast < 3 or abs(slow - 6) > 2)",
]


def python_of(text):
    """The constraint as a function of a config."""

    def holds(config):
        class Group:
            lr = config["opt"]["lr"]

        return bool(eval(text, {}, {**config, "opt": Group}))

    return holds


@pytest.mark.parametrize("text", TEXTS)
def test_a_constrained_grid_is_the_filtered_grid(text):
    free = Space.of(SPACE)
    space = free.constrained([text])
    expected = [config for config in free.decode(free.grid(0, free.grid_size)) if python_of(text)(config)]
    assert space.decode(GridSearch(space).ask(10**6).points) == expected
    assert space.size == len(expected)
    for searcher in (RandomSearch, SobolSearch):
        found = space.decode(searcher(space, seed=4).ask(10**6).points)
        assert sorted(map(repr, found)) == sorted(map(repr, expected))
        assert len(searcher(space, limit=7, seed=4).ask(10**6)) == min(7, len(expected)), "a limit counts what remains"


@pytest.mark.parametrize("searcher", [RandomSearch, SobolSearch])
def test_draws_keep_their_distribution_where_nearly_all_is_excluded(searcher):
    space = Space.of({"x": rbt.uniform(0, 1), "y": rbt.uniform(0, 1), "z": rbt.uniform(0, 1)})
    space = space.constrained(["abs(x - y) < 0.02", "abs(y - z) < 0.02", "x < 0.5"])  # 0.08 % of the cube
    points = searcher(space, limit=200, seed=2).ask(200).points
    assert len(points) == 200
    assert space.allowed(points).all()
    # uniform over x from 0 to 0.5: the mean of 200 is within 5 standard errors of 0.25
    assert abs(points[:, 0].mean() - 0.25) < 5 * 0.5 / (12 * 200) ** 0.5


def test_a_few_configs_among_many_are_found():
    space = Space.of({"a": rbt.randint(0, 3000), "b": rbt.randint(0, 3000)}).constrained(["a == 17", "b > 2997"])
    assert space.size == 2
    found = space.decode(RandomSearch(space, limit=100, seed=1).ask(100).points)
    assert sorted(config["b"] for config in found) == [2998, 2999]


def test_where_nothing_is_left_it_says_so():
    space = Space.of({"x": rbt.uniform(0, 1), "y": rbt.uniform(0, 1)}).constrained(["x == y"])
    with pytest.raises(
        SpaceError, match=r"the constraints 'x == y' leave practically nothing: none of 1,0.* Loosen them"
    ):
        RandomSearch(space).ask(1)
    finite = Space.of({"n": rbt.randint(0, 100)}).constrained(["n > 50", "n < 20"])
    for searcher in (GridSearch, RandomSearch, SobolSearch):
        with pytest.raises(SpaceError, match="'n > 50', 'n < 20' leave practically nothing: none of 100 candidates"):
            searcher(finite).ask(1)


def test_a_search_that_finds_nothing_new_says_which_share_is_left():
    # infinitely many configs, of which three are allowed: those without `x`
    parts = {"kind": rbt.choice(["plain", "smooth"]), "n": rbt.randint(0, 10), "x": rbt.uniform(0, 1)}
    space = Space(tuple(parts), tuple(parts.values()), conditions=(("x", Compare("kind", "==", 1.0)),))
    searcher = RandomSearch(space.constrained(["kind == 'plain'", "n < 3"]), limit=100, seed=3)
    assert sorted(config["n"] for config in space.decode(searcher.ask(100).points)) == [0, 1, 2]
    assert searcher.done
    [note] = searcher.notes
    assert "the search ended after 3 configs: none of 1,0" in note
    assert re.search(r"The constraints .* leave 0\.1\d* of all draws", note)


def test_an_inactive_parameter_makes_a_constraint_void():
    space = Space(
        ("kind", "fast", "slow"),
        (rbt.choice(["sma", "rsi"]), rbt.randint(0, 5), rbt.randint(0, 5)),
        conditions=(("slow", Compare("kind", "==", 0.0)),),
    ).constrained(["fast < slow", "kind == 'sma' or fast > 1"])
    configs = space.decode(GridSearch(space).ask(1000).points)
    pairs = [{"kind": "sma", "fast": f, "slow": s} for f in range(5) for s in range(5) if f < s]
    assert configs == [*pairs, *({"kind": "rsi", "fast": f} for f in (2, 3, 4))]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fast < slw", "has the name `slw`, but the parameters are fast, slow, kind, opt.lr, fee"),
        ("opt.rl < 1", "has the name `opt/rl`, but the parameters are"),
        ("kind == 'smaa'", "compares `kind` with 'smaa', but it takes 'sma', 'ema'"),
        ("kind < 'sma'", "by another sign than == or !="),
        ("kind > 3", "none of its options is one"),
        ("fast == 'sma'", "compares `fast` with 'sma', but it takes numbers"),
        ("fast", "is no condition: compare 'fast' with a value"),
        ("fast < slow and slow", "is no condition: compare 'slow' with a value"),
        ("1 < 2", "names no parameter and no metric"),
        ("fast <", "is not an expression"),
        ("", "is not an expression"),
        ("fast = 3", "is not an expression"),
        ("fast in (1, 2)", "uses `in` or `is`"),
        ("fast ** 2 < 3", r"contains 'fast \*\* 2'; an expression consists of numbers, names"),
        ("__import__('os').system('true') == 0", "contains"),
        ("(lambda: 1)() < fast", "contains"),
        ("[x for x in (1,)] == fast", "contains"),
        ("fast.__class__ == 1", "has the name `fast/__class__`"),
        ("min(fast) < 3", "calls `min` with 1 arguments"),
        ("max(fast, slow, key=abs) < 3", "calls `max`"),
        ("fast < 1e999", "not a finite number"),
        ("fast < " + "9" * 400, "not a finite number"),
        ("fast < 1j", "not a finite number"),
        ("fast < " + "-" * 300 + "1", "nests more than 50 levels deep"),
        ("fast < " + "(" * 300 + "1" + ")" * 300, "is not an expression|nests more"),
        ("fast < " + "1 + " * 1000 + "1", "has at most 2,000 characters"),
        ("fast\0 < 1", "is not an expression"),
        (3, "is a text such as 'fast < slow'"),
    ],
)
def test_anything_else_is_refused(text, message):
    with pytest.raises(SettingError, match=message):
        Space.of(SPACE).constrained([text])


def test_a_space_remembers_its_constraints_and_others_keep_their_fingerprint():
    free = Space.of(SPACE)
    space = free.constrained(["fast < slow < 9", "kind == 'sma'"])
    assert [one.text for one in space.constraints] == ["fast < slow", "slow < 9", "kind == 'sma'"]
    assert Space.from_json(space.to_json()) == space
    assert space.constrained(["slow<9"]) == space
    assert "constraints" not in free.to_json()
    assert space.fingerprint != free.fingerprint
    config = {"fast": 7, "slow": 3, "kind": "sma", "opt": {"lr": 2}}
    assert free.encode([config]).shape == (1, 4)
    with pytest.raises(SpaceError, match="breaks the constraint 'fast < slow'"):
        space.encode([config])


FUNCTIONS = {
    "attribute": lambda p: p.fast < p.slow,
    "key": lambda p: p["fast"] + 2 <= p["slow"],
    "and": lambda p: p.fast < 5 and p.slow > 3,
    "or": lambda p: p.fast < 2 or p.slow > 9,
    "not": lambda p: not (p.fast < 5 and p.slow < 5),
    "chain": lambda p: 2 < p.fast < p.slow,
    "min": lambda p: min(p.fast, p.slow, 4) > 2 + p.fast % 3,
    "abs": lambda p: abs(p.fast - p.slow) * 2 > 7,
    "group": lambda p: p.opt.lr * p["fast"] > p["opt"]["lr"],
    "options": lambda p: p.kind in ("sma", "wma-not"),
    "numpy": lambda p: np.float64(4) > p.fast - np.int64(2),
    "branches": lambda p: p.slow > 5 if p.kind == "ema" else p.fast > 5,
    "falls back": lambda p: bool(p.fast) and 10 / p.fast > 3,
    "number": lambda p: p.fast % 2,
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_of_params_means_what_it_returns(name):
    function = FUNCTIONS[name]

    class Params(dict):
        __getattr__ = dict.__getitem__

    free = Space.of({**SPACE, "kind": rbt.choice(["sma", "ema", "wma-not"])})
    space = free.constrained([text_of(function)])
    configs = free.decode(free.grid(0, free.grid_size))
    expected = [c for c in configs if function(Params({**c, "opt": Params(c["opt"])}))]
    assert 0 < len(expected) < len(configs)
    assert space.decode(GridSearch(space).ask(10**6).points) == expected


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda p: p.fast**2 < 4, "cannot be read as an expression: TypeError"),
        (lambda p: int(p.fast) < 4, "cannot be read as an expression"),
        (lambda p: p.fast in {1, 2}, "cannot be read as an expression"),
        (lambda p: len(p.kind) < 4, "cannot be read as an expression"),
        (lambda p: True, "true for some params without a comparison"),
        (lambda p: False, "false for all params"),
        (lambda: True, "cannot be read as an expression: TypeError"),
        (lambda p: 1 / 0, "ZeroDivisionError"),
        (lambda p: any(p.fast == k for k in range(300)), "more than 64 ways through it"),
    ],
)
def test_another_function_is_refused(function, message):
    with pytest.raises(SettingError, match=message):
        text_of(function)


def test_a_text_that_ast_wrote_is_read_again():
    """Studies record what `ast.unparse` writes."""
    for text in (*TEXTS, *map(text_of, FUNCTIONS.values())):
        names = Space.of({**SPACE, "kind": rbt.choice(["sma", "ema", "wma-not"])}).known_names
        first = parse_all([text], names)
        assert parse_all([one.text for one in first], names) == first
        for one in first:
            assert ast.unparse(ast.parse(one.text)) == one.text


@pytest.mark.parametrize(
    ("text", "stays"),
    [
        ("max_drawdown > -0.3", True),
        ("-0.3 <= max_drawdown", True),
        ("max_drawdown >= -limit / 2", True),
        ("n_trades <= 500", True),
        ("n_fills < 10 * limit", True),
        ("max_drawdown < -0.1", False),
        ("n_trades >= 30", False),
        ("max_drawdown > -0.3 or sharpe > 1", False),
        ("max_drawdown > -sharpe", False),
        ("max_drawdown != 0", False),
        ("sharpe > 1", False),
        ("limit > 3", False),
    ],
)
def test_which_constraints_stay_broken(text, stays):
    [constraint] = parse(text, Names({"limit": None}))
    assert constraint.stays_broken is stays

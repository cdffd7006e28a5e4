"""Spaces: configs to points and back, sizes, grids, digests, JSON."""

import itertools
import json
import math
import pickle
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rbt_ray as rbt
from rbt_ray.errors import SpaceError
from rbt_ray.study.conditions import Compare
from rbt_ray.study.space import Space

NESTED = {
    "kind": rbt.choice(["sma", None, 3, 2.5, True]),
    "windows": {"fast": rbt.randint(5, 60), "slow": rbt.qrandint(20, 250, 10), "fee": 5},
    "sizes": [1, 2],
    "risk": {"stop": {"at": rbt.quniform(0.5, 2.0, 0.5)}, "lr": rbt.loguniform(1e-4, 1e-1)},
    "empty": {},
    "shift": rbt.normal(0, 1),
}


def test_configs_are_nested_plain_and_in_order_of_definition():
    space = Space.of(NESTED)
    assert space.names == ("kind", "windows/fast", "windows/slow", "risk/stop/at", "risk/lr", "shift")
    assert space.constants == {"windows/fee": 5, "sizes": [1, 2], "empty": {}}
    config = space.decode(space.from_unit(np.full((1, 6), 0.5)))[0]
    assert config["kind"] == 3
    assert config["windows"] == {"fast": 32, "slow": 140, "fee": 5}
    assert config["risk"]["stop"] == {"at": 1.5}
    assert list(config) == list(NESTED)
    assert list(config["windows"]) == ["fast", "slow", "fee"]
    assert [type(value) for value in config["windows"].values()] == [int, int, int]
    assert type(config["risk"]["lr"]) is float
    assert json.loads(json.dumps(config)) == config


@given(st.lists(st.lists(st.floats(0, 1, exclude_max=True), min_size=6, max_size=6), min_size=1, max_size=9))
def test_decode_and_encode_are_inverse(levels):
    space = Space.of(NESTED)
    points = space.canonical(space.from_unit(np.array(levels)))
    np.testing.assert_array_equal(space.encode(space.decode(points)), points)


def test_what_an_objective_does_to_a_config_does_not_reach_the_next():
    space = Space.of({"sizes": [1], "option": rbt.choice([{"a": 1}, {"a": 1}]), "x": rbt.randint(0, 9)})
    points = space.grid(0, 2)
    first, second = space.decode(points)
    first["sizes"].append(2)
    first["option"]["a"] = 7
    assert second["sizes"] == [1]
    assert second["option"] == {"a": 1}
    assert space.decode(points)[0] == {"sizes": [1], "option": {"a": 1}, "x": 0}


def test_any_object_can_be_an_option():
    table = np.arange(3)
    space = Space.of({"f": rbt.choice([math.sqrt, abs]), "table": rbt.choice([table, "none"])})
    configs = space.decode(space.grid(0, 4))
    assert [config["f"](16) for config in configs] == [4, 4, 16, 16]
    assert configs[0]["table"] is table
    np.testing.assert_array_equal(space.encode(configs), space.grid(0, 4))
    assert space.size == 4


def test_the_space_of_constants_has_one_config():
    for written, config in (({}, {}), ({"fee": 5, "opt": {"on": True}}, {"fee": 5, "opt": {"on": True}})):
        space = Space.of(written)
        assert (space.n_params, space.size, space.grid_size) == (0, 1, 1)
        assert space.decode(space.grid(0, 5)) == [config]
        assert space.encode([config]).shape == (1, 0)
        assert space.from_unit(np.empty((3, 0))).shape == (3, 0)
        assert len(set(space.digests(np.empty((3, 0))).tolist())) == 1


def test_numpy_scalars_become_plain():
    space = Space.of({"x": rbt.choice(np.array([1, 2])), "y": rbt.choice([np.float64(0.5)]), "z": np.int64(3)})
    assert [type(value) for value in space.decode(space.grid(0, 1))[0].values()] == [int, float, int]


def test_a_space_is_taken_as_it_is():
    space = Space.of({"x": rbt.randint(0, 3)})
    assert Space.of(space) is space


@pytest.mark.parametrize(
    ("written", "size"),
    [
        ({"a": rbt.randint(5, 60), "b": rbt.randint(20, 250)}, 55 * 230),
        ({"a": rbt.choice(["x"])}, 1),
        ({"a": rbt.choice(["x", "y", "x", "x"])}, 2),
        ({"a": rbt.choice([1, True, 1.0, [1], [1]])}, 4),
        ({"a": rbt.quniform(0, 1, 0.1), "b": rbt.qrandint(3, 11, 4)}, 22),
        ({str(k): rbt.randint(0, 10**6) for k in range(10)}, 10**60),
        ({"a": rbt.randint(0, 3), "b": rbt.uniform(0, 1)}, None),
        ({"a": rbt.normal(0, 1)}, None),
    ],
)
def test_size_is_exact(written, size):
    space = Space.of(written)
    assert space.size == size
    assert space.is_finite == (size is not None)


def test_size_under_conditions_is_counted(conditional, conditional_configs):
    assert conditional.size == len(conditional_configs)
    assert conditional.grid_size == 3 * 4 * 3 * 3


def test_size_under_conditions_is_unknown_where_counting_takes_long(conditional):
    wide = Space(
        names=(*conditional.names, "e"),
        domains=(*conditional.domains, rbt.randint(0, 10**6)),
        conditions=conditional.conditions,
    )
    assert wide.is_finite
    assert wide.size is None


def test_grid_is_the_product_in_order():
    space = Space.of({"a": rbt.choice(["x", "y"]), "b": {"c": rbt.randint(3, 6)}, "d": rbt.quniform(0, 1, 0.5)})
    expected = [
        {"a": a, "b": {"c": c}, "d": d} for a, c, d in itertools.product(["x", "y"], [3, 4, 5], [0.0, 0.5, 1.0])
    ]
    assert space.decode(space.grid(0, 18)) == expected
    assert space.decode(space.grid(5, 11)) == expected[5:11]
    assert space.decode(space.grid(16, 99)) == expected[16:]
    assert len(space.grid(18, 99)) == 0


@given(st.integers(0, 10**60 - 200))
def test_rows_of_a_grid_beyond_64_bits_are_the_digits_of_their_number(start):
    space = Space.of({str(k): rbt.randint(0, 10**6) for k in range(10)})
    rows = space.grid(start, start + 120).astype(int)
    digits = [[(start + i) // 10 ** (6 * (9 - k)) % 10**6 for k in range(10)] for i in (0, 1, 119)]
    assert rows[[0, 1, 119]].tolist() == digits


def test_leading_rows_are_each_config_once(conditional, conditional_configs):
    rows = conditional.grid(0, conditional.grid_size)
    kept = conditional.canonical(rows[conditional.is_representative(rows) & conditional.allowed(rows)])
    configs = conditional.decode(kept)
    assert sorted(configs, key=str) == sorted(conditional_configs, key=str)
    np.testing.assert_array_equal(conditional.encode(configs), kept)


def test_inactive_parameters_are_absent_nan_none(conditional):
    point = conditional.encode([{"a": "z", "d": 2}])
    assert np.isnan(point).tolist() == [[False, True, True, False]]
    assert conditional.decode(point) == [{"a": "z", "d": 2}]
    assert conditional.columns(point) == {"a": ["z"], "b": [None], "c": [None], "d": [2]}
    assert np.isnan(conditional.to_unit(point)).tolist() == [[False, True, True, False]]


def test_unit_cube_and_back(conditional, draw):
    points = draw(conditional, 200)
    levels = conditional.to_unit(points)
    inner = np.where(np.isnan(levels), 0.3, levels)
    np.testing.assert_array_equal(conditional.canonical(conditional.from_unit(inner)), points)


def test_digests_are_equal_just_for_the_same_config(conditional, draw):
    raw = conditional.from_unit(np.random.default_rng(1).random((3000, 4)))
    by_config = {}
    for config, digest in zip(conditional.decode(conditional.canonical(raw)), conditional.digests(raw), strict=True):
        by_config.setdefault(str(config), set()).add(int(digest))
    assert all(len(digests) == 1 for digests in by_config.values())
    assert len(set().union(*by_config.values())) == len(by_config)


def test_digests_do_not_tell_zeros_or_nans_apart():
    space = Space.of({"x": rbt.uniform(-1, 1), "y": rbt.uniform(-1, 1)})
    other_nan = np.array([0x7FF8000000000001], dtype=np.uint64).view(np.float64)[0]
    digests = space.digests(np.array([[0.0, np.nan], [-0.0, other_nan], [np.nan, 0.0]]))
    assert digests[0] == digests[1] != digests[2]


def test_digests_are_the_same_in_every_process_and_version():
    # Written down when the journal's format was first published; another number here breaks resuming old studies.
    space = Space.of({"fast": rbt.randint(5, 60), "slow": rbt.randint(20, 250)})
    code = (
        "import numpy as np, rbt_ray as rbt; from rbt_ray.study.space import Space;"
        "print(Space.of({'fast': rbt.randint(5, 60), 'slow': rbt.randint(20, 250)}).digests(np.array([[10., 50.]]))[0])"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert int(printed) == int(space.digests(np.array([[10.0, 50.0]]))[0]) == DIGEST


DIGEST = 2728685584972646449


def test_number_columns_are_what_the_config_says():
    space = Space.of({"a": rbt.choice([0.5, 2, True]), "b": {"n": rbt.randint(0, 9)}, "fee": 5})
    points = space.grid(0, 27)
    columns = space.number_columns(points)
    configs = space.decode(points)
    assert columns["a"].tolist() == [config["a"] for config in configs]
    assert columns["b/n"].tolist() == [config["b"]["n"] for config in configs]
    assert columns["fee"].tolist() == [5.0] * 27


@pytest.mark.parametrize("written", [{"ma": rbt.choice(["sma", "ema"])}, {"ma": "sma"}])
def test_number_columns_of_text_are_refused(written):
    space = Space.of(written)
    with pytest.raises(SpaceError, match=r"takes numbers only, and `ma` .*'sma'"):
        space.number_columns(space.grid(0, 1))


def test_json_and_pickle_keep_everything(conditional):
    for space in (Space.of(NESTED), conditional):
        for again in (Space.from_json(json.loads(json.dumps(space.to_json()))), pickle.loads(pickle.dumps(space))):
            assert again == space
            assert again.fingerprint == space.fingerprint
            levels = np.random.default_rng(0).random((50, space.n_params))
            points = space.canonical(space.from_unit(levels))
            assert again.decode(again.canonical(again.from_unit(levels))) == space.decode(points)
            np.testing.assert_array_equal(again.allowed(points), space.allowed(points))


def test_json_keeps_options_that_json_has_no_word_for():
    options = [(1, (2, "x")), [1], {"k": (1,)}, math.inf, -math.inf, frozenset({1, 2}), None, True, 1, 1.0]
    space = Space.of({"x": rbt.choice(options), "y": (1, 2), "z": {3, 4}})
    again = Space.from_json(json.loads(json.dumps(space.to_json(), allow_nan=False)))
    assert again.decode(again.grid(0, 20)) == space.decode(space.grid(0, 20))
    assert [type(c["x"]) for c in again.decode(again.grid(0, 20))] == [type(option) for option in options]


def test_a_function_as_an_option_needs_the_space_again():
    space = Space.of({"f": rbt.choice([math.sqrt, len])})
    held = json.loads(json.dumps(space.to_json()))
    assert held["parameters"][0]["options"] == [{"opaque": "math.sqrt"}, {"opaque": "builtins.len"}]
    again = Space.from_json(held)
    assert again.fingerprint == space.fingerprint
    assert repr([config["f"] for config in again.decode(again.grid(0, 2))]) == "[math.sqrt, builtins.len]"
    with pytest.raises(
        SpaceError, match=r"math\.sqrt, which cannot be read back from a file; pass the same `param_space`"
    ):
        again.require_options()


def test_fingerprints_tell_spaces_apart_but_not_processes():
    class Strategy:
        pass

    def of(option):
        return Space.of({"x": rbt.choice([option]), "y": rbt.randint(0, 3)}).fingerprint

    assert of(Strategy()) == of(Strategy())  # their addresses differ
    spaces = [1, 1.0, True, "1", None, (1,), [1], Strategy(), Strategy, math.sqrt, math.cos]
    assert len({of(option) for option in spaces}) == len(spaces)
    conditioned = Space(
        ("x", "y"), (rbt.randint(0, 3), rbt.randint(0, 3)), conditions=(("y", Compare("x", "==", 1.0)),)
    )
    plain = Space.of({"x": rbt.randint(0, 3), "y": rbt.randint(0, 3)})
    assert conditioned.fingerprint != plain.fingerprint


def test_a_plain_space_imports_nothing_heavy():
    code = (
        "import sys, rbt_ray as rbt; from rbt_ray.study.space import Space;"
        "from rbt_ray.search.fixed_sequence import GridSearch; import rbt_ray.search.random_draws;"
        "GridSearch(Space.of({'x': rbt.randint(0, 3), 'y': rbt.choice([1, 2])})).ask(4);"
        "print([m for m in ('pandas', 'scipy', 'ConfigSpace', 'ray', 'numba') if m in sys.modules])"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"

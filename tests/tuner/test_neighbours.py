"""Neighbours of generated configs in generated spaces, against their definition."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rbt_ray as rbt
from rbt_ray.study.space import Space
from rbt_ray.tuner.neighbours import distinct, levels, neighbours

DOMAINS = [
    rbt.randint(3, 9),
    rbt.randint(0, 400),
    rbt.uniform(-2.0, 3.0),
    rbt.loguniform(1e-3, 1e2),
    rbt.lograndint(1, 500),
    rbt.quniform(0.0, 1.0, 0.1),
    rbt.normal(1.0, 2.0),
    rbt.choice(["a", "b", "c"]),
    rbt.choice([True, False]),
    rbt.grid_search([20, 5, 10]),
    rbt.choice([1.5]),
]


def space_of(picked):
    return Space.of({f"p{at}": DOMAINS[number] for at, number in enumerate(picked)})


@settings(max_examples=150, deadline=None)
@given(
    picked=st.lists(st.integers(0, len(DOMAINS) - 1), min_size=1, max_size=4),
    seed=st.integers(0, 1_000),
    radius=st.sampled_from([0.01, 0.05, 0.3]),
    n=st.integers(1, 40),
)
def test_neighbours_are_distinct_configs_within_the_radius(picked, seed, radius, n):
    space = space_of(picked)
    point = space.canonical(space.from_unit(np.random.default_rng(seed).random((1, space.n_params))))[0]
    near = neighbours(space, point, radius, n, seed)
    assert len(near) <= n
    assert len(set(space.digests(near).tolist()) | set(space.digests(point[None]).tolist())) == len(near) + 1
    assert space.has(near)
    np.testing.assert_array_equal(near, space.encode(space.decode(near)))
    np.testing.assert_array_equal(near, neighbours(space, point, radius, n, seed))
    for column, number in enumerate(picked):
        values, own = near[:, column], point[column]
        domain = space.domains[column]
        if number in (7, 8, 10):
            assert (values == own).all()
        elif number == 9:
            rank = {0.0: 2, 1.0: 0, 2.0: 1}  # the positions of 20, 5 and 10
            assert all(abs(rank[value] - rank[own]) <= 1 for value in values.tolist())
        else:
            units = domain.to_unit(np.append(values, own))
            cell = 0.0 if domain.n_values is None else np.inf if domain.n_values < 1 / radius else 2 / domain.n_values
            if number != 4:  # cells of a logarithmic domain have different widths
                assert (np.abs(units[:-1] - units[-1]) <= max(radius, cell) + 1e-9).all()
    if all(DOMAINS[number] is not None and space.domains[at].n_values is None for at, number in enumerate(picked)):
        assert len(near) == n


def test_a_small_neighbourhood_is_taken_whole_and_respects_constraints():
    space = Space.of({"a": rbt.randint(0, 20), "b": rbt.randint(0, 20)}).constrained(["a < b"])
    point = space.encode([{"a": 5, "b": 6}])[0]
    expected = {(4, 5), (4, 6), (4, 7), (5, 7), (5, 6), (6, 7)} - {(5, 6)}
    assert {tuple(row) for row in neighbours(space, point, 0.05, 50, 0).tolist()} == expected


def test_at_the_edge_of_a_domain_there_are_fewer_neighbours():
    space = Space.of({"a": rbt.randint(0, 20)})
    assert neighbours(space, np.array([0.0]), 0.05, 50, 0).ravel().tolist() == [1]
    assert neighbours(space, np.array([19.0]), 0.05, 50, 0).ravel().tolist() == [18]


def test_a_config_without_parameters_has_no_neighbours():
    space = Space.of({"constant": 3})
    assert neighbours(space, np.empty(0), 0.05, 5, 0).shape == (0, 0)


def test_conditional_parameters_stay_inactive():
    ConfigSpace = pytest.importorskip("ConfigSpace")
    given_space = ConfigSpace.ConfigurationSpace(seed=0)
    kind = ConfigSpace.CategoricalHyperparameter("kind", ["x", "y"])
    child = ConfigSpace.UniformIntegerHyperparameter("child", 0, 9)
    other = ConfigSpace.UniformIntegerHyperparameter("other", 0, 9)
    given_space.add([kind, child, other, ConfigSpace.EqualsCondition(child, kind, "x")])
    space = Space.of(given_space)
    without = space.encode([{"kind": "y", "other": 4}])[0]
    near = neighbours(space, without, 0.1, 50, 0)
    assert sorted(config["other"] for config in space.decode(near)) == [3, 5]
    assert all("child" not in config for config in space.decode(near))
    assert len(levels(space, without, space.names.index("child"), 5)) == 0


@settings(max_examples=60, deadline=None)
@given(number=st.integers(0, len(DOMAINS) - 1), seed=st.integers(0, 100), n=st.integers(2, 9))
def test_levels_span_the_domain_and_contain_the_config(number, seed, n):
    space = space_of([number])
    point = space.from_unit(np.random.default_rng(seed).random((1, 1)))[0]
    found = levels(space, point, 0, n)
    assert point[0] in found
    assert (np.diff(found) > 0).all()
    assert space.has(found[:, None])
    size = space.domains[0].n_values or math.inf
    assert len(found) == size if size <= n else len(found) <= n + 1


def test_equal_configs_count_once_in_their_order():
    space = Space.of({"a": rbt.randint(0, 20)})
    points = np.array([[3.0], [1.0], [3.0], [2.0]])
    assert distinct(space, points, [np.array([1.0])]).ravel().tolist() == [3, 2]

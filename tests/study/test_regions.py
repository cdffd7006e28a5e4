"""Regions of neighbouring configs, beside connected components of a graph."""

import math

import numpy as np
import pytest
import scipy.sparse.csgraph
from hypothesis import given
from hypothesis import strategies as st

import rbt_ray as rbt
from rbt_ray.study.regions import regions, sentence
from rbt_ray.study.space import Space

GRID = Space.of({"fast": rbt.randint(0, 100), "slow": rbt.randint(0, 200)})


@given(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 199)), max_size=25))
def test_regions_are_the_components_of_the_graph_of_neighbours(configs):
    points = np.array(configs, dtype=float).reshape(-1, 2)
    edges = [[abs(a - c) <= 5 and abs(b - d) <= 10 for c, d in configs] for a, b in configs]
    found = regions(GRID, points)
    assert sorted(np.concatenate([*found, np.empty(0)]).tolist()) == list(range(len(configs)))
    assert [rows[0] for rows in found] == sorted(rows[0] for rows in found)
    if configs:
        n, labels = scipy.sparse.csgraph.connected_components(np.array(edges))
        assert len(found) == n
        assert all(len(set(labels[rows])) == 1 for rows in found)


@pytest.mark.parametrize(
    ("domain", "values", "n_regions"),
    [
        (rbt.choice(["sma", "ema"]), ["sma", "ema", "sma"], 2),
        (rbt.choice([True, False]), [True, False], 2),
        (rbt.grid_search([50, 10, 30]), [10, 30, 50], 1),
        (rbt.grid_search([50, 10, 30]), [10, 50], 2),
        (rbt.quniform(0.0, 1.0, 0.25), [0.25, 0.5], 1),
        (rbt.loguniform(1.0, 1e4), [10.0, 14.0, 20.0, 1_000.0], 2),
        (rbt.uniform(0.0, 1.0), [0.5, 0.5], 1),
    ],
)
def test_what_is_near(domain, values, n_regions):
    space = Space.of({"x": domain})
    assert len(regions(space, space.encode([{"x": value} for value in values]))) == n_regions


def test_an_absent_parameter_is_near_to_an_absent_one_only():
    space = Space.of({"x": rbt.uniform(0, 1), "y": rbt.uniform(0, 1)})
    assert len(regions(space, np.array([[0.5, math.nan], [0.5, 0.5], [0.5, math.nan]]))) == 2


def test_sentences():
    plateau = np.array([[14.0, 196.0], [17.0, 200.0], [15.0, 204.0]])
    apart = np.array([[90.0, 20.0]])
    assert sentence(GRID, plateau) == (
        "All of the best 3 are neighbours in one region: fast 14 to 17, slow 196 to 204."
    )
    assert sentence(GRID, np.concatenate([plateau, apart])) == (
        "The best 4 lie in 2 regions: 3 at fast 14 to 17, slow 196 to 204; 1 at fast 90, slow 20."
    )
    assert sentence(GRID, plateau[:2]) == ""
    assert sentence(GRID, np.array([[0.0, 0.0], [50.0, 0.0], [99.0, 0.0]])) == ""
    wide = Space.of({f"x{i}": rbt.uniform(0, 1) for i in range(5)})
    assert sentence(wide, np.full((3, 5), 0.5)) == "All of the best 3 are neighbours in one region."

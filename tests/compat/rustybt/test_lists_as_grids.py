"""A list in a `param_space` is a grid of its values for RustyBT's users."""

import numpy as np
import pytest

import rbt_ray as rbt
from rbt_ray.compat.rustybt import GridSearchAlgorithm
from rbt_ray.compat.rustybt.parameter_space import to_space
from rbt_ray.errors import SpaceError


@pytest.mark.parametrize("values", [[1, 2, 3], (1, 2, 3), range(1, 4), np.arange(1, 4)], ids=type)
def test_each_value_is_a_config(values):
    space = to_space({"fast": values, "exit": {"slow": [7.0, 8.0], "kind": "stop"}})
    assert space == to_space(
        {"fast": rbt.grid_search([1, 2, 3]), "exit": {"slow": {"grid_search": [7.0, 8.0]}, "kind": "stop"}}
    )
    assert space.size == 6


def test_a_constant_list_is_a_choice_of_one_and_an_empty_grid_is_refused():
    assert to_space({"x": rbt.choice([[1, 2]]), "y": [1, 2]}).size == 2
    with pytest.raises(SpaceError):
        to_space({"x": []})


def test_a_grid_of_lists_is_searched_whole():
    found = GridSearchAlgorithm({"fast": [1, 2], "slow": (3, 4)})
    seen = []
    while not found.is_complete():
        seen.append(found.suggest())
        found.update(seen[-1], 0.0)
    assert sorted((one["fast"], one["slow"]) for one in seen) == [(1, 3), (1, 4), (2, 3), (2, 4)]

"""What is particular to the grid: its order, and that it is never held."""

import itertools
import time
import tracemalloc

import pytest

import rbt_ray as rbt
from rbt_ray.errors import SpaceError
from rbt_ray.search.fixed_sequence import GridSearch
from rbt_ray.study.conditions import Compare
from rbt_ray.study.space import Space


def configs(proposals):
    return [proposal.config for proposal in proposals]


def test_the_last_parameter_changes_fastest():
    space = Space.of({"a": rbt.choice(["x", "y"]), "b": rbt.randint(3, 6), "fee": 5})
    expected = [{"a": a, "b": b, "fee": 5} for a, b in itertools.product("xy", [3, 4, 5])]
    assert configs(GridSearch(space).ask(100)) == expected


def test_points_to_evaluate_come_first_and_leave_a_gap():
    space = Space.of({"b": rbt.randint(0, 6)})
    search = GridSearch(space, points_to_evaluate=[{"b": 4}, {"b": 2}, {"b": 4}])
    assert [config["b"] for config in configs(search.ask(100))] == [4, 2, 0, 1, 3, 5]


def test_conditions_leave_one_row_a_config(branching):
    found = configs(GridSearch(branching).ask(1000))
    assert len(found) == branching.size
    assert found[:3] == [{"a": "x", "b": 0, "d": 0}, {"a": "x", "b": 0, "d": 1}, {"a": "x", "b": 0, "d": 2}]
    assert found[-1] == {"a": "z", "d": 2}


def test_a_billion_points_start_at_once_and_need_no_memory():
    space = Space.of({name: rbt.randint(0, 1000) for name in "abc"})
    tracemalloc.start()
    start = time.process_time()
    search = GridSearch(space)
    last = search.ask(5)[4]
    for _ in range(20):
        last = search.ask(50_000)[-1]
    elapsed, peak = time.process_time() - start, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert last.config == {"a": 1, "b": 0, "c": 4}
    assert elapsed < 5  # a tenth of that here, under the tracer; making the grid would take minutes
    assert peak < 20e6  # of 24 GB
    assert not search.done


def test_a_grid_beyond_64_bits():
    space = Space.of({str(k): rbt.randint(0, 10**6) for k in range(10)})
    assert configs(GridSearch(space).ask(3)) == [{**{str(k): 0 for k in range(9)}, "9": last} for last in range(3)]


def test_what_is_continuous_is_refused_at_once():
    with pytest.raises(
        SpaceError, match=r"`lr` is uniform and takes infinitely many values.*search_alg 'random' or 'sobol'"
    ):
        GridSearch(Space.of({"n": rbt.randint(0, 3), "lr": rbt.uniform(0, 1)}))


def test_a_grid_with_only_forbidden_configs_is_refused():
    space = Space(("a",), (rbt.randint(0, 9),), forbidden=(Compare("a", ">=", 0.0),))
    with pytest.raises(SpaceError, match="none of 9 candidates was allowed"):
        GridSearch(space).ask(1)


def test_done_as_soon_as_the_rest_is_forbidden():
    space = Space(("a",), (rbt.randint(0, 10**5),), forbidden=(Compare("a", ">", 2.0),))
    search = GridSearch(space)
    assert len(search.ask(3)) == 3
    assert search.done

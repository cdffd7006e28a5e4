"""Spaces and numbers of samples beyond all counting cost no more than what is asked of them."""

import tracemalloc

import pytest

import rbt_ray as rbt
from rbt_ray.errors import InputError
from rbt_ray.search.registry import make_searcher

WIDE = {f"p{number}": rbt.randint(0, 1000) for number in range(10)}  # a grid of 10**30


@pytest.mark.parametrize("search_alg", ["auto", "grid", "random", "sobol", "bohb"])
@pytest.mark.parametrize("num_samples", [None, 10**18])
def test_huge_spaces_and_budgets(tmp_path, search_alg, num_samples):
    tuner = rbt.Tuner(
        lambda params, data: 0.0,
        param_space=WIDE,
        tune_config=rbt.TuneConfig(search_alg=search_alg, num_samples=num_samples, seed=7),
        run_config=rbt.RunConfig(name="s", storage_path=tmp_path),
    )
    tracemalloc.start()
    asked = make_searcher(tuner.study).ask(5)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(asked) == 5
    assert peak < 50 * 2**20


def test_seeds_and_samples_that_no_integer_of_64_bits_holds(tmp_path):
    for settings in ({"num_samples": 10**400}, {"seed": 2**5000}, {"max_pending": 10**400}):
        try:
            tuner = rbt.Tuner(
                lambda params, data: 0.0,
                param_space=WIDE,
                tune_config=rbt.TuneConfig(**{"search_alg": "random", "seed": 7, **settings}),
                run_config=rbt.RunConfig(name="s", storage_path=tmp_path),
            )
        except InputError:
            continue
        assert len(make_searcher(tuner.study).ask(2)) == 2

"""Random and Sobol: how points are spread, and how a finite space is used up."""

import warnings

import numpy as np
import pytest
from scipy import stats
from scipy.stats import qmc

import rbt_ray as rbt
from rbt_ray.errors import SpaceError
from rbt_ray.search.fixed_sequence import GridSearch
from rbt_ray.search.random_draws import RandomSearch, SobolSearch
from rbt_ray.study.conditions import Compare, Relation
from rbt_ray.study.domains import Choice
from rbt_ray.study.space import Space

both = pytest.mark.parametrize("searcher", [RandomSearch, SobolSearch])


def configs(proposals):
    return [proposal.config for proposal in proposals]


def as_set(found):
    return {str(sorted(config.items())) for config in found}


@both
def test_a_finite_space_is_used_up_exactly(searcher, branching, pairs):
    for space in (
        branching,
        pairs,
        Space.of({"a": rbt.randint(0, 300), "b": rbt.randint(0, 300)}),
        Space.of({"a": rbt.lograndint(1, 5000)}),  # the last values are drawn once in 43,000 draws
        Space.of({"a": rbt.choice(["x"])}),
        Space.of({"fee": 5}),
    ):
        found = searcher(space, seed=3)
        drawn = configs(found.ask(10**6))
        assert found.done
        assert len(drawn) == len(as_set(drawn)) == space.size
        assert as_set(drawn) == as_set(configs(GridSearch(space).ask(10**6)))


@both
def test_configs_that_a_prior_never_draws_are_found(searcher):
    space = Space(("a", "b"), (Choice(("x", "y", "z"), (1.0, 0.0, 1e-12)), rbt.randint(0, 500)))
    found = searcher(space)
    assert len(as_set(configs(found.ask(10**6)))) == 1500
    assert found.done


@both
def test_the_order_of_what_is_left_is_random(searcher):
    space = Space.of({"a": rbt.randint(0, 2000)})
    column = searcher(space, seed=5).ask(2000).points[:, 0]
    # the correlation of a random order has a standard error of 1/sqrt(n)
    assert abs(np.corrcoef(np.arange(500), column[-500:])[0, 1]) < 5 / 500**0.5


@both
def test_draws_are_even_over_a_large_space(searcher):
    space = Space.of({"a": rbt.randint(0, 10**9), "b": rbt.loguniform(1e-3, 1e3), "c": rbt.normal(0, 1)})
    points = searcher(space, seed=2).ask(4096).points
    # a fixed seed; a right sample is refused with a probability of 1 %
    assert stats.kstest(points[:, 0], stats.uniform(0, 1e9).cdf).pvalue > 0.01
    assert stats.kstest(points[:, 1], stats.loguniform(1e-3, 1e3).cdf).pvalue > 0.01
    assert stats.kstest(points[:, 2], stats.norm.cdf).pvalue > 0.01


def test_sobol_is_scipys_sequence_and_more_even_than_random():
    space = Space.of({"x": rbt.uniform(0, 1), "y": rbt.uniform(0, 1), "z": rbt.uniform(0, 1)})
    points = {searcher: searcher(space, seed=4).ask(1024).points for searcher in (RandomSearch, SobolSearch)}
    assert qmc.discrepancy(points[SobolSearch]) < qmc.discrepancy(points[RandomSearch]) / 10
    # of 2**10 points of a base-2 net each interval of 2**-10 has one, along each axis, scrambled or not
    for column in points[SobolSearch].T:
        assert sorted(np.floor(column * 1024).astype(int).tolist()) == list(range(1024))


def test_sobol_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(SobolSearch(Space.of({"x": rbt.uniform(0, 1)}), limit=100).ask(1000)) == 100


def test_sobol_refuses_more_parameters_than_it_has_directions_for():
    space = Space.of({str(k): rbt.uniform(0, 1) for k in range(21202)})
    with pytest.raises(SpaceError, match=r"at most 21201 parameters; the space has 21202\. Use search_alg='random'"):
        SobolSearch(space)


@both
def test_a_space_where_almost_every_config_is_forbidden_is_an_error(searcher, nothing):
    search = searcher(nothing)
    for _ in range(2):
        with pytest.raises(SpaceError, match=r"none of 1,\d{3},\d{3} candidates was allowed\. Loosen them"):
            search.ask(1)


@both
def test_an_infinite_space_with_few_configs_is_used_up(searcher):
    space = Space(("a", "b"), (rbt.randint(0, 3), rbt.uniform(0, 1)), conditions=(("b", Compare("a", "==", 7.0)),))
    search = searcher(space)
    assert sorted(config["a"] for config in configs(search.ask(10))) == [0, 1, 2]
    assert search.done


@both
def test_the_one_allowed_config_given_is_enough(searcher):
    space = Space(
        ("a", "b"), (rbt.randint(0, 5), rbt.randint(0, 5)), forbidden=(Compare("a", "!=", 3.0), Compare("b", "!=", 4.0))
    )
    search = searcher(space, points_to_evaluate=[{"a": 3, "b": 4}])
    assert configs(search.ask(10)) == [{"a": 3, "b": 4}]
    assert search.done


@both
def test_a_rare_allowed_region_is_found_whole(searcher):
    values = rbt.randint(0, 1000)
    space = Space(("a", "b"), (values, values), forbidden=(Relation("a", "!=", "b"),))
    search = searcher(space)
    assert sorted(config["a"] for config in configs(search.ask(2000))) == list(range(1000))
    assert search.done


def test_grid_search_domains_are_choices_to_random():
    space = Space.of({"a": rbt.grid_search([1, 2, 4]), "x": rbt.uniform(0, 1)})
    drawn = [config["a"] for config in configs(RandomSearch(space).ask(3000))]
    assert set(drawn) == {1, 2, 4}
    assert abs(np.bincount(drawn)[[1, 2, 4]] / 3000 - 1 / 3).max() < 5 * 0.5 / 3000**0.5  # five standard errors


def test_a_seed_gives_the_same_sequence_in_every_version():
    # Written down when the journal's format was first published: a resumed study asks for these again.
    space = Space.of({"fast": rbt.randint(5, 60), "lr": rbt.loguniform(1e-4, 1)})
    drawn = RandomSearch(space, seed=7).ask(2).points.tolist()
    np.testing.assert_allclose(drawn, PUBLISHED, rtol=1e-13)


PUBLISHED = [[17.0, 0.14620662872429796], [55.0, 0.0019041445237521818]]

"""The contract of every searcher: add a new one to `SEARCHERS`."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rbt_ray as rbt
from rbt_ray.columns import Outcomes, Proposals, Results
from rbt_ray.errors import SettingError, SpaceError
from rbt_ray.search.fixed_sequence import GridSearch
from rbt_ray.search.random_draws import RandomSearch, SobolSearch
from rbt_ray.search.registry import BUILT_IN
from rbt_ray.search.searcher import Searcher
from rbt_ray.study.conditions import Compare, Relation
from rbt_ray.study.space import Space
from rbt_ray.types import COMPLETED, FAILED

# name -> (searcher, whether the space may be continuous)
SEARCHERS = {
    "grid": (GridSearch, False),
    "random": (RandomSearch, True),
    "sobol": (SobolSearch, True),
}

PAIRS = Space(("fast", "slow"), (rbt.randint(0, 70), rbt.randint(0, 70)), forbidden=(Relation("fast", ">=", "slow"),))
BRANCHING = Space(
    ("ma", "span", "stop"),
    (rbt.choice(["none", "sma", "ema"]), rbt.randint(2, 400), rbt.quniform(0.5, 2.0, 0.5)),
    conditions=(("span", Compare("ma", "!=", 0.0)),),
)
NESTED = Space.of({"opt": {"fast": rbt.randint(0, 100), "ma": rbt.choice(["sma", "ema"])}, "fee": 5})
MIXED = Space.of({"n": rbt.randint(0, 9), "lr": rbt.loguniform(1e-4, 1.0), "shift": rbt.normal(0.0, 1.0)})
CONSTRAINED = Space.of(
    {"opt": {"fast": rbt.randint(0, 90), "slow": rbt.randint(0, 90)}, "ma": rbt.choice(["sma", "ema"])}
)
CONSTRAINED = CONSTRAINED.constrained(["opt.fast < opt.slow", "opt.fast % 7 == 3 or ma == 'ema'"])
FINITE = {"pairs": PAIRS, "branching": BRANCHING, "nested": NESTED, "constrained": CONSTRAINED}
CASES = [
    pytest.param(searcher, space, id=f"{name}-{space_name}")
    for name, (searcher, continuous) in SEARCHERS.items()
    for space_name, space in {**FINITE, **({"mixed": MIXED} if continuous else {})}.items()
]
FIXED = [name for name, (searcher, _) in SEARCHERS.items() if not searcher.learns]

cases = pytest.mark.parametrize(("searcher", "space"), CASES)
each = pytest.mark.parametrize("searcher", [searcher for searcher, _ in SEARCHERS.values()], ids=SEARCHERS)
fixed = pytest.mark.parametrize("searcher", [SEARCHERS[name][0] for name in FIXED], ids=FIXED)


def results_of(proposals, first, rng):
    """Results of proposals, some of them failed."""
    n = len(proposals)
    status = np.where(rng.random(n) < 0.2, FAILED, COMPLETED).astype(np.uint8)
    loss = np.where(status == FAILED, np.nan, rng.normal(size=n))
    errors = {int(row): "ValueError: no" for row in np.flatnonzero(status == FAILED)}
    outcomes = Outcomes(status, {}, errors, np.full(n, 0.1))
    return Results(np.arange(first, first + n), proposals, outcomes, loss, ["w0"] * n)


def played(search, moves, seed=0):
    """Returns the proposals of asks of the given sizes; reports results in random order in between."""
    rng = np.random.default_rng(seed)
    proposed, open_results = [], []
    for n in moves:
        proposals = search.ask(n)
        assert len(proposals) <= n
        told = results_of(proposals, len(proposed), rng)
        open_results.extend(told[row : row + 1] for row in range(len(told)))
        proposed.extend(proposals)
        rng.shuffle(open_results)
        while open_results and rng.random() < 0.7:
            search.tell(open_results.pop())
    for results in open_results:
        search.tell(results)
    return proposed


def key(config):
    return repr(config)


def test_every_built_in_search_that_takes_no_sampler_is_in_the_contract():
    assert {name for name, kind in BUILT_IN.items() if not kind.learns} <= SEARCHERS.keys()


def test_pages_and_docstrings_list_every_built_in_search():
    page = (Path(__file__).parents[2] / "docs" / "search.md").read_text()
    for name in BUILT_IN:
        assert f'`"{name}"' in page, name
        assert f'"{name}"' in rbt.TuneConfig.__doc__, name


@cases
def test_it_is_a_searcher(searcher, space):
    assert isinstance(searcher(space, limit=3), Searcher)


@cases
@settings(max_examples=10, deadline=None)
@given(moves=st.lists(st.integers(1, 60), min_size=1, max_size=8), limit=st.integers(1, 150), seed=st.integers(0, 99))
def test_any_interleaving_of_ask_and_tell_ends_in_done(searcher, space, moves, limit, seed):
    search = searcher(space, limit=limit)
    proposed = played(search, moves * (limit // sum(moves) + 1), seed)
    assert search.done
    assert len({key(proposal.config) for proposal in proposed}) == limit
    assert len(search.ask(5)) == 0
    assert search.done


@cases
def test_a_new_searcher_makes_the_same_proposals(searcher, space):
    moves = [1, 7, 30, 2, 60]
    first, second = (played(searcher(space, limit=100, seed=5), moves, seed=1) for _ in range(2))
    assert first == second


@cases
def test_proposals_are_configs_of_the_space_at_a_fidelity(searcher, space):
    for proposal in played(searcher(space, limit=200), [64] * 4):
        point = space.encode([proposal.config])
        assert key(space.decode(point)[0]) == key(proposal.config)
        assert 0 < proposal.fidelity <= 1
    assert isinstance(searcher(space, limit=3).ask(3), Proposals)


@each
@pytest.mark.parametrize("space", FINITE.values(), ids=FINITE)
def test_a_finite_space_is_used_up_without_repeats(searcher, space):
    search = searcher(space)
    proposed = played(search, [1, 999, 10**6])
    configs = {key(proposal.config) for proposal in proposed if proposal.fidelity == 1}
    assert len(configs) == space.size
    assert len({(key(proposal.config), proposal.fidelity) for proposal in proposed}) == len(proposed)
    assert search.done


@each
def test_points_to_evaluate_come_first_and_once(searcher):
    given_points = [{"fast": 3, "slow": 5}, {"fast": 0, "slow": 69}, {"fast": 3, "slow": 5}]
    search = searcher(PAIRS, points_to_evaluate=given_points)
    configs = [proposal.config for proposal in played(search, [1, 5, 10**6])]
    assert configs[:2] == given_points[:2]
    assert len({key(config) for config in configs}) == len(configs) == PAIRS.size


@each
def test_points_to_evaluate_count_towards_the_limit(searcher):
    given_points = [{"fast": 3, "slow": 5}, {"fast": 0, "slow": 69}]
    for limit in (1, 2, 5):
        search = searcher(PAIRS, limit=limit, points_to_evaluate=given_points)
        configs = [proposal.config for proposal in search.ask(99)]
        assert len(configs) == limit
        assert configs[:2] == given_points[:limit]
        assert search.done


@each
@pytest.mark.parametrize(
    ("point", "sentence"),
    [
        ({"fast": 3}, r"lacks `slow`; give every parameter a value\. `slow` takes whole numbers from 0 to 69"),
        ({"fast": 3, "slwo": 5}, r"`slwo`, which is not a parameter; did you mean 'slow'\?"),
        ({"fast": 5, "slow": 3}, r"is forbidden by a clause"),
        ({"fast": 3, "slow": 70}, r"`slow` takes whole numbers from 0 to 69; got 70"),
    ],
)
def test_points_that_are_no_configs_are_refused(searcher, point, sentence):
    with pytest.raises(SpaceError, match=sentence):
        searcher(PAIRS, points_to_evaluate=[point])


@each
@pytest.mark.parametrize("limit", [0, -1, 2.5, True, "3", math.nan])
def test_invalid_limits_are_refused(searcher, limit):
    with pytest.raises(SettingError, match=r"`limit` is a whole number above 0, or None"):
        searcher(PAIRS, limit=limit)


@cases
def test_asking_for_nothing_changes_nothing(searcher, space):
    search, other = searcher(space, limit=50, seed=2), searcher(space, limit=50, seed=2)
    for n in (0, 3, 0, 20, 0, 27):
        assert len(search.ask(0)) == 0
        assert not search.done
        assert list(search.ask(n)) == list(other.ask(n))
    assert search.done


@fixed
@settings(max_examples=25, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 3000), max_size=6),
    space=st.sampled_from(list(FINITE.values())),
    seed=st.integers(0, 2**70),
)
def test_the_pieces_asked_for_do_not_change_the_sequence(searcher, sizes, space, seed):
    whole = searcher(space, seed=seed).ask(sum(sizes)).points
    search = searcher(space, seed=seed)
    pieces = [search.ask(n).points for n in sizes]
    np.testing.assert_array_equal(np.concatenate([np.empty((0, space.n_params)), *pieces]), whole)


@fixed
def test_a_limit_cuts_the_sequence_and_does_not_change_it(searcher):
    np.testing.assert_array_equal(searcher(PAIRS, limit=777).ask(10**6).points, searcher(PAIRS).ask(777).points)


@pytest.mark.parametrize("name", [name for name in SEARCHERS if name != "grid"])
def test_seeds_change_the_sequence(name):
    sequences = {SEARCHERS[name][0](MIXED, seed=seed).ask(5).points.tobytes() for seed in range(10)}
    assert len(sequences) == 10

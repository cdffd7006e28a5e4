"""Ray Tune's searchers, asked and told as ours."""

import numpy as np
import pytest
from ray import tune
from ray.tune.search.optuna import OptunaSearch

import rbt_ray as rbt
from rbt_ray.errors import SpaceError
from rbt_ray.search.searcher import Searcher
from rbt_ray.search.tune_searcher import TuneSearcher
from rbt_ray.study.conditions import Compare, Relation
from rbt_ray.study.space import Space
from rbt_ray.types import Result
from tests.ray_searchers import hyperopt_search

MAKERS = {
    "optuna": lambda **own: OptunaSearch(seed=4, **own),
    "hyperopt": lambda **own: hyperopt_search(random_state_seed=4, n_initial_points=8, **own),
}
each = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)

SPACE = Space.of(
    {
        "opt": {"lr": rbt.loguniform(1e-4, 1.0), "n": rbt.lograndint(2, 90)},
        "x": rbt.uniform(-1.0, 1.0),
        "step": rbt.quniform(0.1, 0.9, 0.1),
        "shift": rbt.normal(0.0, 2.0),
        "kind": rbt.choice([None, "a", (1, 2)]),
        "fee": 5,
    }
)
PAIRS = Space(("fast", "slow"), (rbt.randint(0, 30), rbt.randint(0, 30)), forbidden=(Relation("fast", ">=", "slow"),))


def loss(config):
    return abs(config["x"] - 0.5) + abs(config["step"] - 0.3) if "x" in config else float(config["slow"])


def told(searcher, proposals, first):
    for k, proposal in enumerate(proposals):
        failed = (first + k) % 5 == 4
        value = None if failed else loss(proposal.config)
        status = "FAILED" if failed else "COMPLETED"
        searcher.tell([Result(first + k, proposal.config, 1.0, status, {}, None, value, 0.0, "w")])


def play(searcher, n):
    proposals = []
    while len(proposals) < n and not searcher.done:
        asked = searcher.ask(min(4, n - len(proposals)))
        told(searcher, asked, len(proposals))
        proposals += asked
    return [proposal.config for proposal in proposals]


@each
@pytest.mark.parametrize("space", [SPACE, PAIRS], ids=["mixed", "forbidden"])
def test_configs_are_of_the_space_and_repeatable(make, space):
    first, second = (play(TuneSearcher(space, make(), limit=30), 100) for _ in range(2))
    assert first == second
    assert len(first) == 30
    assert space.decode(space.encode(first)) == first
    assert isinstance(TuneSearcher(space, make()), Searcher)


@each
def test_numpys_global_random_state_is_left_alone(make):
    np.random.seed(1)
    before = np.random.get_state()[1].copy()
    play(TuneSearcher(SPACE, make(), limit=15), 15)
    np.testing.assert_array_equal(np.random.get_state()[1], before)


@each
def test_later_proposals_are_better(make):
    configs = play(TuneSearcher(SPACE, make(), limit=80), 80)
    losses = [loss(config) for config in configs]
    assert np.median(losses[-30:]) < 0.7 * np.median(losses[:8])


@each
@pytest.mark.parametrize("mode", ["min", "max"])
def test_a_searcher_with_its_own_space_and_metric(make, mode):
    own = {"opt": {"lr": tune.loguniform(1e-3, 0.1)}, "x": tune.uniform(0.0, 1.0)}
    space = Space.of({"opt": {"lr": rbt.loguniform(1e-4, 1.0)}, "x": rbt.uniform(-1.0, 1.0)})
    searcher = TuneSearcher(space, make(space=own, metric="sharpe", mode=mode), limit=50)
    best = 0.8
    configs = []
    for k in range(50):
        (proposal,) = searcher.ask(1)
        configs.append(proposal.config)
        value = abs(proposal.config["x"] - best)
        searcher.tell([Result(k, proposal.config, 1.0, "COMPLETED", {}, None, value, 0.0, "w")])
    assert all(0 <= config["x"] <= 1 and 1e-3 <= config["opt"]["lr"] <= 0.1 for config in configs)
    distance = [abs(config["x"] - best) for config in configs]
    assert np.median(distance[-20:]) < np.median(distance[:10])


def test_a_searcher_that_suggests_only_forbidden_configs_is_an_error():
    space = Space(("a",), (rbt.randint(0, 9),), forbidden=(Compare("a", ">=", 0.0),))
    with pytest.raises(SpaceError, match="the forbidden clauses of the space leave practically nothing"):
        TuneSearcher(space, OptunaSearch(seed=0)).ask(1)

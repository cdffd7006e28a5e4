"""What every searcher that learns from results has to satisfy: a new one is a line in `SEARCHERS`."""

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ray.tune.search.optuna import OptunaSearch

import rbt_ray as rbt
from rbt_ray.search.registry import make_searcher
from rbt_ray.search.searcher import Searcher
from rbt_ray.types import Result
from tests.ray_searchers import hyperopt_search

SPACE = {"x": rbt.uniform(-1.0, 1.0), "n": rbt.randint(0, 50), "kind": rbt.choice(["a", "b", "c"])}
REPORTS = {"fidelity": "reports", "max_reports": 9}
# The settings of a TuneConfig. Ray's and Optuna's objects keep what they learned, so each search gets a new one.
SEARCHERS = {
    "bohb": lambda: {"search_alg": "bohb"},
    "bohb with Optuna's TPE": lambda: {"search_alg": "tpe"},
    "a sampler of Optuna's": lambda: {"search_alg": optuna.samplers.RandomSampler(seed=3)},
    "random, asha": lambda: {"search_alg": "random", "scheduler": "asha", **REPORTS},
    "sobol, median": lambda: {"search_alg": "sobol", "scheduler": "median", **REPORTS},
    "bohb, hyperband": lambda: {"search_alg": "bohb", "scheduler": "hyperband", **REPORTS},
    "bohb, asha that stops": lambda: {"search_alg": "bohb", "scheduler": rbt.ASHA(kind="stopping"), **REPORTS},
    "tpe, successive halving": lambda: {"search_alg": "tpe", "scheduler": "successive_halving", **REPORTS},
    "Ray Tune's Optuna": lambda: {"search_alg": OptunaSearch(seed=3)},
    "Ray Tune's HyperOpt": lambda: {"search_alg": hyperopt_search(random_state_seed=3)},
}
each = pytest.mark.parametrize("settings_of", SEARCHERS.values(), ids=SEARCHERS)


def searcher_of(settings_of, n):
    """A new searcher for `n` configs, and its study."""
    given = settings_of()
    study = rbt.Tuner(
        lambda params, data: 0.0,
        param_space=SPACE,
        tune_config=rbt.TuneConfig(metric="score", mode="min", num_samples=n, seed=5, **given),
    ).study
    return make_searcher(study, None if isinstance(given["search_alg"], str) else given["search_alg"]), study


def result_of(number, proposal, failed):
    """A result that prefers a low `x`; None is the loss of a trial that failed."""
    loss = None if failed else proposal.config["x"] ** 2 + proposal.config["n"] / 50
    metrics = {} if failed else {"score": loss}
    status = "FAILED" if failed else "COMPLETED"
    error = "ValueError: no" if failed else None
    return Result(number, proposal.config, proposal.fidelity, status, metrics, error, loss, 0.1, "w0", tag=proposal.tag)


def played(search, *, seed=0, most_open=8, failing=0.2, steps=10_000):
    """All proposals in order; as many are open as there may be, and their results arrive in a random order."""
    rng = np.random.default_rng(seed)
    proposed, open_results = [], []
    for _ in range(steps):
        asked = int(rng.integers(0, most_open - len(open_results) + 1))
        proposals = list(search.ask(asked))
        assert len(proposals) <= asked
        for proposal in proposals:
            open_results.append(result_of(len(proposed), proposal, rng.random() < failing))
            proposed.append(proposal)
        if open_results and (len(open_results) == most_open or rng.random() < 0.6):
            search.tell([open_results.pop(int(rng.integers(len(open_results))))])
        elif not open_results and search.done:
            return proposed
        elif not open_results and asked:
            assert proposals, "it waits for results, and there are none to come"
    raise AssertionError("the search does not end")


@each
def test_it_is_a_searcher(settings_of):
    assert isinstance(searcher_of(settings_of, 3)[0], Searcher)


@each
@settings(max_examples=4, deadline=None)
@given(
    seed=st.integers(0, 10**6), most_open=st.integers(1, 12), n=st.integers(1, 25), failing=st.sampled_from([0.0, 0.3])
)
def test_any_order_of_results_ends_in_done(settings_of, seed, most_open, n, failing):
    search, study = searcher_of(settings_of, n)
    proposed = played(search, seed=seed, most_open=most_open, failing=failing)
    assert len({repr(proposal.config) for proposal in proposed}) == n
    assert len({(repr(proposal.config), proposal.fidelity) for proposal in proposed}) == len(proposed)
    for proposal in proposed:
        assert study.space.allowed(study.space.encode([proposal.config])).all()
        assert 0 < proposal.fidelity <= 1
    assert list(search.ask(5)) == []
    assert search.done


@each
def test_where_every_trial_fails_it_ends_too(settings_of):
    assert played(searcher_of(settings_of, 12)[0], failing=1.0)


@each
def test_the_same_results_give_the_same_proposals(settings_of):
    first, again = (played(searcher_of(settings_of, 15)[0], seed=4) for _ in range(2))
    assert first == again


@each
def test_to_ask_for_nothing_changes_nothing(settings_of):
    search, other = (searcher_of(settings_of, 12)[0] for _ in range(2))
    for number in range(6):
        assert list(search.ask(0)) == []
        [mine], [others] = search.ask(1), other.ask(1)
        assert mine == others
        for one in (search, other):
            one.tell([result_of(number, mine, failed=False)])


@each
def test_numpys_global_random_state_stays_as_it_is(settings_of):
    np.random.seed(1)
    before = np.random.get_state()[1].copy()
    played(searcher_of(settings_of, 8)[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before)

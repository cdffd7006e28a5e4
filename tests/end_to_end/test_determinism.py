"""The same seed gives the same table for any workers, batches and timing."""

import random
import time

import numpy as np
import pytest

import rbt_ray as rbt
from rbt_ray.types import Proposal

SPACE = {"x": rbt.uniform(-2, 2), "n": rbt.randint(0, 1000), "kind": rbt.choice(["a", "b", "c"])}


def objective(params, data):
    time.sleep(random.random() * 0.004)  # the delays under test: they must not affect the table
    if params["n"] % 17 == 0:
        raise ValueError(f"{params['n']} is a multiple of 17")
    return {"score": params["x"] ** 2 + params["n"], "kind": params["kind"], "n": params["n"], "seen": 1.5}


def noisy(params, data):
    return float(data.rng.normal()) + params["x"]


def fit(tmp_path, name, objective=objective, *, workers=2, recycle_after=None, bundle=None, **tune):
    tune = {"metric": "score", "search_alg": "random", "num_samples": 150, "seed": 3, **tune}
    return rbt.Tuner(
        objective,
        param_space=SPACE,
        bundle=bundle,
        tune_config=rbt.TuneConfig(**tune),
        run_config=rbt.RunConfig(
            name=name, storage_path=tmp_path, num_workers=workers, recycle_after=recycle_after, verbose=0
        ),
    ).fit()


@pytest.mark.parametrize("search_alg", ["random", "sobol"])
def test_the_table_does_not_depend_on_workers_or_batch_sizes(tmp_path, search_alg):
    hashes = {
        (workers, most): fit(
            tmp_path, f"w{workers}-{most}", workers=workers, recycle_after=most, search_alg=search_alg
        ).table_hash()
        for workers, most in [(1, None), (2, None), (5, None), (2, 40)]
    }
    assert len(set(hashes.values())) == 1, hashes


def test_another_seed_gives_another_table(tmp_path):
    assert fit(tmp_path, "a").table_hash() != fit(tmp_path, "b", seed=4).table_hash()


def test_a_trials_random_numbers_follow_from_the_trial_alone(tmp_path):
    tables = [
        fit(tmp_path, f"w{workers}", noisy, workers=workers, bundle="sample", num_samples=40) for workers in (1, 3)
    ]
    assert tables[0].table_hash() == tables[1].table_hash()
    noise = [result.metrics["score"] - result.config["x"] for result in tables[0]]
    assert len(set(noise)) == 40
    assert abs(np.mean(noise)) < 4 / 40**0.5


class Climber:
    """Proposes points around the best so far, which depend on all results and their order."""

    def __init__(self, n):
        self.rng, self.left, self.best, self.told = np.random.default_rng(1), n, None, []

    @property
    def done(self):
        return self.left == 0

    def ask(self, n):
        n = min(n, self.left)
        self.left -= n
        centre = self.best.config["x"] if self.best else 0.0
        x = np.clip(centre + self.rng.normal(0, 0.3, n), -2, 1.999)
        return [Proposal({"x": float(v), "n": int(self.rng.integers(1000)), "kind": "a"}) for v in x]

    def tell(self, results):
        for result in results:
            self.told.append(result.trial_id)
            if result.loss is not None and (self.best is None or result.loss < self.best.loss):
                self.best = result


def test_a_searcher_that_learns_learns_the_same_on_any_number_of_workers(tmp_path):
    hashes, orders = set(), []
    for workers in (1, 2, 5):
        climber = Climber(120)
        results = fit(tmp_path, f"c{workers}", workers=workers, search_alg=climber, num_samples=None, max_pending=8)
        hashes.add(results.table_hash())
        orders.append(climber.told)
        assert len(results) == 120
    assert len(hashes) == 1
    assert orders[0] == orders[1] == orders[2] == list(range(120))


def test_num_samples_bounds_a_searcher_of_ones_own(tmp_path):
    assert len(fit(tmp_path, "few", search_alg=Climber(120), num_samples=17)) == 17


def test_max_cost_bounds_full_fidelity_evaluations(tmp_path):
    assert len(fit(tmp_path, "cost", max_cost=12.5)) == 12

"""A permutation test runs the whole search on random orders of the bars, and continues where it was stopped."""

import json

import numpy as np
import pandas as pd
import pytest

import rbt_ray as rbt
from rbt_ray.data.surrogates import permuted_bars
from rbt_ray.errors import SettingError
from rbt_ray.store.journal_file import FILE_NAME
from rbt_ray.store.location import OWN_BUNDLE

DAYS = pd.bdate_range("2010-01-04", periods=500)


def momentum(params, data):
    """Trades on the sign of yesterday's change."""
    change = data.close / np.vstack([data.close[:1], data.close[:-1]]) - 1
    return rbt.backtest(data, np.sign(change) * params["size"], execution="close", rebalance="every_bar")


def bundle_of(persistence, seed=1):
    """Daily changes whose sign repeats with this strength."""
    rng = np.random.default_rng(seed)
    change = rng.normal(0, 0.01, len(DAYS))
    for bar in range(1, len(DAYS)):
        change[bar] += persistence * change[bar - 1]
    return rbt.Bundle.from_arrays({"close": 100 * np.exp(np.cumsum(change))[:, None]}, DAYS, ["A"])


def run(folder, bundle, objective=momentum, **tune):
    settings = {"seed": 3, "holdout": 0.2, **tune}
    return rbt.Tuner(
        objective,
        param_space={"size": rbt.uniform(0.5, 1.0)},
        bundle=bundle,
        tune_config=rbt.TuneConfig(search_alg="random", num_samples=4, **settings),
        run_config=rbt.RunConfig(name="s", storage_path=folder, verbose=0, recheck=0, num_workers=2, backend="local"),
    ).fit()


@pytest.mark.slow
def test_a_pattern_in_the_order_of_bars_is_found_and_its_absence_too(tmp_path):
    found = run(tmp_path / "with", bundle_of(0.6)).permutation_test(19)
    assert found.p_value == 1 / 20
    assert found.best > found.null.max()
    none = run(tmp_path / "without", bundle_of(0.0)).permutation_test(19)
    assert none.p_value > 1 / 20
    assert json.loads(json.dumps(none.to_dict()))["null"] == none.null.tolist()


def test_each_random_order_is_a_study_of_the_training_bars(tmp_path):
    bundle = bundle_of(0.3)
    results = run(tmp_path, bundle)
    found = results.permutation_test(3)
    folders = sorted((results.path / "permutations").iterdir())
    studies = [rbt.ResultGrid(folder) for folder in folders]
    assert [study.get_best_result().metrics["sharpe"] for study in studies] == found.null.tolist()
    assert not any((folder / OWN_BUNDLE).exists() for folder in folders)
    for study in studies:
        permuted = permuted_bars(bundle, 400, study.study.seed)
        assert study.study.bundle.version == permuted.version
        best = study.get_best_result()
        assert momentum(best.config, permuted.view()).metrics()["sharpe"] == best.metrics["sharpe"]


def test_a_test_continues_where_it_was_stopped(tmp_path):
    results = run(tmp_path, bundle_of(0.3))
    first = results.permutation_test(2)
    journals = [path / FILE_NAME for path in sorted((results.path / "permutations").iterdir())]
    before = [path.stat().st_mtime_ns for path in journals]
    again = rbt.Tuner.restore(
        results.path, momentum, run_config=rbt.RunConfig(verbose=0, num_workers=2, backend="local")
    ).fit()
    longer = again.permutation_test(5)
    assert longer.null[:2].tolist() == first.null.tolist()
    assert [path.stat().st_mtime_ns for path in journals] == before
    assert again.permutation_test(5).null.tolist() == longer.null.tolist()


def test_smaller_is_better_if_the_study_minimises(tmp_path):
    found = run(tmp_path, bundle_of(0.6), metric="volatility", mode="min").permutation_test(4)
    assert found.p_value == (1 + (found.null <= found.best).sum()) / 5


def test_results_without_an_objective_say_how_to_get_one(tmp_path):
    run(tmp_path, bundle_of(0.3))
    with pytest.raises(SettingError, match=r"Tuner\.restore"):
        rbt.ResultGrid(tmp_path / "s").permutation_test()


@pytest.mark.parametrize("n", [0, 1.5, "9", True, 10_000])
def test_a_number_of_orders_that_makes_no_sense_is_refused(tmp_path, n):
    results = run(tmp_path, bundle_of(0.3))
    with pytest.raises(SettingError, match="`n` is a number"):
        results.permutation_test(n)

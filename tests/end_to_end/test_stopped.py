"""A run that stops early: its result on part of the history never counts as a result on all of it."""

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

import rbt_ray as rbt
from rbt_ray.cli.tables import print_results
from rbt_ray.errors import NoResultError

SEARCH = Path(__file__).parents[2] / "docs" / "search.md"
SPACE = {"fast": rbt.randint(5, 60), "slow": rbt.randint(60, 250)}


def recipe():
    """Returns the documentation's objective that stops at a drawdown."""
    [source] = re.findall(r"<!-- the recipe.*?```python\n(.*?)```", SEARCH.read_text(), re.DOTALL)
    names = {"np": np, "rbt": rbt}
    exec(source, names)
    return names["objective"]


def fit(objective, folder, name="study", space=None, backend="local", **tune):
    return rbt.Tuner(
        objective,
        param_space=space or SPACE,
        bundle=tune.pop("bundle", "sample"),
        tune_config=rbt.TuneConfig(
            **{"metric": "sharpe", "mode": "max", "search_alg": "random", "num_samples": 40, "seed": 7, **tune}
        ),
        run_config=rbt.RunConfig(name, folder, backend=backend, num_workers=2, verbose=0),
    ).fit()


def gives_up(params, data):
    """An objective whose score is better with fewer bars; `x` is the share of bars."""
    n_bars = max(1, int(params["x"] * data.n_bars))
    rbt.report({"sharpe": 1 / n_bars, "bars": n_bars}, share=n_bars / data.n_bars)


def test_the_recipe_of_the_documentation_gives_no_prefix_for_the_best(tmp_path, capsys):
    results = fit(recipe(), tmp_path, holdout=0.3)
    table = results.table
    stopped = table.fidelity < 1
    sharpe = table.numbers("sharpe")
    n_bars = results.study.bundle.train_bars
    assert stopped.any()
    assert (~stopped).any()
    assert np.nanmax(sharpe[stopped]) > np.nanmax(sharpe[~stopped]), "else nothing is shown: the first would win anyhow"
    best = results.get_best_result()
    assert best.fidelity == 1
    assert best.metrics["sharpe"] == np.nanmax(sharpe[~stopped])
    for result in results:
        bars = result.fidelity * n_bars
        assert bars == pytest.approx(round(bars))
        assert result.status == "COMPLETED"
    assert list(results.get_dataframe()["fidelity"]) == table.fidelity.tolist()
    assert results.rungs[0].n_trials == int((~stopped).sum())
    assert f"{stopped.sum()} of 40 trials stopped by themselves" in results.notes[-1]
    print_results(results, as_json=False, report=None)
    assert results.notes[-1] in capsys.readouterr().out
    holdout = results.review.rows[0]
    assert holdout["error"] is None
    assert holdout["holdout"]["sharpe"]


@pytest.mark.parametrize("search_alg", ["random", "bohb", "tpe", rbt.BOHB(model="tpe")], ids=str)
@pytest.mark.parametrize("scheduler", [None, "asha"])
def test_the_fidelity_is_what_was_reached_whatever_the_search(tmp_path, search_alg, scheduler):
    space = {"x": rbt.choice([0.1, 0.3, 0.7, 1.0]), "y": rbt.uniform(0, 1)}
    if search_alg == "bohb" and scheduler:
        scheduler = "hyperband"
    results = fit(gives_up, tmp_path, space=space, search_alg=search_alg, scheduler=scheduler, num_samples=30)
    assert {result.fidelity == 1.0 for result in results if result.config["x"] < 1} == {False}
    for result in results:
        asked = result.fidelity if result.config["x"] == 1 else result.fidelity / result.config["x"]
        assert result.metrics["bars"] <= asked * results.study.bundle.train_bars * 1.01 + 1
    assert results.get_best_result().config["x"] == 1.0
    assert len(results.rungs) <= 5


def test_a_config_that_stopped_by_itself_is_tried_at_no_higher_fidelity(tmp_path):
    space = {"x": rbt.choice([0.5, 1.0]), "y": rbt.uniform(0, 1)}
    results = fit(gives_up, tmp_path, space=space, search_alg="random", scheduler="asha")
    tries = {}
    for result in results:
        tries.setdefault(tuple(result.config.values()), []).append(result)
    again = [trials for trials in tries.values() if len(trials) > 1]
    calibrated = 8  # configs that are evaluated on every rung, whatever their results
    assert sum(trials[0].config["x"] < 1 for trials in again) <= calibrated
    assert sum(trials[0].config["x"] == 1 for trials in again) > 0


def test_the_number_of_reports_says_it_where_fidelity_is_counted_in_them(tmp_path):
    def objective(params, data):
        for step in range(9):
            rbt.report({"sharpe": 1 / (step + 1), "n": step + 1})
            if params["x"] < 0.3 and step == 4:
                return None
            if 0.3 < params["x"] < 0.5 and step == 4:
                return {"sharpe": 9.0, "n": 5}
            if 0.5 < params["x"] < 0.7 and step == 4:
                rbt.report({"sharpe": 0.15, "n": 6}, share=1.0)
                return None
        return None

    results = fit(objective, tmp_path, space={"x": rbt.uniform(0, 1)}, bundle=None, fidelity="reports", max_reports=9)
    expected = [1.0 if result.config["x"] > 0.5 else 5 / 9 for result in results]
    assert [result.fidelity for result in results] == expected
    assert set(expected) == {1.0, 5 / 9}
    assert results.get_best_result().metrics == {"sharpe": 0.15, "n": 6}


def test_a_study_of_runs_that_all_stop_says_why_there_is_no_best(tmp_path):
    results = fit(gives_up, tmp_path, space={"x": rbt.uniform(0.1, 0.9)}, num_samples=12)
    with pytest.raises(
        NoResultError, match=r"at full fidelity: 12 of 12 trials stopped by themselves, after at most \d\d% "
    ):
        results.get_best_result()


def test_an_invalid_share_fails_its_trial_with_one_sentence(tmp_path):
    def objective(params, data):
        rbt.report(1.0, share=data.n_bars)

    results = fit(objective, tmp_path, num_samples=2)
    assert results.num_errors == 2
    assert "ObjectiveResultError: `share` of `rbt.report` is the share of" in results.errors[0]


def test_reporting_on_the_way_and_coming_to_the_end_is_full_fidelity(tmp_path):
    def quiet(params, data):
        for n in range(1, 5):
            rbt.report({"sharpe": n * params["fast"]})

    def shares(params, data):
        for n in range(1, 5):
            rbt.report({"sharpe": n * params["fast"]}, share=n / 4)

    def returns(params, data):
        for n in range(1, 5):
            rbt.report({"sharpe": n * params["fast"]})
        return {"sharpe": 4 * params["fast"]}

    hashes = {fit(one, tmp_path, one.__name__, num_samples=10).table_hash() for one in (quiet, shares, returns)}
    assert len(hashes) == 1
    assert rbt.Tuner.restore(tmp_path / "shares", shares).fit().table.fidelity.tolist() == [1.0] * 10


@pytest.mark.slow
def test_local_and_ray_give_one_table_and_a_resumed_study_the_same(tmp_path):
    """Killed and resumed on Ray: the journal has the fidelities that runs reached."""
    script = """
    import os, signal, sys
    import rbt_ray as rbt
    from tests.end_to_end.test_stopped import SPACE, recipe

    class Killer:
        n = 0
        def on_trial_complete(self, result):
            self.n += 1
            if self.n == 25:
                os.kill(os.getpid(), signal.SIGKILL)

    rbt.Tuner(
        recipe(), param_space=SPACE, bundle="sample",
        tune_config=rbt.TuneConfig(metric="sharpe", mode="max", search_alg="bohb", num_samples=40, seed=7),
        run_config=rbt.RunConfig("killed", sys.argv[1], backend="local", num_workers=2, verbose=0, callbacks=[Killer()]),
    ).fit()
    """
    local = fit(recipe(), tmp_path, "local", search_alg="bohb")
    over_ray = fit(recipe(), tmp_path, "ray", search_alg="bohb", backend="ray")
    assert local.table_hash() == over_ray.table_hash()
    assert local.table.outcomes.shares == over_ray.table.outcomes.shares != {}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)], capture_output=True, timeout=120, check=False
    )
    assert done.returncode == -9, done.stderr
    resumed = rbt.Tuner.restore(
        tmp_path / "killed", recipe(), run_config=rbt.RunConfig(num_workers=1, verbose=0), accept_changes=True
    ).fit()
    assert resumed.table_hash() == local.table_hash()
    rbt.shutdown()
    assert resumed.notes[-1] == local.notes[-1]

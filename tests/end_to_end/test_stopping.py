"""Studies that stop before their limits, backtests that end early, and estimates of what a study takes."""

import json
from contextlib import closing

import numpy as np
import pytest

import rbt_ray as rbt
from rbt_ray.cli.main import run_command
from rbt_ray.errors import NoResultError, SettingError
from rbt_ray.store.journal import Journal
from rbt_ray.tuner.estimate import estimate
from rbt_ray.tuner.result_grid import ResultGrid

SPACE = {"x": rbt.uniform(0, 1), "n": rbt.randint(0, 50)}


def score(params, data):
    return {"score": (params["x"] - 0.3) ** 2 + params["n"]}


def tuner(folder, name, objective=score, space=SPACE, *, bundle=None, workers=2, **tune):
    return rbt.Tuner(
        objective,
        param_space=space,
        bundle=bundle,
        tune_config=rbt.TuneConfig(**{"metric": "score", "mode": "min", "seed": 5, **tune}),
        run_config=rbt.RunConfig(name, folder, backend="local", num_workers=workers, verbose=0, recheck=0),
    )


@pytest.mark.parametrize(
    "search", [pytest.param("random", marks=pytest.mark.slow), "bohb", pytest.param("tpe", marks=pytest.mark.slow)]
)
def test_a_study_stops_with_the_same_table_for_any_workers(tmp_path, search):
    settings = {"search_alg": search, "num_samples": 400, "stop": {"no_improvement": 25}}
    found = [tuner(tmp_path, f"{search}{n}", workers=n, **settings).fit() for n in (1, 2, 4)]
    assert len({results.table_hash() for results in found}) == 1
    assert len(found[0]) < 400
    assert found[0].is_done
    assert found[0].runs[-1].reason == "done"
    assert any("no improvement in 25 trials" in note for note in found[0].notes)
    again = rbt.Tuner.restore(tmp_path / f"{search}2", score).fit()
    assert (again.table_hash(), len(again.runs)) == (found[0].table_hash(), 1)


def test_a_study_that_was_interrupted_stops_at_the_same_trial(tmp_path):
    settings = {"search_alg": "random", "num_samples": 400, "stop": {"target": 1.0}}
    whole = tuner(tmp_path, "whole", **settings).fit()

    class Interrupts:
        n = 0

        def on_trial_complete(self, result):
            self.n += 1
            if self.n == 5:
                raise KeyboardInterrupt

    run = rbt.RunConfig(backend="local", num_workers=2, verbose=0, callbacks=[Interrupts()])
    begun = tuner(tmp_path, "parts", **settings)
    with pytest.raises(KeyboardInterrupt):
        rbt.Tuner(
            score, param_space=SPACE,
            tune_config=rbt.TuneConfig(metric="score", mode="min", seed=5, **settings),
            run_config=rbt.RunConfig("parts", tmp_path, backend="local", num_workers=2, verbose=0, recheck=0, callbacks=run.callbacks),
        ).fit()  # fmt: skip
    del begun
    results = rbt.Tuner.restore(tmp_path / "parts", score).fit()
    assert results.table_hash() == whole.table_hash()
    assert results.get_best_result().metrics["score"] <= 1.0


def leveraged(limit):
    def objective(params, data):
        weights = np.full((data.n_bars, data.n_symbols), params["leverage"] / data.n_symbols)
        return rbt.backtest(data, weights, missing="zero", drawdown_limit=limit)

    return objective


LEVERAGE = {"leverage": rbt.quniform(0.1, 3.0, 0.1)}


def test_a_drawdown_limit_ends_the_run_and_fails_the_constraint(tmp_path):
    limit = 0.3
    settings = {
        "space": LEVERAGE,
        "bundle": "sample",
        "metric": "total_return",
        "mode": "max",
        "search_alg": "grid",
        "constraints": [f"max_drawdown > -{limit}"],
    }
    free = tuner(tmp_path, "free", leveraged(None), **settings).fit()
    limited = tuner(tmp_path, "limited", leveraged(limit), **settings).fit()
    assert (limited.table.is_feasible == free.table.is_feasible).all()
    assert 0 < limited.table.is_feasible.sum() < len(limited)
    assert limited.get_best_result().config == free.get_best_result().config
    feasible = limited.table.is_feasible
    assert (limited.table.fidelity[~feasible] < 1).all()
    assert (limited.table.fidelity[feasible] == 1).all()
    assert (limited.table.numbers("max_drawdown")[~feasible] <= -limit).all()


def test_a_limited_run_is_the_unlimited_one_up_to_its_last_bar():
    data = rbt.load_bundle("sample")
    rng = np.random.default_rng(2)
    n_ended = 0
    for _ in range(20):
        weights = rng.normal(0, 0.4, (data.n_bars, data.n_symbols))
        limit = float(rng.uniform(0.05, 0.9))
        for rebalance in ("every_bar", "on_change"):
            free = rbt.backtest(data, weights, rebalance=rebalance, missing="zero")
            run = rbt.backtest(data, weights, rebalance=rebalance, missing="zero", drawdown_limit=limit)
            equity = np.cumprod(1 + free.returns)
            drawdown = equity / np.maximum(np.maximum.accumulate(equity), 1) - 1
            if run.ended_bar is None:
                assert drawdown.min() > -limit
                assert (run.returns == free.returns).all()
                assert run.share == 1
                continue
            n_ended += 1
            bar = run.ended_bar
            assert (drawdown[:bar] > -limit).all()
            assert drawdown[bar] <= -limit
            assert (run.returns[: bar + 1] == free.returns[: bar + 1]).all()
            assert not run.returns[bar + 1 :].any()
            assert run.metrics() == free.on(slice(bar + 1))
            assert run.metrics()["max_drawdown"] <= -limit
            assert run.share == (bar + 1) / data.n_bars
    assert n_ended > 10


@pytest.mark.parametrize("limit", [0, -0.3, 1.1, float("nan"), True, "0.3"])
def test_an_impossible_drawdown_limit_is_refused(limit):
    data = rbt.load_bundle("sample")
    with pytest.raises(SettingError, match="`drawdown_limit` is a share of the equity above 0 and at most 1, or None"):
        rbt.backtest(data, np.zeros((data.n_bars, data.n_symbols)), drawdown_limit=limit)


@rbt.batched
def batch(configs, data):
    return [leveraged(0.3)(params, data) for params in configs]


def test_a_batched_objective_may_return_runs_that_ended(tmp_path):
    settings = {"space": LEVERAGE, "bundle": "sample", "metric": "sharpe", "mode": "max", "search_alg": "grid"}
    one_by_one = tuner(tmp_path, "one", leveraged(0.3), **settings).fit()
    batched = tuner(tmp_path, "batched", batch, **settings).fit()
    assert batched.table_hash() == one_by_one.table_hash()
    assert (batched.table.fidelity < 1).any()


def reports_bars(params, data):
    bars = 1 + int(params["x"] * (data.n_bars - 1))
    rbt.report({"score": 1.0 / bars}, bars=bars)


def reports_share(params, data):
    bars = 1 + int(params["x"] * (data.n_bars - 1))
    rbt.report({"score": 1.0 / bars}, share=bars / data.n_bars)


def test_bars_of_a_report_are_the_share_that_they_are_of_the_data(tmp_path):
    settings = {"bundle": "sample", "search_alg": "random", "num_samples": 20, "holdout": 0.4}
    bars = tuner(tmp_path, "bars", reports_bars, **settings).fit()
    share = tuner(tmp_path, "share", reports_share, **settings).fit()
    assert bars.table_hash() == share.table_hash()
    assert bars.table.fidelity.min() < 1


@pytest.mark.parametrize(
    ("given", "bundle", "message"),
    [
        ({"bars": 0}, "sample", "is how many of the"),
        ({"bars": 10**9}, "sample", "is how many of the"),
        ({"bars": 2.5}, "sample", "is how many of the"),
        ({"bars": 5, "share": 0.5}, "sample", "takes `share` or `bars`, and got both"),
        ({"bars": 5}, None, "counts bars of the study's `bundle`, and there is none"),
    ],
)
def test_wrong_bars_of_a_report_fail_the_trial(tmp_path, given, bundle, message):
    def objective(params, data):
        rbt.report({"score": 1.0}, **given)

    results = tuner(tmp_path, "s", objective, bundle=bundle, search_alg="random", num_samples=2).fit()
    assert results.num_errors == 2
    assert message in results.errors[0]


def bars(params, data):
    return {"score": params["x"] + data.n_bars}


ESTIMATED = {
    "grid": {"space": {"n": rbt.randint(0, 90)}, "search_alg": "grid"},
    "random": {"search_alg": "random", "num_samples": 130},
    "cost": {"search_alg": "sobol", "max_cost": 70.5},
    "bohb": {"search_alg": "bohb", "num_samples": 60},
    "hyperband": {"search_alg": "bohb", "num_samples": 60, "bundle": "sample", "objective": bars},
    "asha": {"search_alg": "random", "scheduler": "asha", "num_samples": 80, "bundle": "sample", "objective": bars},
}


@pytest.mark.parametrize("kind", ESTIMATED)
def test_an_estimate_holds_for_the_real_run(tmp_path, kind):
    settings = {"objective": score, "space": SPACE, "bundle": None, **ESTIMATED[kind]}
    objective, space, bundle = (settings.pop(name) for name in ("objective", "space", "bundle"))
    if kind == "grid":
        objective = grid_score
    tune = rbt.TuneConfig(metric="score", mode="min", seed=5, **settings)
    run = rbt.RunConfig("real", tmp_path, backend="local", num_workers=2, verbose=0, recheck=0)
    found = estimate(objective, space, bundle, tune, run)
    assert not (tmp_path / "real").exists()
    results = rbt.Tuner(objective, param_space=space, bundle=bundle, tune_config=tune, run_config=run).fit()
    if kind not in ("hyperband", "asha"):
        assert found.trials == (len(results),) * 2
        assert found.cost == (results.table.cost,) * 2
    assert 0.8 * found.trials[0] <= len(results) <= 1.2 * found.trials[1]
    assert 0.8 * found.cost[0] <= results.table.cost <= 1.2 * found.cost[1]
    n_bytes = (results.path / "journal.sqlite").stat().st_size
    with closing(Journal(results.path)) as journal:
        rows = 500 * len(list(journal.read()))  # a busy machine evaluates smaller batches, and each is a row
    assert 0.5 * found.journal_bytes[0] <= n_bytes <= 2 * found.journal_bytes[1] + rows
    assert found.n_workers == 2
    assert 0 < found.seconds[0] <= found.seconds[1]


def grid_score(params, data):
    return {"score": params["n"]}


def test_an_estimate_without_limits_or_results_is_refused(tmp_path):
    run = rbt.RunConfig("s", tmp_path, backend="local", num_workers=1, verbose=0)

    def fails(params, data):
        raise ValueError("never")

    tune = rbt.TuneConfig(metric="score", search_alg="random", num_samples=20, seed=1)
    with pytest.raises(NoResultError, match=r"(?s)no config of 16 completed.*ValueError: never"):
        estimate(fails, SPACE, None, tune, run)


def test_the_command_prints_an_estimate_and_runs_no_study(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.toml").write_text(
        'objective = "sma_cross"\nbundle = "sample"\n[space]\nfast = { randint = [5, 30] }\nslow = { randint = [40, 90] }\n'
    )
    assert run_command(["run", "study.toml", "--estimate", "--json", "--workers", "2"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["trials"] == [1250, 1250]
    assert found["cost"] == [1250.0, 1250.0]
    assert not (tmp_path / "studies").exists()
    assert run_command(["run", "study.toml", "--estimate", "--workers", "2"]) == 0
    shown = capsys.readouterr().out
    assert "trials  1,250\n" in shown
    assert "evaluations at full fidelity" in shown
    assert run_command(["run", "study.toml", "--json", "--workers", "2"]) == 0
    assert json.loads(capsys.readouterr().out)["n_trials"] == 1250
    size = (tmp_path / "studies" / "study" / "journal.sqlite").stat().st_size
    assert 0.4 <= found["journal_bytes"][0] / size <= 2.5
    assert ResultGrid(tmp_path / "studies" / "study").is_done

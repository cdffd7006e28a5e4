"""Robustness checks against separate studies, direct evaluation and plain loops."""

import itertools
import json

import numpy as np
import pandas as pd
import pytest

import rbt_ray as rbt
from rbt_ray.data.bundle import with_fields
from rbt_ray.data.surrogates import noisy_prices
from rbt_ray.errors import SettingError
from rbt_ray.simulate.metric_kernel import metrics_of
from rbt_ray.store.journal_file import FILE_NAME
from rbt_ray.study.trials import nested_seed
from tests import one_ray

N_BARS, N_TRAIN = 800, 600
SPACE = {"fast": rbt.randint(3, 13), "slow": rbt.randint(20, 60)}
SMA = rbt.objectives.sma_cross(turnover_bps=5)


def bundle_of(seed=1):
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(0.0003, 0.01, (N_BARS, 3)), axis=0))
    opens = close * np.exp(rng.normal(0, 0.003, close.shape))
    wide = np.exp(np.abs(rng.normal(0, 0.003, close.shape)))
    fields = {"open": opens, "high": np.maximum(opens, close) * wide, "low": np.minimum(opens, close) / wide}
    fields |= {"close": close, "volume": rng.integers(1, 9, close.shape)}
    return rbt.Bundle.from_arrays(fields, pd.bdate_range("2010-01-04", periods=N_BARS), ["A", "B", "C"])


BUNDLE = bundle_of()


def crossing(params, data):
    """The same strategy as a plain function, whose backtest the worker caches."""
    return data.memo(crossed, params["fast"], params["slow"])


def crossed(data, fast, slow):
    long = data.sma("close", fast) > data.sma("close", slow) * (1 + 1e-9)
    return rbt.backtest(data, long / data.n_symbols, costs=rbt.Costs(turnover_bps=5)).metrics()


def uncached(params, data):
    long = data.sma("close", params["fast"]) > data.sma("close", params["slow"])
    costs = rbt.Costs(turnover_bps={"A": 3, "B": 4, "C": 5}, slippage_bps=2)
    return rbt.backtest(data, long / data.n_symbols, costs=costs)


def uncached_twice_the_costs(params, data):
    long = data.sma("close", params["fast"]) > data.sma("close", params["slow"])
    costs = rbt.Costs(turnover_bps={"A": 6, "B": 8, "C": 10}, slippage_bps=4)
    return rbt.backtest(data, long / data.n_symbols, costs=costs)


def own_costs(params, data):
    change = np.diff(data.close[:, 0]) / data.close[:-1, 0]
    position = np.sign(np.roll(change, params["lag"]))
    returns = position * change - 1e-4
    return {"sharpe": float(returns.mean() / returns.std()), "n": len(change)}


def fit(folder, objective=SMA, bundle=BUNDLE, space=SPACE, *, name="s", workers=2, backend="local", **tune):
    settings = {"search_alg": "random", "num_samples": 25, "seed": 3, "holdout": 0.25, **tune}
    return rbt.Tuner(
        objective,
        param_space=space,
        bundle=bundle,
        tune_config=rbt.TuneConfig(**settings),
        run_config=rbt.RunConfig(
            name=name, storage_path=folder, verbose=0, recheck=0, num_workers=workers, backend=backend
        ),
    ).fit()


def value_at(folder, config, objective=SMA, bundle=BUNDLE, **kw):
    """The Sharpe ratio that a study of this config alone records."""
    settings = {"num_samples": 1, "points_to_evaluate": [config], **kw}
    return fit(folder, objective, bundle, **settings).get_best_result().metrics["sharpe"]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return fit(tmp_path_factory.mktemp("studies"))


@pytest.fixture(scope="module")
def found(results):
    return results.robustness(n=6, radius=0.1)


def direct(config):
    return SMA(config, BUNDLE.view(N_TRAIN)).metrics()["sharpe"]


def test_the_plateau_is_that_of_all_neighbours(results, found):
    best = results.get_best_result()
    whole = results.robustness(["plateau"], n=1_000, radius=0.1).plateau
    near = [
        {"fast": fast, "slow": slow}
        for fast, slow in itertools.product(range(3, 13), range(20, 60))
        if abs(fast - best.config["fast"]) <= 1 and abs(slow - best.config["slow"]) <= 4
    ]
    near.remove(dict(best.config))
    assert sorted(map(str, whole.configs)) == sorted(map(str, near))
    values = np.array([direct(config) for config in near])
    by_config = dict(zip(map(str, whole.configs), whole.values, strict=True))
    np.testing.assert_allclose([by_config[str(config)] for config in near], values, rtol=1e-9)
    typical = np.median([one.metrics["sharpe"] for one in results])
    expected = (np.median(values) - typical) / (best.metrics["sharpe"] - typical)
    assert whole.score == pytest.approx(expected, rel=1e-9)
    assert len(found.plateau.configs) == 6
    assert {str(config) for config in found.plateau.configs} < {str(config) for config in near}


@pytest.mark.parametrize(
    ("objective", "double"),
    [
        (SMA, rbt.objectives.sma_cross(turnover_bps=10)),
        (uncached, uncached_twice_the_costs),
    ],
    ids=["builtin", "backtest"],
)
def test_twice_the_costs_are_those_of_a_study_with_twice_the_costs(tmp_path, objective, double):
    results = fit(tmp_path, objective)
    found = results.robustness(["costs"]).costs
    assert found.factors == (2.0, 5.0)
    assert found.values[0] == value_at(tmp_path / "double", results.get_best_result().config, double)
    assert found.best > found.values[0] > found.values[1]


def test_a_cached_backtest_is_not_used_for_higher_costs(tmp_path):
    results = fit(tmp_path, crossing, num_samples=4)
    found = results.robustness(["costs"]).costs
    config = results.get_best_result().config
    expected = [
        rbt.objectives.sma_cross(turnover_bps=5 * factor)(config, BUNDLE.view(N_TRAIN)).metrics()["sharpe"]
        for factor in found.factors
    ]
    np.testing.assert_allclose(found.values, expected, rtol=1e-9)


@pytest.mark.slow
def test_costs_elsewhere_are_refused_if_asked_for_and_left_out_otherwise(tmp_path):
    results = fit(tmp_path, own_costs, space={"lag": rbt.randint(1, 6)}, num_samples=3)
    with pytest.raises(SettingError, match="has its costs elsewhere"):
        results.robustness(["costs"])
    with pytest.raises(SettingError, match="returns per bar"):
        results.robustness(["monte_carlo"])
    found = results.robustness(n=2)
    assert found.costs is None
    assert set(found.left_out) == {"costs", "monte_carlo"}
    assert "costs: left out: `costs` multiplies" in repr(found)
    assert np.isfinite(found.noise.values).all()


def test_noise_is_that_of_studies_on_noisy_prices(tmp_path, results, found):
    config = results.get_best_result().config
    view = BUNDLE.view(N_TRAIN)
    expected = [
        value_at(tmp_path / str(seed), config, bundle=noisy_prices(view, 0.2, seed), holdout=None)
        for seed in found.noise.seeds[:2]
    ]
    assert found.noise.values[:2].tolist() == expected
    assert found.noise.seeds == tuple(nested_seed(3, "noise", number) for number in range(6))
    assert len(set(found.noise.values.tolist())) == 6


def test_later_starts_are_those_of_studies_on_the_cut_bundle(tmp_path, results, found):
    assert len(found.start.bars) == 6
    assert found.start.bars.min() > 0
    assert found.start.bars.max() <= 60
    for bar, time, value in list(zip(found.start.bars, found.start.times, found.start.values, strict=True))[::5]:
        cut = with_fields(
            BUNDLE, {name: BUNDLE[name][bar:N_TRAIN] for name in BUNDLE.fields}, BUNDLE.index[bar:N_TRAIN]
        )
        assert cut.index[0] == time
        alone = value_at(tmp_path / str(bar), results.get_best_result().config, bundle=cut, holdout=None)
        assert value == alone


def test_sensitivities_are_those_of_direct_evaluation(results, found):
    best = results.get_best_result().config
    for name, line in found.sensitivity.lines.items():
        assert best[name] in line.options
        assert list(line.options) == sorted(line.options)
        expected = [direct({**best, name: option}) for option in line.options]
        np.testing.assert_allclose(line.values, expected, rtol=1e-9)
        assert line.spread == pytest.approx(max(expected) - min(expected))
    grid = found.sensitivity.grids["fast", "slow"]
    expected = np.array([[direct({"fast": a, "slow": b}) for b in grid.options[1]] for a in grid.options[0]])
    np.testing.assert_allclose(grid.values, expected, rtol=1e-9)
    rest = expected - expected.mean(0) - expected.mean(1)[:, None] + expected.mean()
    assert grid.interaction == pytest.approx(np.sqrt((rest**2).mean()))


def test_monte_carlo_is_a_plain_loop_over_orders_of_the_returns(results, found):
    returns = SMA(results.get_best_result().config, BUNDLE.view(N_TRAIN)).returns
    none, zero = np.zeros(N_TRAIN), np.zeros(N_TRAIN, np.int64)
    rng = np.random.default_rng(nested_seed(3, "orders", 0))

    def drawdown(series):
        return metrics_of(np.ascontiguousarray(series), none, none, zero, zero, 252.0)["max_drawdown"]

    assert found.monte_carlo.drawdown == pytest.approx(drawdown(returns))
    assert len(found.monte_carlo.drawdowns) == 1_000
    expected = [drawdown(rng.permutation(returns)) for _ in range(20)]
    np.testing.assert_allclose(found.monte_carlo.drawdowns[:20], expected)
    assert np.mean(found.monte_carlo.drawdowns >= found.monte_carlo.exceeded_by(0.95)) == pytest.approx(0.95, abs=2e-3)
    assert "p_value" not in json.dumps(found.to_dict())


def test_one_worker_finds_the_same(tmp_path, found):
    alone = fit(tmp_path, workers=1).robustness(n=6, radius=0.1)
    assert json.dumps(alone.to_dict()) == json.dumps(found.to_dict())


@pytest.mark.slow
def test_ray_finds_the_same(tmp_path, found):
    one_ray.keep()
    on_ray = fit(tmp_path, backend="ray").robustness(["plateau", "noise", "monte_carlo"], n=6, radius=0.1)
    for name in ("plateau", "noise", "monte_carlo"):
        assert json.dumps(getattr(on_ray, name).to_dict()) == json.dumps(getattr(found, name).to_dict())


def test_a_second_call_reads_what_the_first_has_run(results, found):
    journals = {path: path.stat().st_mtime_ns for path in (results.path / "robustness").glob(f"*/{FILE_NAME}")}
    assert len(journals) >= 5
    restored = rbt.Tuner.restore(results.path, SMA, run_config=rbt.RunConfig(verbose=0, num_workers=2, backend="local"))
    again = restored.fit().robustness(n=6, radius=0.1)
    assert again.to_dict() == found.to_dict()
    after = {path: path.stat().st_mtime_ns for path in (results.path / "robustness").glob(f"*/{FILE_NAME}")}
    assert after == journals


def test_the_study_and_its_verdict_stay_as_they_are(tmp_path):
    results = fit(tmp_path)
    before = results.table_hash(), json.dumps(results.verdict().to_dict())
    results.robustness(n=3)
    again = rbt.ResultGrid(results.path)
    assert (again.table_hash(), json.dumps(again.verdict().to_dict())) == before


def test_tables_have_a_row_per_run(found):
    assert list(found.to_frame()["check"]) == ["plateau", "noise", "costs", "start"]
    assert list(found.costs.to_frame().columns) == ["factor", "value"]
    assert list(found.plateau.to_frame().columns) == ["config/fast", "config/slow", "value"]
    assert len(found.start.to_frame()) == len(found.noise.to_frame()) == 6
    assert len(found.monte_carlo.to_frame()) == 1_000
    assert set(found.sensitivity.to_frame()["parameter"]) == {"fast", "slow"}
    assert all(f"{name}: " in repr(found) for name in found.CHECKS)


@rbt.batched
def many(configs, data):
    return [uncached(config, data) for config in configs]


def test_a_batched_objective_is_checked_as_a_plain_one(tmp_path):
    plain, batched = (fit(tmp_path, objective, name=objective.__name__) for objective in (uncached, many))
    assert batched.robustness(n=3).to_dict() == plain.robustness(n=3).to_dict()


def drawn(params, data):
    return {"sharpe": float(data.rng.random()) + params["x"] + np.random.random_sample()}


def test_runs_have_the_seed_of_the_trial(tmp_path):
    """So that only the change differs: of an objective that draws numbers and ignores prices, all values are equal."""
    results = fit(tmp_path, drawn, space={"x": rbt.uniform(0, 1)}, num_samples=5)
    found = results.robustness(["noise", "start"], n=3)
    assert set(found.noise.values) | set(found.start.values) == {results.get_best_result().metrics["sharpe"]}


def in_steps(params, data):
    for step in range(10):
        rbt.report({"sharpe": params["x"] * (step + 1) + len(data.close) / 1e6})


def test_an_objective_that_reports_runs_to_its_full_fidelity(tmp_path):
    tune = {"fidelity": "reports", "max_reports": 4, "scheduler": "hyperband", "num_samples": 20}
    results = fit(tmp_path, in_steps, space={"x": rbt.uniform(0, 1)}, **tune)
    found = results.robustness(["start", "sensitivity", "plateau"], n=4)
    x = results.get_best_result().config["x"]
    np.testing.assert_allclose(found.start.values, 4 * x + (N_TRAIN - found.start.bars) / 1e6)
    line = found.sensitivity.lines["x"]
    np.testing.assert_allclose(line.values, 4 * np.array(line.options) + N_TRAIN / 1e6)


def hilly(params, data):
    x = params["x"]
    return 1.0 if x == 30 else 0.9 if 70 <= x <= 80 else 0.1


@pytest.mark.parametrize("sign", [1, -1])
def test_the_robust_config_is_on_the_plateau_and_not_on_the_peak(tmp_path, sign):
    found = {}
    for workers in (1, 2):
        results = rbt.Tuner(
            hilly if sign == 1 else lambda params, data: -hilly(params, data),
            param_space={"x": rbt.randint(0, 100)},
            tune_config=rbt.TuneConfig(
                metric="score", mode="max" if sign == 1 else "min", search_alg="random", num_samples=40, seed=2,
                points_to_evaluate=[{"x": 30}, {"x": 75}],
            ),
            run_config=rbt.RunConfig(
                name=f"w{workers}", storage_path=tmp_path, verbose=0, num_workers=workers, backend="local"
            ),
        ).fit()  # fmt: skip
        assert results.get_best_result().config == {"x": 30}
        found[workers] = results.get_best_result(select="robust")
        assert 70 <= found[workers].config["x"] <= 80
    assert found[1].trial_id == found[2].trial_id
    assert results.robustness(["plateau"]).plateau.score == pytest.approx(0)
    with pytest.raises(SettingError, match=r"Tuner\.restore"):
        rbt.ResultGrid(tmp_path / "w1").get_best_result(select="robust")


def test_a_whole_grid_needs_no_evaluation_for_the_robust_config(tmp_path):
    fit(tmp_path, hilly, space={"x": rbt.randint(0, 100)}, metric="score", search_alg="grid", num_samples=None)
    read = rbt.ResultGrid(tmp_path / "s")
    assert 70 <= read.get_best_result(select="robust").config["x"] <= 80
    assert not (tmp_path / "s" / "robustness").exists()


def risky(params, data):
    x = params["x"]
    return {"score": float(x), "risk": float(x % 10) + len(data.close) / 1e6}


def test_configs_that_break_a_constraint_have_no_value(tmp_path):
    tune = {"metric": "score", "constraints": ["risk < 5"], "points_to_evaluate": [{"x": 94}], "num_samples": 12}
    results = fit(tmp_path, risky, space={"x": rbt.randint(0, 95)}, **tune)
    assert results.get_best_result().config == {"x": 94}
    found = results.robustness(["plateau", "start"], n=30)
    by_x = dict(zip([config["x"] for config in found.plateau.configs], found.plateau.values, strict=True))
    assert set(by_x) == {89, 90, 91, 92, 93}
    assert np.isnan(by_x.pop(89))  # its risk is 9
    assert list(by_x.values()) == list(by_x)
    assert (found.start.values == 94).all()
    assert results.get_best_result(select="robust").config["x"] % 10 < 5


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"checks": ["plateu"]}, "plateau"),
        ({"n": 0}, "`n` is a number of runs"),
        ({"n": 2.0}, "`n` is a number of runs"),
        ({"noise": -1}, "`noise` is a share"),
        ({"jitter": 1.0}, "`jitter` is a share"),
        ({"radius": float("nan")}, "`radius` is a share"),
    ],
)
def test_settings_that_make_no_sense_are_refused(results, settings, says):
    with pytest.raises(SettingError, match=says):
        results.robustness(**settings)


def test_other_selections_and_results_without_an_objective_are_refused(results):
    with pytest.raises(SettingError, match="`select` is"):
        results.get_best_result(select="safe")
    with pytest.raises(SettingError, match=r"Tuner\.restore.*robustness\(\)"):
        rbt.ResultGrid(results.path).robustness()


def test_no_checks_are_none(results):
    found = results.robustness([])
    assert all(getattr(found, name) is None for name in found.CHECKS)
    assert not found.left_out


def test_a_space_of_constants_has_nothing_to_vary(tmp_path):
    found = fit(tmp_path, space={"fast": 5, "slow": 20}).robustness(["plateau", "sensitivity"])
    assert not found.plateau.configs
    assert not found.sensitivity.lines
    assert "the config has no parameters" in repr(found)


def test_checks_that_need_prices_are_left_out_without_a_bundle(tmp_path):
    results = fit(tmp_path, hilly, None, {"x": rbt.uniform(0, 100)}, metric="score", holdout=None)
    found = results.robustness(n=3)
    assert set(found.left_out) == {"noise", "costs", "start", "monte_carlo"}
    assert len(found.plateau.values) == 3

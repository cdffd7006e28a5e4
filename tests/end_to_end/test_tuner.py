"""Tuner, TuneConfig, RunConfig and ResultGrid as users use them.

Libraries load in the tests that need them: workers import this module for its objectives, in each new process again.
"""

import os
from pathlib import Path

import numpy as np
import psutil
import pytest

import rbt_ray as rbt
from rbt_ray.errors import SettingError, StudyExistsError, StudyMismatchError, StudyNotFoundError


def quiet(tmp_path, name="study", **kw):
    return rbt.RunConfig(name=name, storage_path=tmp_path, num_workers=2, verbose=0, **kw)


def fit(tmp_path, objective, space, *, name="study", bundle=None, run=None, **tune):
    return rbt.Tuner(
        objective,
        param_space=space,
        bundle=bundle,
        tune_config=rbt.TuneConfig(**{"metric": "score", "mode": "min", "seed": 1, **tune}),
        run_config=quiet(tmp_path, name, **(run or {})),
    ).fit()


def square(params, data):
    return (params["x"] - 3) ** 2


def crossing(params, data):
    fast = data.sma("close", params["fast"])
    slow = data.sma("close", params["slow"])
    return rbt.backtest(data, weights=(fast > slow) / data.n_symbols, costs=rbt.Costs(turnover_bps=5))


PAIRS = {"fast": rbt.randint(5, 8), "slow": rbt.randint(30, 33)}


def test_without_a_bundle_data_is_none_and_a_number_is_the_metric(tmp_path):
    def objective(params, data):
        assert data is None
        return params["x"]

    results = fit(tmp_path, objective, {"x": rbt.grid_search([3, 1, 2])})
    assert [r.metrics for r in results] == [{"score": 3.0}, {"score": 1.0}, {"score": 2.0}]
    assert results.get_best_result().config == {"x": 1}
    assert results.get_best_result(mode="max").config == {"x": 3}


def test_nested_spaces_constants_and_choices_reach_the_objective_as_written(tmp_path):
    seen = {"a": {"b": rbt.choice([True]), "c": rbt.fixed([1, 2])}, "d": rbt.choice(["x"]), "e": None, "f": 2.5}

    def objective(params, data):
        assert params == {"a": {"b": True, "c": [1, 2]}, "d": "x", "e": None, "f": 2.5}
        return {"score": 1, "text": "ok", "flag": True, "none": None}

    results = fit(tmp_path, objective, seen)
    assert results.errors == []
    assert results[0].config == {"a": {"b": True, "c": [1, 2]}, "d": "x", "e": None, "f": 2.5}
    assert results[0].metrics == {"score": 1, "text": "ok", "flag": True, "none": None}
    assert type(results[0].metrics["score"]) is int
    frame = results.get_dataframe()
    assert frame["config/a/b"].tolist() == [True]


def test_a_configspace_keeps_its_conditions_and_forbidden_clauses(tmp_path):
    import ConfigSpace as cs

    space = cs.ConfigurationSpace(seed=0)
    kind = cs.Categorical("kind", ["a", "b"])
    depth = cs.Integer("depth", (1, 4))
    rate = cs.Float("rate", (1e-3, 1.0), log=True)
    space.add(kind, depth, rate)
    space.add(cs.EqualsCondition(rate, kind, "b"))
    space.add(cs.ForbiddenAndConjunction(cs.ForbiddenEqualsClause(kind, "a"), cs.ForbiddenEqualsClause(depth, 4)))

    def objective(params, data):
        assert ("rate" in params) == (params["kind"] == "b")
        assert not (params["kind"] == "a" and params["depth"] == 4)
        return params["depth"] + params.get("rate", 0)

    results = fit(tmp_path, objective, space, search_alg="random", num_samples=60)
    assert results.errors == []
    assert len({str(sorted(r.config.items())) for r in results if r.config["kind"] == "a"}) == 3
    for result in results:
        cs.Configuration(space, values=dict(result.config)).check_valid_configuration()


def test_ray_tunes_own_domains_are_taken_as_they_are(tmp_path):
    from ray import tune as ray_tune

    space = {
        "x": ray_tune.uniform(0, 1),
        "n": ray_tune.randint(0, 5),
        "c": ray_tune.choice(["a", "b"]),
        "g": ray_tune.grid_search([1, 2]),
    }
    results = fit(tmp_path, lambda p, d: p["x"] + p["n"] + p["g"] + (p["c"] == "a"), space, num_samples=20)
    assert len(results) == 20
    assert all(0 <= r.config["x"] < 1 and r.config["n"] in range(5) for r in results)


@pytest.mark.parametrize(
    ("space", "num_samples", "expected", "n"),
    [
        ({"x": rbt.randint(0, 12)}, None, "grid", 12),
        ({"x": rbt.randint(0, 12)}, 12, "grid", 12),
        ({"x": rbt.randint(0, 12)}, 5, "bohb", 5),
        ({"x": rbt.uniform(0, 1)}, None, "bohb", 100),
    ],
)
def test_auto_is_a_grid_where_it_fits_else_a_model_search(tmp_path, space, num_samples, expected, n):
    results = fit(tmp_path, square, space, num_samples=num_samples)
    assert results.study.search_alg == expected
    assert len(results) == n


def test_a_finite_space_is_never_tried_twice_and_ends_when_used_up(tmp_path):
    results = fit(tmp_path, square, {"x": rbt.randint(0, 30)}, search_alg="random", num_samples=1000)
    assert sorted(r.config["x"] for r in results) == list(range(30))


def test_points_to_evaluate_come_first_and_are_not_repeated(tmp_path):
    results = fit(tmp_path, square, {"x": rbt.randint(0, 6)}, points_to_evaluate=[{"x": 4}, {"x": 2}])
    assert [r.config["x"] for r in results] == [4, 2, 0, 1, 3, 5]


def test_the_frame_has_a_row_a_trial_and_the_named_columns(tmp_path):
    results = fit(tmp_path, crossing, PAIRS, bundle="sample", metric="sharpe", mode="max")
    frame = results.get_dataframe()
    assert list(frame.columns[:5]) == ["trial_id", "status", "fidelity", "config/fast", "config/slow"]
    assert list(frame.columns[-3:]) == ["error", "duration_s", "worker"]
    assert len(frame) == len(results) == 9
    best = frame.loc[frame["sharpe"].idxmax()]
    found = results.get_best_result()
    assert (best["config/fast"], best["config/slow"]) == (found.config["fast"], found.config["slow"])
    assert best["sharpe"] == found.metrics["sharpe"]


def test_plain_and_built_in_objectives_agree(tmp_path):
    own = fit(tmp_path, crossing, PAIRS, name="own", bundle="sample", metric="sharpe")
    built_in = fit(tmp_path, rbt.objectives.sma_cross(5), PAIRS, name="in", bundle="sample", metric="sharpe")
    for mine, theirs in zip(own, built_in, strict=True):
        assert mine.config == theirs.config
        for name, value in theirs.metrics.items():
            assert mine.metrics[name] == pytest.approx(value, rel=1e-11)


def test_a_built_in_computes_the_studys_metric_when_it_is_another(tmp_path):
    results = fit(tmp_path, rbt.objectives.sma_cross(), PAIRS, bundle="sample", metric="sortino", mode="max")
    assert "sortino" in results.get_best_result().metrics


def test_no_trial_sees_the_hold_out(tmp_path):
    import pandas as pd

    bundle = rbt.load_bundle("sample")

    def last_day(params, data):
        return {"score": 0.0, "bars": data.n_bars, "last": str(data.index[-1])[:10]}

    results = fit(tmp_path, last_day, {"x": rbt.randint(0, 5)}, bundle=bundle, holdout="2010-01-01")
    train = int((pd.DatetimeIndex(bundle.index) < "2010-01-01").sum())
    assert {r.metrics["bars"] for r in results} == {train}
    assert max(r.metrics["last"] for r in results) < "2010-01-01"
    held = results.review.rows[0]["holdout"]
    assert held["bars"] == bundle.n_bars - train
    assert held["last"] == str(bundle.index[-1])[:10]


@pytest.mark.parametrize("rebalance", ["every_bar", "on_change"])
def test_the_best_are_reviewed_at_order_level_and_on_the_hold_out(tmp_path, rebalance):
    bundle = rbt.load_bundle("sample")
    crossing = rbt.objectives.sma_cross(rebalance=rebalance)
    results = fit(
        tmp_path, crossing, PAIRS, bundle=bundle, metric="sharpe", mode="max", holdout=0.3, run={"recheck": 3}
    )
    assert len(results.review.rows) == 3
    train = results.study.bundle.train_bars
    for row, trial in zip(results.review.rows, results.table.ranking(3), strict=True):
        assert row["trial"] == trial
        backtest = crossing(row["config"], bundle.view(train))
        whole = crossing(row["config"], bundle.view())
        assert row["sweep"]["sharpe"] == pytest.approx(backtest.metrics()["sharpe"], rel=1e-12)
        again = rebalance == "every_bar"  # otherwise the search itself runs at order level
        assert row["order_level"] == (backtest.at_order_level().metrics() if again else None)
        assert row["holdout"] == whole.since(train)
        assert row["holdout_order_level"] == (whole.at_order_level().since(train) if again else None)
    curves = results.review.curves
    assert len(curves["time_ms"]) == len(curves["equity"]) == len(curves["buy_and_hold"]) == bundle.n_bars


def test_a_sweep_without_review_is_left_alone(tmp_path):
    results = fit(tmp_path, crossing, PAIRS, bundle="sample", metric="sharpe", run={"recheck": 0})
    assert results.review is None


def test_callbacks_hear_of_every_trial_once_and_of_the_end(tmp_path):
    class Listener:
        def __init__(self):
            self.trials, self.ended = [], []

        def on_trial_complete(self, result):
            self.trials.append((result.trial_id, result.config["x"], result.metrics["score"]))

        def on_study_end(self, results):
            self.ended.append(len(results))

    listener = Listener()
    fit(tmp_path, square, {"x": rbt.randint(0, 40)}, run={"callbacks": [listener]})
    assert sorted(listener.trials) == [(i, i, float((i - 3) ** 2)) for i in range(40)]
    assert listener.ended == [40]


def test_an_unregistered_bundle_is_kept_with_the_study(tmp_path):
    import pandas as pd

    frame = pd.DataFrame({"A": np.linspace(10, 20, 400)}, pd.bdate_range("2020-01-01", periods=400))
    bundle = rbt.Bundle.from_frame(frame)
    first_closes = lambda p, d: float(d.close[p["x"], 0])  # noqa: E731 - that lambdas are known again is tested, too
    results = fit(tmp_path, first_closes, {"x": rbt.randint(0, 9)}, bundle=bundle)
    assert (tmp_path / "study" / "bundle.arrow").exists()
    assert [r.metrics["score"] for r in results] == frame["A"].iloc[:9].tolist()
    again = rbt.Tuner.restore(tmp_path / "study", lambda p, d: float(d.close[p["x"], 0]))
    assert again.study.bundle.version == bundle.version


def test_workers_stay_warm_from_study_to_study_until_shutdown(tmp_path):
    def who(params, data):
        return {"score": 0, "pid": os.getpid()}

    pids = [{r.metrics["pid"] for r in fit(tmp_path, who, {"x": rbt.randint(0, 200)}, name=f"s{i}")} for i in range(2)]
    assert pids[0] & pids[1]
    rbt.shutdown()
    assert not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" for pid in pids[0] | pids[1])


def test_a_name_in_use_is_refused_and_names_restore(tmp_path):
    fit(tmp_path, square, {"x": rbt.randint(0, 3)})
    with pytest.raises(StudyExistsError, match=r"Tuner\.restore"):
        fit(tmp_path, square, {"x": rbt.randint(0, 3)})


def test_restore_validates_its_arguments(tmp_path):
    fit(tmp_path, square, {"x": rbt.randint(0, 3)})
    folder = tmp_path / "study"
    assert len(rbt.Tuner.restore(folder, square).fit()) == 3
    with pytest.raises(StudyMismatchError, match="the objective is not the one"):
        rbt.Tuner.restore(folder, crossing)
    with pytest.raises(StudyMismatchError, match="`param_space` is not the one"):
        rbt.Tuner.restore(folder, square, param_space={"x": rbt.randint(1, 4)})
    with pytest.raises(StudyNotFoundError):
        rbt.Tuner.restore(tmp_path / "nothing", square)


def test_options_that_json_cannot_hold_are_passed_to_restore_again(tmp_path):
    space = {"f": rbt.choice([np.sin, np.cos])}
    results = fit(tmp_path, lambda p, d: float(p["f"](1.0)), space)
    assert [r.metrics["score"] for r in results] == [np.sin(1.0), np.cos(1.0)]
    with pytest.raises(rbt.errors.SpaceError, match="param_space"):
        rbt.Tuner.restore(tmp_path / "study", lambda p, d: float(p["f"](1.0)))


def test_reprs_say_what_there_is(tmp_path):
    results = fit(tmp_path, square, {"x": rbt.randint(0, 6)})
    assert repr(results) == "ResultGrid('study': 6 COMPLETED; best score 0 at {'x': 3})"
    assert "<table" in results._repr_html_()


def test_wrong_settings_are_sentences():
    import pandas as pd

    with pytest.raises(SettingError, match="`num_samples` is a whole number of at least 1; got True"):
        rbt.TuneConfig(num_samples=True)
    with pytest.raises(SettingError, match=r"`points_to_evaluate` is a list of configs"):
        rbt.TuneConfig(points_to_evaluate={"x": 1})
    with pytest.raises(SettingError, match=r"`search_alg` is a name, rbt.BOHB\(\.\.\.\), a sampler of Optuna"):
        rbt.TuneConfig(search_alg=object())
    with pytest.raises(SettingError, match=r"`bundle` is a Bundle or the name .*from_frame"):
        rbt.Tuner(square, param_space={"x": rbt.randint(0, 3)}, bundle=pd.DataFrame())
    with pytest.raises(SettingError, match="`name` is a folder's name"):
        rbt.RunConfig(name="a/b")


def test_study_folders_are_private(tmp_path):
    fit(tmp_path, square, {"x": rbt.randint(0, 3)})
    folder = Path(tmp_path / "study")
    assert folder.stat().st_mode & 0o077 == 0
    assert all(path.stat().st_mode & 0o077 == 0 for path in folder.iterdir())


def test_warm_workers_reload_an_edited_module(tmp_path, monkeypatch):
    import importlib
    import sys

    monkeypatch.syspath_prepend(tmp_path)
    module = tmp_path / "edited_strategy.py"
    answers = []
    for number in (1.0, 22.0):
        module.write_text(f"def objective(params, data):\n    return {number}\n")
        os.utime(module, ns=(int(number) * 10**9,) * 2)
        importlib.invalidate_caches()
        sys.modules.pop("edited_strategy", None)
        objective = importlib.import_module("edited_strategy").objective
        results = fit(tmp_path, objective, {"x": rbt.randint(0, 4)}, name=f"s{number:.0f}")
        answers.append({result.metrics["score"] for result in results})
    assert answers == [{1.0}, {22.0}]


def test_first_points_with_options_that_json_cannot_hold(tmp_path):
    space = {"f": rbt.choice([np.sin, np.cos])}
    results = fit(tmp_path, lambda p, d: float(p["f"](1.0)), space, points_to_evaluate=[{"f": np.cos}])
    assert [r.config["f"] for r in results] == [np.cos, np.sin]


@pytest.mark.parametrize("name", ["status", "worker", "config/x"])
def test_a_metric_cannot_be_called_like_a_column_of_the_results(tmp_path, name):
    results = fit(tmp_path, lambda p, d: {"score": 1.0, name: 2.0}, {"x": rbt.randint(0, 2)})
    assert all(f"{name!r} is a column of the results already" in error for error in results.errors)
    assert len(results.errors) == 2


def test_a_searcher_object_serves_one_run(tmp_path):
    from tests.end_to_end.test_determinism import Climber

    class Stop(Exception):
        pass

    class Breaker:
        def on_trial_complete(self, result):
            raise Stop

    tuner = rbt.Tuner(
        square,
        param_space={"x": rbt.uniform(-2, 2), "n": rbt.randint(0, 1000), "kind": rbt.choice(["a", "b", "c"])},
        tune_config=rbt.TuneConfig(metric="score", search_alg=Climber(20), max_pending=4),
        run_config=quiet(tmp_path, callbacks=[Breaker()]),
    )
    with pytest.raises(Stop):
        tuner.fit()
    with pytest.raises(SettingError, match="a searcher object serves one run"):
        tuner.fit()
    again = rbt.Tuner.restore(tmp_path / "study", square, search_alg=Climber(20), run_config=rbt.RunConfig(verbose=0))
    assert len(again.fit()) == 20


def test_studies_without_a_name_do_not_meet_within_a_second(tmp_path):
    paths = {
        rbt.Tuner(
            lambda params, data: params["x"],
            param_space={"x": rbt.uniform(0, 1)},
            run_config=rbt.RunConfig(storage_path=tmp_path),
        ).path
        for _ in range(3)
    }
    assert len(paths) == 3
    assert all(path.parent == tmp_path and path.name.startswith("lambda-") for path in paths)


def test_indexing_results_and_their_errors(tmp_path):
    results = fit(tmp_path, square, {"x": rbt.randint(0, 3)})
    with pytest.raises(IndexError, match="the study has 3 trials; there is no result 3"):
        results[3]
    assert results[-1].config == {"x": 2}
    assert [r.trial_id for r in results[1:]] == [1, 2]
    assert results.get_dataframe()["error"].tolist() == [None, None, None]

"""Optuna's own plots and importances read an exported study."""

import ConfigSpace as cs
import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

import rbt_ray as rbt
from rbt_ray.errors import SettingError

optuna.logging.set_verbosity(optuna.logging.WARNING)


def score(params, data):
    if params["n"] == 7:
        raise ValueError("not 7")
    value = params["n"] * data.n_bars / 1000 + params.get("rate", 0.0)
    return {"score": value, "kind_too": params["kind"], "bars": data.n_bars}


def space():
    space = cs.ConfigurationSpace(seed=0)
    kind = cs.Categorical("kind", ["a", "b"])
    rate = cs.Float("rate", (1e-3, 1.0), log=True)
    space.add(kind, cs.Integer("n", (0, 30)), rate)
    space.add(cs.EqualsCondition(rate, kind, "b"))
    return space


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return rbt.Tuner(
        score,
        param_space=space(),
        bundle="sample",
        tune_config=rbt.TuneConfig(
            metric="score",
            mode="max",
            search_alg="random",
            scheduler="hyperband",
            min_fidelity=1 / 9,
            num_samples=40,
            seed=3,
        ),
        run_config=rbt.RunConfig(name="s", storage_path=tmp_path_factory.mktemp("studies"), verbose=0, num_workers=2),
    ).fit()


def key(params):
    return params["kind"], params["n"], params.get("rate")


def test_every_trial_is_there_once(results):
    study = results.to_optuna()
    assert study.study_name == "s"
    assert study.direction.name == "MAXIMIZE"
    told = sorted(number for trial in study.trials for number in trial.user_attrs["trial_ids"])
    assert told == [result.trial_id for result in results]
    assert len({key(trial.params) for trial in study.trials}) == len(study.trials) < len(results)
    by_number = {result.trial_id: result for result in results}
    for trial in study.trials:
        group = [by_number[number] for number in trial.user_attrs["trial_ids"]]
        last = group[-1]
        assert all(trial.params == dict(one.config) for one in group)
        bars = {one.metrics["bars"]: one.metrics["score"] for one in group if one.error is None}
        assert trial.intermediate_values == bars
        if last.error is not None:
            assert trial.state == TrialState.FAIL
            assert "not 7" in trial.user_attrs["error"]
        elif last.fidelity < 1:
            assert trial.state == TrialState.PRUNED
        else:
            assert trial.state == TrialState.COMPLETE
            assert trial.value == last.metrics["score"]
        assert trial.datetime_start <= trial.datetime_complete
    states = {trial.state for trial in study.trials}
    assert states == {TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL}
    best = results.get_best_result()
    assert study.best_params == dict(best.config)
    assert study.best_value == best.metrics["score"]


def test_conditions_leave_parameters_out(results):
    for trial in results.to_optuna().trials:
        assert ("rate" in trial.params) == (trial.params["kind"] == "b")
        assert set(trial.distributions) == set(trial.params)


def test_its_plots_and_importances_work(results):
    study = results.to_optuna()
    plots = optuna.visualization
    history = plots.plot_optimization_history(study)
    assert sorted(history.data[0].y) == sorted(t.value for t in study.trials if t.state == TrialState.COMPLETE)
    curves = plots.plot_intermediate_values(study)
    assert {tuple(curve.x) for curve in curves.data} == {tuple(t.intermediate_values) for t in study.trials} - {()}
    for plot in (
        plots.plot_slice,
        plots.plot_parallel_coordinate,
        plots.plot_contour,
        plots.plot_timeline,
        plots.plot_edf,
    ):
        assert len(plot(study).data)
    plain = optuna.create_study(direction="maximize")
    plain.add_trials([t for t in study.trials if t.state == TrialState.COMPLETE])
    importances = optuna.importance.get_param_importances(
        study, evaluator=optuna.importance.FanovaImportanceEvaluator(seed=0)
    )
    assert importances == optuna.importance.get_param_importances(
        plain, evaluator=optuna.importance.FanovaImportanceEvaluator(seed=0)
    )
    assert next(iter(importances)) == "n"


@pytest.mark.slow
def test_an_optuna_storage_keeps_the_study_and_optuna_continues_it(results, tmp_path):
    storage = f"sqlite:///{tmp_path}/studies.db"
    study = results.to_optuna(storage=storage, study_name="mine")
    loaded = optuna.load_study(study_name="mine", storage=storage)
    assert [(t.params, t.state, t.value) for t in loaded.trials] == [(t.params, t.state, t.value) for t in study.trials]
    assert loaded.metric_names == ["score"]
    n = len(loaded.trials)
    loaded.optimize(lambda trial: trial.suggest_int("n", 0, 30), n_trials=1)
    assert len(loaded.trials) == n + 1
    with pytest.raises(SettingError, match="has a study called 'mine' already"):
        results.to_optuna(storage=storage, study_name="mine")


def test_every_kind_of_parameter_has_its_like(tmp_path):
    def objective(params, data):
        assert params["constant"] == 5
        return params["uniform"]

    results = rbt.Tuner(
        objective,
        param_space={
            "uniform": rbt.uniform(-1.0, 1.0),
            "quniform": rbt.quniform(0.1, 0.5, 0.1),
            "loguniform": rbt.loguniform(1e-4, 1e-1),
            "randint": rbt.randint(3, 9),
            "qrandint": rbt.qrandint(10, 50, 5),
            "lograndint": rbt.lograndint(1, 1000),
            "normal": rbt.normal(10.0, 2.0),
            "mixed": rbt.choice([1, True, "x", None]),
            "lists": rbt.choice([[1, 2], [3]]),
            "nested": {"text": rbt.choice(["u", "v"])},
            "constant": 5,
        },
        tune_config=rbt.TuneConfig(metric="m", mode="min", search_alg="random", num_samples=60, seed=1),
        run_config=rbt.RunConfig(name="kinds", storage_path=tmp_path, verbose=0, num_workers=2),
    ).fit()
    study = results.to_optuna()
    assert len(study.trials) == len(results) == 60
    D = optuna.distributions
    first = study.trials[0].distributions
    assert first["uniform"] == D.FloatDistribution(-1.0, 1.0)
    assert first["quniform"] == D.FloatDistribution(0.1, 0.5, step=0.1)
    assert first["loguniform"] == D.FloatDistribution(1e-4, 1e-1, log=True)
    assert first["randint"] == D.IntDistribution(3, 8)
    assert first["qrandint"] == D.IntDistribution(10, 50, step=5)
    assert first["lograndint"] == D.IntDistribution(1, 999, log=True)
    assert first["mixed"] == D.CategoricalDistribution(["1", "True", "'x'", "None"])
    assert first["nested/text"] == D.CategoricalDistribution(["u", "v"])
    assert "constant" not in first
    for trial, result in zip(study.trials, results, strict=True):
        assert trial.params["mixed"] == repr(result.config["mixed"])
        assert trial.params["lists"] == repr(result.config["lists"])
        assert trial.params["nested/text"] == result.config["nested"]["text"]
        for name in ("uniform", "quniform", "loguniform", "randint", "qrandint", "lograndint", "normal"):
            assert trial.params[name] == result.config[name]
            assert type(trial.params[name]) is type(result.config[name])
    assert np.isfinite(study.best_value)
    assert study.direction.name == "MINIMIZE"
    assert study.trials[0].intermediate_values == {}

"""Function trainables, and the documented behaviour of Ray Tune's ResultGrid."""

import json
import math
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest

from rbt_ray import tune
from rbt_ray.errors import InputError, NoResultError, NotSupportedError, SettingError

CURVE = [5.0, 1.0, 3.0, 2.0]


def curve(config):
    for step, value in enumerate(CURVE):
        tune.report({"loss": value + config["x"], "step": step, "eval": {"acc": step / 10, "name": "a"}})


def square(config):
    return {"loss": (config["x"] - 3) ** 2, "array": np.arange(2), "n": np.int64(4)}


def odd_ones_fail(config):
    tune.report({"loss": config["x"]})
    if config["x"] % 2:
        raise ValueError(f"odd: {config['x']}")


def old_style(config):
    tune.report(loss=config["x"])


def counted(config):
    """Continues from its checkpoint; fails once at 3."""
    step = 0
    if checkpoint := tune.get_checkpoint():
        with checkpoint.as_directory() as folder:
            step = json.loads(Path(folder, "step.json").read_text())
    mark = Path(tune.get_context().get_trial_dir(), "failed")
    for n in range(step, 6):
        if n == 3 and config["fails"] and not mark.exists():
            mark.touch()
            raise RuntimeError("once")
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "step.json").write_text(json.dumps(n + 1))
            tune.report({"n": n, "began_at": step}, checkpoint=tune.Checkpoint.from_directory(folder))


def scored(config):
    for value in config["of"]:
        with tempfile.TemporaryDirectory() as folder:
            tune.report({"eval": {"acc": value}}, checkpoint=tune.Checkpoint.from_directory(folder))


def yields(config):
    yield {"loss": 1}


def dies(config):
    if config["x"] == 1:
        os._exit(1)
    return {"loss": config["x"]}


def nothing(config):
    pass


def asks(config):
    context = tune.get_context()
    Path("here.txt").touch()
    return {"x": 1, "id": context.get_trial_id(), "dir": context.get_trial_dir(), "of": context.get_experiment_name()}


def test_a_result_has_the_last_report_with_what_tune_adds(fit):
    results = fit(curve, {"x": tune.grid_search([0, 10])}, metric="loss", mode="min")
    assert (len(results), results.num_terminated, results.num_errors, results.errors) == (2, 2, 0, [])
    for x, result in zip([0, 10], results, strict=True):
        metrics = result.metrics
        assert (metrics["loss"], metrics["step"], metrics["eval"]) == (2.0 + x, 3, {"acc": 0.3, "name": "a"})
        assert (metrics["training_iteration"], metrics["done"], metrics["config"]) == (4, True, {"x": x})
        assert result.config == {"x": x}
        assert result.error is None
        assert result.checkpoint is None
        assert metrics["time_total_s"] >= metrics["time_this_iter_s"] >= 0
        assert Path(result.path).parent == Path(results.experiment_path)
        assert metrics["trial_id"] in result.path
        frame = result.metrics_dataframe
        assert frame["loss"].tolist() == [value + x for value in CURVE]
        assert frame["eval/acc"].tolist() == [0, 0.1, 0.2, 0.3]
        assert frame["training_iteration"].tolist() == [1, 2, 3, 4]
    assert len({result.metrics["trial_id"] for result in results}) == 2


def test_scope_decides_how_the_best_trial_is_chosen(fit):
    results = fit(curve, {"x": tune.grid_search([1, 0])}, metric="loss", mode="min")
    assert results.get_best_result().config == {"x": 0}
    assert results.get_best_result(mode="max").config == {"x": 1}
    assert results.get_best_result("eval/acc", "max").config == {"x": 1}  # of equals the first
    for scope in ("all", "avg", "last-5-avg", "last-10-avg"):
        assert results.get_best_result(scope=scope).config == {"x": 0}
    with pytest.raises(SettingError, match="scope"):
        results.get_best_result(scope="first")
    with pytest.raises(SettingError, match="mode"):
        results.get_best_result(mode="best")
    with pytest.raises(NoResultError, match="accuracy"):
        results.get_best_result("accuracy", "max")
    with pytest.raises(RuntimeError, match="accuracy"):  # as from Ray Tune
        results.get_best_result("accuracy", "max")


def test_frames_have_the_last_report_or_the_best(fit):
    results = fit(curve, {"x": tune.grid_search([0, 10])}, metric="loss", mode="min")
    last = results.get_dataframe()
    assert last["loss"].tolist() == [2, 12]
    assert last["config/x"].tolist() == [0, 10]
    best = results.get_dataframe(filter_metric="loss", filter_mode="min")
    assert (best["loss"].tolist(), best["training_iteration"].tolist()) == ([1, 11], [2, 2])


@pytest.mark.parametrize("mode", ["max", "min"])
def test_frames_leave_nan_out_where_they_look_for_the_best(fit, mode):
    results = fit(scored, {"of": [math.nan, 2.0, 2.0, math.nan]}, metric="eval/acc", mode=mode)
    assert results.get_dataframe("eval/acc", mode)["training_iteration"].tolist() == [2]


def test_a_returned_dict_is_the_result_and_numpy_becomes_plain(fit):
    result = fit(square, {"x": 5}, metric="loss", mode="min").get_best_result()
    assert (result.metrics["loss"], result.metrics["array"], result.metrics["n"]) == (4, [0, 1], 4)
    assert result.metrics["training_iteration"] == 1


def test_a_number_and_named_metrics_are_reports_too(fit):
    assert fit(lambda config: 4.5, {})[0].metrics["_metric"] == 4.5
    assert fit(old_style, {"x": 2}, name="named", metric="loss", mode="min")[0].metrics["loss"] == 2


def test_a_trial_that_fails_keeps_its_reports_and_leaves_the_others_alone(fit):
    results = fit(odd_ones_fail, {"x": tune.grid_search([0, 1, 2, 3])}, metric="loss", mode="max")
    assert [result.error is None for result in results] == [True, False, True, False]
    assert results.num_errors == 2
    assert all(isinstance(error, tune.TuneError) and "odd: " in str(error) for error in results.errors)
    assert results[1].metrics["loss"] == 1
    assert results.get_best_result().config == {"x": 3}  # as in Ray Tune: what it reported counts


def test_a_trial_that_kills_its_worker_is_an_error_and_costs_no_other(fit):
    results = fit(dies, {"x": tune.grid_search([0, 1, 2, 3])}, metric="loss", mode="max")
    assert [result.error is None for result in results] == [True, False, True, True]
    assert "its worker was lost" in str(results.errors[0])
    assert results[1].metrics == {"trial_id": results[1].path[-11:], "config": {"x": 1}}  # as in Ray Tune: a dict


def test_failures_are_tried_again_from_the_latest_checkpoint(fit):
    results = fit(
        counted, {"fails": True}, metric="n", mode="max", failure=tune.FailureConfig(max_failures=2), name="retried"
    )
    assert results[0].error is None
    assert results[0].metrics_dataframe["began_at"].tolist() == [0, 0, 0, 3, 3, 3]
    assert results[0].metrics["training_iteration"] == 6
    assert results[0].metrics["iterations_since_restore"] == 3


def test_failed_trials_run_again_when_a_study_is_restored(fit, tmp_path):
    results = fit(counted, {"fails": tune.grid_search([False, True])}, metric="n", mode="max")
    assert (results.num_errors, results[1].metrics["n"]) == (1, 2)
    resumed = tune.Tuner.restore(tmp_path / "study", counted, resume_errored=True).fit()
    assert resumed.num_errors == 0
    assert resumed[1].metrics_dataframe["began_at"].tolist() == [0, 0, 0, 3, 3, 3]
    assert resumed[0].metrics == results[0].metrics


def test_failed_trials_restart_from_nothing_if_asked(fit, tmp_path):
    fit(odd_ones_fail, {"x": tune.grid_search([0, 1])}, metric="loss", mode="max")
    again = tune.Tuner.restore(tmp_path / "study", odd_ones_fail, restart_errored=True).fit()
    assert (len(again), again.num_errors) == (2, 1)  # it fails again


def test_fail_fast_ends_the_study_or_raises(fit):
    fast = tune.FailureConfig(fail_fast=True)
    space = {"x": tune.grid_search([1] * 30)}
    assert len(fit(odd_ones_fail, space, metric="loss", mode="max", failure=fast)) < 30
    with pytest.raises(tune.TuneError, match="odd: 1"):
        fit(
            odd_ones_fail, space, name="raise", metric="loss", mode="max", failure=tune.FailureConfig(fail_fast="raise")
        )


def test_checkpoints_are_kept_as_the_config_says(fit):
    kept = tune.CheckpointConfig(num_to_keep=2, checkpoint_score_attribute="n", checkpoint_score_order="min")
    result = fit(counted, {"fails": False}, metric="n", mode="max", checkpoint=kept)[0]
    assert sorted(metrics["n"] for _, metrics in result.best_checkpoints) == [0, 1, 5]  # the best two, and the latest
    assert result.get_best_checkpoint("n", "min") == result.best_checkpoints[0][0]
    assert json.loads(Path(result.checkpoint.path, "step.json").read_text()) == 6
    assert Path(result.checkpoint.to_directory(), "step.json").exists()


@pytest.mark.parametrize("order", ["max", "min"])
def test_the_best_checkpoint_by_a_nested_metric_stays_and_nan_is_worse_than_all(fit, order):
    sign = 1 if order == "max" else -1
    values = [sign * value for value in (math.nan, -math.inf, 0.9, 0.5, math.nan, 0.1)]
    kept = tune.CheckpointConfig(2, checkpoint_score_attribute="eval/acc", checkpoint_score_order=order)
    result = fit(scored, {"of": values}, metric="eval/acc", mode=order, checkpoint=kept)[0]
    assert [metrics["eval"]["acc"] for _, metrics in result.best_checkpoints] == [sign * n for n in (0.9, 0.5, 0.1)]


def test_a_trial_knows_where_it_is(fit):
    result = fit(asks, {}, metric="x", mode="max")[0]
    assert result.metrics["id"] == result.metrics["trial_id"]
    assert (result.metrics["dir"], result.metrics["of"]) == (result.path, "study")
    assert Path(result.path, "here.txt").exists()  # written by its name alone
    tune.report({"outside": 1})  # does nothing
    assert tune.get_checkpoint() is None
    assert tune.get_context().get_trial_id() is None


def test_names_of_trials_and_their_folders_may_be_the_users(fit):
    results = fit(
        curve,
        {"x": tune.grid_search([0, 1])},
        metric="loss",
        mode="min",
        trial_dirname_creator=lambda trial: f"mine_{trial.trial_id}_{trial.config['x']}",
    )
    assert [Path(result.path).name[:4] + Path(result.path).name[-1] for result in results] == ["mine0", "mine1"]
    with pytest.raises(SettingError, match="the same folder"):
        fit(curve, {"x": tune.grid_search([0, 1])}, name="b", trial_dirname_creator=lambda trial: "same")


def test_a_trainable_without_reports_fails_with_advice(fit):
    results = fit(nothing, {}, metric="loss", mode="min")
    assert "call `tune.report({...})`" in str(results.errors[0])
    assert fit(curve, {"x": 1}, name="c", metric="auc", mode="max").num_errors == 1


def test_objects_in_a_config_reach_the_trainable_and_are_asked_for_when_restored(fit, tmp_path):
    space = {"f": tune.grid_search([math.sqrt, math.exp])}
    results = fit(lambda config: {"v": config["f"](4.0)}, space, metric="v", mode="max")
    assert results.get_best_result().config["f"] is math.exp
    with pytest.raises(InputError, match="param_space"):
        tune.Tuner.restore(tmp_path / "study", lambda config: 1)


def test_a_study_of_that_name_is_put_aside(fit, tmp_path):
    fit(square, {"x": 1}, metric="loss", mode="min")
    with pytest.warns(UserWarning, match="there was a study"):
        results = fit(square, {"x": 2}, metric="loss", mode="min")
    assert results[0].config == {"x": 2}
    assert len(list(tmp_path.glob("study_before_*"))) == 1


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: tune.run(square), "tune.Tuner"),
        (lambda: tune.CLIReporter(), "verbose=0"),
        (lambda: tune.ExperimentAnalysis("x"), "get_results"),
        (lambda: tune.PlacementGroupFactory([{}]), "with_resources"),
        (lambda: tune.create_searcher("random"), "search_alg"),
        (lambda: tune.Checkpoint("s3://b/c"), "pyarrow.fs"),
        (lambda: tune.RunConfig(log_to_file=True), "stderr"),
        (lambda: tune.RunConfig(storage_filesystem=object()), "URI"),
        (lambda: tune.with_resources(square, lambda config: {}), "dict such as"),
        (lambda: tune.Tuner(lambda config, reporter: 1), "tune.report"),
        (lambda: tune.Tuner(yields), "tune.report"),
    ],
)
def test_what_is_not_supported_says_what_to_use(call, says):
    with pytest.raises(NotSupportedError, match=says):
        call()


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: tune.TuneConfig(mode="best"), "'min' or 'max'"),
        (lambda: tune.TuneConfig(num_samples=0), "num_samples"),
        (lambda: tune.CheckpointConfig(num_to_keep=0), "num_to_keep"),
        (lambda: tune.FailureConfig(max_failures=1, fail_fast=True), "max_failures"),
        (lambda: tune.Tuner(5), "a trainable is"),
        (lambda: tune.Tuner("unheard-of"), "registered"),
        (lambda: tune.Tuner(square, tune_config=tune.TuneConfig(num_samples=-1)), "never ends"),
        (lambda: tune.Tuner(square, tune_config=tune.TuneConfig(metric="loss")), "mode"),
        (lambda: tune.Tuner(square, run_config=tune.RunConfig(stop=3)), "stop"),
        (lambda: tune.with_resources(square, {"cpu": -1}), "amount"),
        (lambda: tune.with_resources(square, {"gpu": 1}) and _tuner(tune.with_resources(square, {"gpu": 1})), "Ray"),
    ],
)
def test_bad_input_is_refused_with_a_sentence(call, says):
    with pytest.raises(InputError, match=says):
        call()


def _tuner(trainable):
    return tune.Tuner(trainable, run_config=tune.RunConfig(backend="local"))

"""Studies of several metrics: the front, the best by one metric, and tables that depend on the definition alone."""

import itertools
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import rbt_ray as rbt
from rbt_ray.cli.main import run_command
from rbt_ray.errors import JournalError, NoResultError, SettingError
from rbt_ray.pareto import hypervolume
from rbt_ray.store.journal import Journal
from rbt_ray.study.study import Study
from rbt_ray.tuner.result_grid import ResultGrid
from tests import one_ray

PAGE = (Path(__file__).parents[2] / "docs" / "several_metrics.md").read_text()
SPACE = {"x": rbt.uniform(0, 1), "y": rbt.uniform(0, 1), "z": rbt.uniform(0, 1)}
ROWS = {"row": rbt.grid_search(list(range(60)))}


def curve(params, data):
    """Two losses with a front; a fifteenth of the trials lack one of them."""
    rest = 1 + params["y"] + params["z"]
    second = rest * (1 - (params["x"] / rest) ** 0.5)
    return {"f1": params["x"], "f2": float("nan") if int(params["y"] * 1e6) % 15 == 0 else second, "sum": rest}


def curve_on_bars(params, data):
    found = curve(params, data)
    return {**found, "f2": found["f2"] + 0.1 * params["z"] / data.n_bars}


def looked_up(params, data):
    """Metrics of many equal values by row, some missing or not finite."""
    rng = np.random.default_rng(params["row"] + params["first"])
    a, b, c = rng.integers(0, 4, 3).astype(float)
    if params["row"] % 11 == 0:
        raise ValueError("a failure")
    return {"a": a, "b": b, "c": float("inf") if params["row"] % 13 == 0 else c, "limit": float(rng.integers(0, 2))}


def fit(
    folder, objective=curve, space=SPACE, *, name="study", bundle=None, workers=2, callbacks=(), backend="local", **tune
):
    given = {"metric": ["f1", "f2"], "mode": "min", "seed": 3, "num_samples": 60, "max_pending": 8, **tune}
    return rbt.Tuner(
        objective,
        param_space=space,
        bundle=bundle,
        tune_config=rbt.TuneConfig(**given),
        run_config=rbt.RunConfig(name, folder, backend=backend, num_workers=workers, verbose=0, callbacks=callbacks),
    ).fit()


def run(folder, *words):
    return subprocess.run(
        [sys.executable, *words], cwd=folder, capture_output=True, text=True, timeout=200, check=False
    )


@pytest.mark.slow
def test_the_examples_of_the_page_run(tmp_path, capsys):
    [example] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    [study] = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "example.py").write_text(example)
    (tmp_path / "study.toml").write_text(study)
    done = run(tmp_path, "example.py")
    assert done.returncode == 0, done.stderr
    *front, least, volume = done.stdout.splitlines()
    sharpes, drawdowns = zip(*(map(float, line.split()[-2:]) for line in front), strict=True)
    assert list(sharpes) == sorted(sharpes, reverse=True)
    assert list(drawdowns) == sorted(drawdowns)
    assert least == f"least drawdown {front[-1].rpartition('}')[0]}}}"
    assert 0 < float(volume.split()[1]) < 2
    shown = run(tmp_path, "-m", "rbt_ray.cli", "run", "study.toml")
    assert shown.returncode == 0, shown.stderr
    assert f"Pareto front of sharpe (max), max_drawdown (max): {len(front)} trials" in " ".join(shown.stdout.split())
    assert "The Pareto front" in next(tmp_path.glob("studies/study/report.html")).read_text()
    [folder] = tmp_path.glob("studies/study")
    assert run_command(["show", str(folder), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["best"] is None
    assert found["n_front"] == len(found["top"]) == len(front)


@pytest.mark.parametrize("modes", [("max", "max", "min"), ("min", "max", "max")], ids="-".join)
def test_the_front_is_that_of_brute_force(tmp_path, modes):
    results = fit(
        tmp_path, looked_up, {**ROWS, "first": 100}, metric=["a", "b", "c"], mode=list(modes), search_alg="grid",
        num_samples=None, max_pending=None, constraints=["limit < 0.5"],
    )  # fmt: skip
    signs = np.array([-1.0 if mode == "max" else 1.0 for mode in modes])
    eligible = [one for one in results if one.status == "COMPLETED" and one.metrics["limit"] < 0.5]
    assert {one.status for one in results} == {"COMPLETED", "FAILED"}
    assert len(eligible) < sum(one.status == "COMPLETED" for one in results)
    losses = {one.trial_id: signs * [one.metrics[name] for name in "abc"] for one in eligible}
    expected = {
        trial
        for trial, loss in losses.items()
        if not any((other <= loss).all() and (other < loss).any() for other in losses.values())
    }
    front = results.pareto_front()
    assert {one.trial_id for one in front} == expected
    assert all(one.losses == tuple(losses[one.trial_id]) for one in front)
    for name, mode in zip("abc", modes, strict=True):
        best = results.get_best_result(metric=name)
        assert best.trial_id in expected
        assert best.metrics[name] == (max if mode == "max" else min)(one.metrics[name] for one in eligible)
    broken = [signs * [one.metrics[name] for name in "abc"] for one in results if one.violation > 0]
    n_better = sum(not any((other <= loss).all() for other in losses.values()) for loss in broken)
    assert results.feasibility.by_constraint[0].n_better == n_better
    binds = f"`limit < 0.5` binds: it alone excludes {n_better} that no feasible trial dominates or equals."
    assert (binds in results.constraint_notes) == (n_better > 0)
    ranking = [results[int(row)].trial_id for row in results.table.ranking()]
    assert set(ranking[: len(expected)]) == expected
    assert sorted(ranking) == sorted(losses)
    worst = np.array(list(losses.values())).max(axis=0)
    in_order = np.array([losses[trial] for trial in sorted(losses)])
    assert results.hypervolume()[-1] == pytest.approx(hypervolume(in_order, worst))


def test_a_metric_that_is_negated_and_maximized_is_searched_alike(tmp_path):
    tables = []
    for number, modes in enumerate(itertools.product(("min", "max"), repeat=2)):
        signs = {name: -1 if mode == "max" else 1 for name, mode in zip(("f1", "f2"), modes, strict=True)}

        def signed(params, data, signs=signs):
            return {name: signs.get(name, 1) * value for name, value in curve(params, data).items()}

        tables.append(fit(tmp_path, signed, name=f"{number}", mode=list(modes)).table)
    for table in tables[1:]:
        np.testing.assert_array_equal(table.points, tables[0].points)
        np.testing.assert_array_equal(table.losses, tables[0].losses)
        assert table.front.tolist() == tables[0].front.tolist()


SCHEDULED = ["hyperband", "asha", rbt.ASHA(kind="stopping"), "median", "successive_halving"]


@pytest.mark.parametrize(
    "scheduler", [SCHEDULED[0], *(pytest.param(one, marks=pytest.mark.slow) for one in SCHEDULED[1:])], ids=str
)
def test_the_table_does_not_depend_on_the_number_of_workers(tmp_path, scheduler):
    some = {"scheduler": scheduler, "bundle": "sample", "objective": curve_on_bars, "search_alg": "bohb"}
    tables = [fit(tmp_path, name=f"w{workers}", workers=workers, **some) for workers in (1, 3)]
    assert len({results.table_hash() for results in tables}) == 1
    assert (tables[0].table.fidelity < 1).any()
    assert tables[0].pareto_front()


@pytest.mark.slow
def test_a_study_on_ray_has_the_table_of_a_local_one(tmp_path):
    one_ray.keep()
    try:
        on_ray = [
            fit(tmp_path, name=f"ray-{search_alg}", backend="ray", search_alg=search_alg)
            for search_alg in ("auto", "tpe")
        ]
    finally:
        one_ray.release()
    local = [fit(tmp_path, name=search_alg, search_alg=search_alg) for search_alg in ("auto", "tpe")]
    assert [results.table_hash() for results in on_ray] == [results.table_hash() for results in local]


def test_a_study_that_was_stopped_continues_to_the_same_table(tmp_path):
    class StopsIt:
        n = 0

        def on_trial_complete(self, result):
            assert len(result.losses) == (2 if result.status == "COMPLETED" else 0)
            self.n += 1
            if self.n == 25:
                raise RuntimeError("the callback stops the study")

    with pytest.raises(RuntimeError, match="the callback stops the study"):
        fit(tmp_path, name="stopped", callbacks=[StopsIt()])
    assert 25 <= len(ResultGrid(tmp_path / "stopped")) < 60
    run_config = rbt.RunConfig(backend="local", num_workers=2, verbose=0)
    restored = rbt.Tuner.restore(tmp_path / "stopped", curve, run_config=run_config).fit()
    assert restored.table_hash() == fit(tmp_path, name="whole").table_hash()
    assert restored.study.goals == ResultGrid(tmp_path / "whole").study.goals


def test_a_trial_without_one_of_the_metrics_fails(tmp_path):
    results = fit(tmp_path, search_alg="random")
    assert 0 < results.num_errors < 20
    assert set(results.errors) == {"the metric 'f2' is nan."}
    lacking = fit(tmp_path, name="lacking", metric=["f1", "f3"], num_samples=5)
    assert lacking.errors == ["the objective returned no 'f3', the study's metric; it returned f1, f2, sum."] * 5
    for find in (lacking.pareto_front, lacking.hypervolume, lambda: lacking.get_best_result("f1")):
        with pytest.raises((NoResultError, SettingError)):
            find()


def test_the_best_of_several_metrics_needs_one_of_them(tmp_path):
    results = fit(tmp_path, search_alg="sobol")
    with pytest.raises(SettingError, match=r"`pareto_front\(\)` .* and `get_best_result\(metric='f1'\)`"):
        results.get_best_result()
    with pytest.raises(SettingError, match="'sum' is none of the metrics that the study optimizes"):
        results.get_best_result(metric="sum")
    assert results.get_best_result("sum", "min").metrics["sum"] == np.nanmin(results.table.numbers("sum"))
    with pytest.raises(SettingError, match="it lacks 'f2'"):
        results.hypervolume({"f1": 1})
    with pytest.raises(SettingError, match="`reference` has no value for 'f3'"):
        results.hypervolume({"f1": 1, "f2": 2, "f3": 1})
    volume = results.hypervolume({"f1": 1, "f2": 3})
    assert (np.diff(volume) >= 0).all()
    front = np.array([one.losses for one in results.pareto_front()])
    assert volume[-1] == pytest.approx(hypervolume(front, np.array([1.0, 3.0])))
    assert repr(results).startswith("ResultGrid('study': ")
    assert f"{len(front)} on the Pareto front; best f1" in repr(results)
    assert list(results.get_dataframe().columns)[-6:] == ["f1", "f2", "sum", "error", "duration_s", "worker"]


def test_a_study_of_one_metric_has_a_front_and_no_hypervolume(tmp_path):
    results = fit(tmp_path, metric="f1", num_samples=10)
    assert [one.trial_id for one in results.pareto_front()] == [results.get_best_result().trial_id]
    assert all(one.losses == () for one in results)
    with pytest.raises(SettingError, match="optimizes one metric"):
        results.hypervolume()


def test_a_list_of_one_metric_is_that_metric(tmp_path):
    lists = fit(tmp_path, name="list", metric=["f1"], mode=["min"], num_samples=20)
    assert lists.table_hash() == fit(tmp_path, name="alone", metric="f1", num_samples=20).table_hash()
    assert lists.get_best_result().loss == lists.get_best_result().metrics["f1"]


def test_the_report_draws_the_front_and_the_verdict_names_its_metric(tmp_path):
    results = rbt.Tuner(
        rbt.objectives.sma_cross(),
        param_space={"fast": rbt.grid_search([5, 10, 20, 40]), "slow": rbt.grid_search([50, 100, 200])},
        bundle="sample",
        tune_config=rbt.TuneConfig(
            metric=["sharpe", "max_drawdown", "turnover"], mode=["max", "max", "min"], holdout=0.3
        ),
        run_config=rbt.RunConfig("study", tmp_path, backend="local", num_workers=1, verbose=0),
    ).fit()
    page = results.report(tmp_path / "report.html").read_text()
    n = len(results.pareto_front())
    assert f"{n} on the Pareto front." in page
    figures = json.loads(re.search(r'<script type="application/json" id="figures">(.*?)</script>', page, re.DOTALL)[1])
    pairs = list(itertools.combinations(["sharpe", "max_drawdown", "turnover"], 2))
    assert [f"front:{k}" in figures for k in range(4)] == [True] * len(pairs) + [False]
    drawn = next(trace for trace in figures["front:0"]["data"] if trace["name"] == "Pareto front")
    assert sorted(drawn["text"]) == sorted(one.trial_id for one in results.pareto_front())
    assert figures["hypervolume:0"]["data"][0]["y"][-1] == 1.0
    assert any("the best trial by sharpe" in caveat for caveat in results.verdict().caveats)
    reviewed = [row["trial"] for row in results.review.rows]
    assert reviewed[0] == results.get_best_result("sharpe").trial_id
    theirs = results.to_optuna()
    assert {trial.number for trial in theirs.best_trials} == {one.trial_id for one in results.pareto_front()}
    with pytest.raises(SettingError, match="hpbandster's results have one loss"):
        results.to_hpbandster()


def test_a_definition_with_damaged_metrics_is_refused(tmp_path):
    fit(tmp_path, num_samples=4)
    journal = Journal(tmp_path / "study")
    definition = dict(journal.definition)
    journal.close()
    assert [goal.metric for goal in Study.from_json(definition).goals] == ["f1", "f2"]
    for damaged in ([{"metric": 3, "mode": "min"}], [{"metric": "f2", "mode": "most"}], [{"metric": "f2"}], "f2", None):
        with pytest.raises(JournalError, match="definition is damaged"):
            Study.from_json({**definition, "further_goals": damaged})
    assert Study.from_json({name: v for name, v in definition.items() if name != "further_goals"}).further_goals == ()

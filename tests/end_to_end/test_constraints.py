"""Studies with constraints: what is evaluated, what is infeasible, and which result is the best."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import rbt_ray as rbt
from rbt_ray.errors import JournalError, NoResultError, SettingError, SpaceError, StudyMismatchError
from rbt_ray.reporting.charts import comparable

PAGE = (Path(__file__).parents[2] / "docs" / "constraints.md").read_text()
PLANE = {"x": rbt.uniform(0, 1), "y": rbt.uniform(0, 1)}
GRID = {"x": rbt.quniform(0.1, 0.9, 0.1), "y": rbt.quniform(0.1, 0.9, 0.1)}


def hill(params, data):
    """The nearer to (0.8, 0.8) the better; `total` is what a constraint limits."""
    return {"score": -((params["x"] - 0.8) ** 2) - (params["y"] - 0.8) ** 2, "total": params["x"] + params["y"]}


def fit(folder, objective=hill, space=GRID, *, name="study", bundle=None, workers=2, callbacks=(), **tune):
    return rbt.Tuner(
        objective,
        param_space=space,
        bundle=bundle,
        tune_config=rbt.TuneConfig(**{"metric": "score", "seed": 3, **tune}),
        run_config=rbt.RunConfig(name, folder, backend="local", num_workers=workers, verbose=0, callbacks=callbacks),
    ).fit()


def run(folder, *words):
    return subprocess.run(
        [sys.executable, *words], cwd=folder, capture_output=True, text=True, timeout=200, check=False
    )


@pytest.mark.slow
def test_the_examples_of_the_page_run(tmp_path):
    [example] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    [study] = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "example.py").write_text(example)
    (tmp_path / "study.toml").write_text(study)
    done = run(tmp_path, "example.py")
    assert done.returncode == 0, done.stderr
    first, *notes = done.stdout.splitlines()
    config, n_trades, drawdown = re.fullmatch(r"(\{.*\}) (\d+)\.0 (-0\.\d+)", first).groups()
    config = json.loads(config.replace("'", '"'))
    assert config["slow"] - config["fast"] >= 10
    assert int(n_trades) >= 100
    assert float(drawdown) > -0.4
    assert notes[0] == "constraints on parameters (`fast < slow`, `slow - fast >= 10`) leave 11,425 of 12,650 configs."
    assert re.match(r"\d+ of \d+ trials are infeasible: `", notes[1])
    shown = run(tmp_path, "-m", "rbt_ray.cli", "run", "study.toml")
    assert shown.returncode == 0, shown.stderr
    for note in notes:
        assert note in shown.stdout
        assert note in (tmp_path / "studies" / "study" / "report.html").read_text().replace("&gt;", ">").replace(
            "&lt;", "<"
        )


def test_infeasible_trials_complete_are_marked_and_never_the_best(tmp_path):
    results = fit(tmp_path, constraints=["x <= y", "total <= 1.05", "total != 0.9"])
    frame = results.get_dataframe()
    assert len(frame) == 45
    assert (frame["config/x"] <= frame["config/y"]).all()
    assert (frame["status"] == "COMPLETED").all()
    feasible = (frame["total"] <= 1.05) & (frame["total"] != 0.9)
    assert frame["feasible"].tolist() == feasible.tolist()
    assert ((frame["violation"] == 0) == feasible).all()
    best = results.get_best_result()
    assert best.trial_id == frame[feasible]["score"].idxmax()
    assert best.metrics["score"] < frame["score"].max()
    assert [result.violation == 0 for result in results] == feasible.tolist()
    assert (
        results.table.ranking().tolist()
        == frame[feasible].sort_values("score", ascending=False, kind="stable").index.tolist()
    )
    found = results.feasibility
    assert (found.n_judged, found.n_infeasible) == (45, int((~feasible).sum()))
    better = frame[frame["score"] > best.metrics["score"]]
    assert found.by_constraint[0].n_better == len(better) > 0
    assert found.by_constraint[0].best == pytest.approx(better["score"].max())
    parameters, infeasible, binds = results.notes[-3:]
    assert "(`x <= y`) leave 45 of 81 configs" in parameters
    assert f"{found.n_infeasible} of 45 trials are infeasible: `total <= 1.05` " in infeasible
    assert f"`total <= 1.05` binds: it alone excludes {len(better)} with a better score" in binds
    rows, goodness = comparable(results.table)
    assert rows.tolist() == frame[feasible].index.tolist()
    assert goodness.max() == best.metrics["score"]
    reopened = rbt.Tuner.restore(tmp_path / "study", hill).fit()
    assert reopened.get_best_result() == best
    theirs = results.to_optuna()
    assert theirs.best_trial.number == best.trial_id


def test_a_study_without_constraints_on_metrics_has_the_columns_of_before(tmp_path):
    frame = fit(tmp_path, constraints=["x <= y"]).get_dataframe()
    assert list(frame) == [
        "trial_id",
        "status",
        "fidelity",
        "config/x",
        "config/y",
        "score",
        "total",
        "error",
        "duration_s",
        "worker",
    ]


def test_where_no_trial_is_feasible_it_says_which_constraints_are_broken(tmp_path):
    results = fit(tmp_path, constraints=["total > 1.75", "score > -0.01"])
    with pytest.raises(
        NoResultError, match=r"no trial is feasible: 81 of 81 trials are infeasible: `total > 1\.75` 80 \(\d+"
    ):
        results.get_best_result()
    shown = run(tmp_path, "-m", "rbt_ray.cli", "show", "study")
    assert shown.stdout.count("81 of 81 trials are infeasible") == 1
    results.report(tmp_path / "page.html")
    assert "none completed at full fidelity and is feasible" in (tmp_path / "page.html").read_text()


def test_an_unknown_name_lists_the_known_ones(tmp_path):
    results = fit(tmp_path, constraints=["totl > 1"], num_samples=5, search_alg="random")
    assert results.num_errors == 5
    assert "no 'totl', which a constraint names; it returned score, total." in results.errors[0]
    with pytest.raises(
        SettingError, match=r"names `n_trads`, which is neither a parameter of `sma_cross` \(fast, slow\) .*n_trades"
    ):
        rbt.Tuner(
            rbt.objectives.sma_cross(),
            param_space={"fast": rbt.randint(5, 60), "slow": rbt.randint(60, 250)},
            bundle="sample",
            tune_config=rbt.TuneConfig(constraints=["n_trads > 1"]),
        )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"constraints": "x < y"}, r"`constraints` is a list such as"),
        ({"constraints": ["x <"]}, "is not an expression"),
        ({"constraints": [lambda p: p.x**2 < 1]}, "cannot be read as an expression"),
    ],
)
def test_bad_constraints_are_refused_at_once(given, message):
    with pytest.raises(SettingError, match=message):
        rbt.TuneConfig(**given)


def test_a_study_of_which_nothing_is_left_is_refused_before_it_begins(tmp_path):
    with pytest.raises(SpaceError, match="'x == y' leave practically nothing"):
        fit(tmp_path, space=PLANE, constraints=["x == y"])
    with pytest.raises(SpaceError, match="breaks the constraint 'x < y'"):
        fit(tmp_path, constraints=["x < y"], points_to_evaluate=[{"x": 0.5, "y": 0.1}])
    assert not any(tmp_path.iterdir())


class Interrupts:
    def __init__(self, after):
        self.left = after

    def on_trial_complete(self, result):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


def opaque(params, data):
    return hill(params, data) | {"used": params["f"](1)}


def test_the_table_is_the_same_for_any_workers_and_after_a_restore(tmp_path):
    space = {**PLANE, "f": rbt.choice([abs, round])}  # functions: the space has to be passed again
    tune = {
        "search_alg": "bohb",
        "num_samples": 60,
        "max_pending": 6,
        "constraints": ["x < y", "total < 1", "used + x > 1"],
    }
    first = fit(tmp_path, opaque, space, name="one", workers=1, **tune)
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, opaque, space, name="two", workers=3, callbacks=[Interrupts(25)], **tune)
    with pytest.raises(StudyMismatchError, match="`param_space` is not the one"):
        rbt.Tuner.restore(tmp_path / "two", opaque, param_space={**space, "x": rbt.uniform(0, 2)})
    second = rbt.Tuner.restore(
        tmp_path / "two", opaque, param_space=space, run_config=rbt.RunConfig(backend="local", num_workers=2, verbose=0)
    ).fit()
    assert first.table_hash() == second.table_hash()
    assert second.study.constraints == ("total < 1", "used + x > 1")
    points = second.table.points
    assert (points[:, 0] < points[:, 1]).all()


def test_a_warm_start_is_judged_by_the_new_constraints(tmp_path):
    first = fit(tmp_path, name="first")
    second = fit(
        tmp_path,
        name="second",
        search_alg="bohb",
        num_samples=20,
        warm_start=first,
        constraints=["x <= y", "total < 1.15"],
    )
    assert 0 < len(second.study.warm_start) < 81
    for prior in second.study.warm_start:
        assert prior.point[0] <= prior.point[1]
        assert (prior.violation > 0) == (sum(prior.point) >= 1.15)
    best = second[0].config  # the best prior config is evaluated first
    assert best["x"] + best["y"] < 1.15
    assert rbt.Tuner.restore(tmp_path / "second", hill).study.warm_start == second.study.warm_start


def drawdown(params, data):
    """A drawdown that deepens with the bars, deepest for a high `x`, and trades that come with them."""
    share = data.n_bars / 3020
    return {"score": params["x"] * share, "max_drawdown": -params["x"] * share**0.3, "n_trades": int(100 * share)}


@pytest.mark.parametrize("scheduler", ["hyperband", "asha", "successive_halving", "median"])
def test_only_what_stays_broken_is_judged_at_a_lower_fidelity(scheduler, tmp_path):
    results = fit(
        tmp_path, drawdown, {"x": rbt.uniform(0, 1)}, bundle="sample", search_alg="random", scheduler=scheduler, num_samples=20,
        min_fidelity=1 / 9, constraints=["max_drawdown > -0.4", "n_trades >= 90"],
    )  # fmt: skip
    table = results.table
    low = table.fidelity < 1
    broken = table.numbers("max_drawdown") <= -0.4
    assert (low & broken).any()
    assert (low & ~broken).any()
    violations = table.violations
    np.testing.assert_array_equal(violations[0] > 0, broken)
    assert not violations[1].any(), "too few trades on part of the bars break nothing"
    # what broke the bound on some bars does not run on more
    highest = {}
    for point, fidelity, is_broken in zip(table.points[:, 0], table.fidelity, broken, strict=True):
        assert highest.get(point, 2.0) >= fidelity
        if is_broken:
            highest[point] = fidelity
    frame = results.get_dataframe()
    assert [flag is None for flag in frame["feasible"]] == (low & ~broken).tolist()
    assert results.get_best_result().config["x"] < 0.4
    assert results.feasibility.n_judged == int((~low | broken).sum())


@pytest.mark.parametrize("scheduler", ["hyperband", "median"])
def test_where_nearly_all_break_a_bound_early_the_others_alone_are_promoted(scheduler, tmp_path):
    results = fit(
        tmp_path, drawdown, {"x": rbt.uniform(0.7, 1.5)}, bundle="sample", search_alg="random", scheduler=scheduler,
        num_samples=20, min_fidelity=1 / 9, constraints=["max_drawdown > -0.4"],
    )  # fmt: skip
    table = results.table
    lowest = table.fidelity == table.fidelity.min()
    broken = set(table.points[lowest & (table.numbers("max_drawdown") <= -0.4), 0])
    assert 10 < len(broken) < lowest.sum()
    assert not broken & set(table.points[~lowest, 0])
    with pytest.raises(
        NoResultError, match=r"no trial is feasible: \d+ of \d+ trials are infeasible: `max_drawdown > -0\.4`"
    ):
        results.get_best_result()


def test_other_fidelities_judge_nothing_early(tmp_path):
    results = fit(
        tmp_path, drawdown, {"x": rbt.uniform(0, 1)}, bundle="sample", search_alg="random", scheduler="asha", num_samples=30,
        min_fidelity=1 / 9, fidelity="blocks", constraints=["max_drawdown > -0.4"],
    )  # fmt: skip
    table = results.table
    assert not table.violations[:, table.fidelity < 1].any()


def test_a_built_in_objective_computes_the_metrics_of_constraints(tmp_path):
    objective = rbt.objectives.sma_cross(metrics=("sharpe",))
    results = fit(
        tmp_path, objective, {"fast": rbt.randint(5, 15), "slow": rbt.randint(10, 20)}, bundle="sample", metric="sharpe",
        constraints=["fast < slow", "n_trades <= 400"],
    )  # fmt: skip
    frame = results.get_dataframe()
    assert (frame["config/fast"] < frame["config/slow"]).all()
    assert frame["feasible"].tolist() == (frame["n_trades"] <= 400).tolist()
    assert 0 < frame["feasible"].sum() < len(frame)


def test_a_definition_from_before_constraints_is_read(tmp_path):
    results = fit(tmp_path, constraints=["x < y"])
    plain = results.study.to_json()
    del plain["constraints"]
    assert type(results.study).from_json(plain) == results.study
    del plain["space"]["constraints"]
    assert type(results.study).from_json(plain).space.constraints == ()


@pytest.mark.parametrize(
    "damage", [{"constraints": ["total <"]}, {"constraints": [3]}, {"constraints": "x"}, {"constraints": 5}]
)
def test_a_damaged_definition_is_said_to_be_damaged(damage, tmp_path):
    study = fit(tmp_path, constraints=["total < 1"]).study
    with pytest.raises(JournalError, match="definition is damaged"):
        type(study).from_json({**study.to_json(), **damage})

"""A study that is extended equals one asked for at once, or continues by one rule, for any workers and after kill -9."""

import json
import os
import random
import signal
import sqlite3
from contextlib import closing

import pytest

import rbt_ray as rbt
from rbt_ray.errors import SettingError, StudyMismatchError
from rbt_ray.objectives import sma_cross
from rbt_ray.tuner.result_grid import ResultGrid
from tests.end_to_end.test_kill_resume import command, log_lines, prepared, start, wait_for

PLANE = {"x": rbt.uniform(-2, 2), "n": rbt.randint(0, 1000), "kind": rbt.choice(["a", "b"])}
LENGTHS = {"fast": rbt.randint(2, 40), "slow": rbt.randint(41, 90)}


def plane(params, data):
    bars = 0 if data is None else data.n_bars
    return {"score": (params["x"] - 1) ** 2 + params["n"] / 1000 + (params["kind"] == "a") + bars / 1e5}


def grid_score(params, data):
    return {"score": params["x"] * 10 + params["n"]}


def tuner(folder, name, *, objective=plane, space=PLANE, bundle=None, workers=2, run=(), **tune):
    return rbt.Tuner(
        objective,
        param_space=space,
        bundle=bundle,
        tune_config=rbt.TuneConfig(**{"metric": "score", "mode": "min", "seed": 3, **tune}),
        run_config=rbt.RunConfig(
            name, folder, **{"backend": "local", "num_workers": workers, "verbose": 0, "recheck": 0, **dict(run)}
        ),
    )


def extended(path, n, objective=plane, workers=2, **settings):
    run = rbt.RunConfig(backend="local", num_workers=workers, verbose=0, **settings)
    return rbt.Tuner.restore(path, objective, num_samples=n, run_config=run)


@pytest.mark.parametrize(
    ("search", "workers"),
    [
        pytest.param(search, workers, marks=[pytest.mark.slow] * (workers != usual))
        for search, usual in {"random": 4, "sobol": 1, "grid": 2}.items()
        for workers in (1, 2, 4)
    ],
)
def test_a_search_that_does_not_learn_gives_the_table_asked_for_at_once(tmp_path, search, workers):
    draw = random.Random(f"{search}{workers}")
    few, more, most = sorted(draw.sample(range(1, 120), 3))
    space = {**PLANE, "x": rbt.grid_search([-1, 0, 1])}
    points = [{"x": 1, "n": draw.randrange(1000), "kind": "b"}]
    settings = {"space": space, "search_alg": search, "points_to_evaluate": points, "workers": workers}
    once = tuner(tmp_path, "once", num_samples=most, **settings).fit()
    tuner(tmp_path, "parts", num_samples=few, **settings).fit()
    for n in (more, most):
        results = extended(tmp_path / "parts", n, workers=workers).fit()
        assert len(results) == n
    assert results.table_hash() == once.table_hash()
    assert results.study.num_samples == most


KINDS = {
    "bohb": {"search_alg": "bohb"},
    "rungs": {"search_alg": "bohb", "bundle": "sample"},
    "optuna": {"search_alg": "tpe"},
    "asha": {"search_alg": "random", "scheduler": "asha", "bundle": "sample"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_search_that_learns_continues_by_one_rule_for_any_workers(tmp_path, kind):
    tables = set()
    for workers in (1, 4):
        name = f"{kind}-{workers}"
        before = tuner(tmp_path, name, num_samples=30, workers=workers, **KINDS[kind]).fit()
        first = before.table_hash(), len(before)
        results = extended(tmp_path / name, 50, workers=workers).fit()
        points = {row.tobytes() for row in results.table.points}
        assert len(points) == 50
        assert (results.table.points[: first[1]] == before.table.points[: first[1]]).all()
        tables.add((*first, results.table_hash()))
    assert len(tables) == 1


class Interrupts:
    """Stops a study after some trials."""

    def __init__(self, n):
        self.n = n

    def on_trial_complete(self, result):
        self.n -= 1
        if self.n == 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize("kind", ["bohb", "rungs"])
def test_the_table_does_not_depend_on_when_the_study_was_extended(tmp_path, kind):
    tuner(tmp_path, "late", num_samples=30, **KINDS[kind]).fit()
    late = extended(tmp_path / "late", 60).fit()
    with pytest.raises(KeyboardInterrupt):
        tuner(tmp_path, "early", num_samples=30, run={"callbacks": [Interrupts(12)]}, **KINDS[kind]).fit()
    with pytest.raises(KeyboardInterrupt):
        extended(tmp_path / "early", 60, callbacks=[Interrupts(30)]).fit()
    early = extended(tmp_path / "early", 60).fit()
    assert early.table_hash() == late.table_hash()


def test_a_higher_cost_continues_where_the_lower_one_stopped(tmp_path):
    settings = {"search_alg": "bohb", "bundle": "sample", "num_samples": None}
    tuner(tmp_path, "s", max_cost=7.3, **settings).fit()
    results = tuner(tmp_path, "s", max_cost=14.6, run={"exist": "resume"}, **settings).fit()
    assert 13.6 < results.table.cost <= 14.6
    assert len(set(results.table.trials.tolist())) == len(results)


def test_the_proposal_beyond_a_cost_is_the_first_after_the_extension(tmp_path):
    """One trial at a time, a search at full fidelity is the one asked for at once."""
    settings = {"search_alg": "bohb", "num_samples": None, "max_pending": 1, "workers": 1, "run": {"exist": "resume"}}
    once = tuner(tmp_path, "once", max_cost=16.0, **settings).fit()
    tuner(tmp_path, "parts", max_cost=8.0, **settings).fit()
    assert tuner(tmp_path, "parts", max_cost=16.0, **settings).fit().table_hash() == once.table_hash()


def test_a_finer_grid_runs_only_what_is_new(tmp_path):
    (tmp_path / "log").touch()

    def counted(params, data):
        with (tmp_path / "log").open("a") as log:
            log.write(f"{params['x']} {params['n']}\n")
        return grid_score(params, data)

    def grid(xs):
        return {"x": rbt.grid_search(xs), "n": rbt.randint(0, 4)}

    def fit(xs, **settings):
        return tuner(
            tmp_path, "grid", objective=counted, space=grid(xs), search_alg="grid", run={"exist": "resume"}, **settings
        ).fit()

    first = fit([3, 1])
    rows = [(result.trial_id, result.config, result.metrics) for result in first]
    finer = fit([1, 2, 3, 4])
    finest = fit([0, 1, 2, 3, 4, 5])
    assert [(one.trial_id, one.config, one.metrics) for one in list(finest)[: len(rows)]] == rows
    ran = (tmp_path / "log").read_text().splitlines()
    assert sorted(ran) == sorted(f"{x} {n}" for x in range(6) for n in range(4))
    assert finest.get_best_result().config == {"x": 0, "n": 0}
    assert len(finer) == len(ResultGrid(tmp_path / "grid")) == 24  # read at once, it is the study as it is now
    again = rbt.Tuner.restore(tmp_path / "grid", counted).fit()
    assert again.table_hash() == finest.table_hash()
    assert len((tmp_path / "log").read_text().splitlines()) == 24
    with pytest.raises(StudyMismatchError, match=r"does not contain it: `x` takes one of 0, 1"):
        rbt.Tuner.restore(tmp_path / "grid", counted, param_space=grid([0, 1]))
    with pytest.raises(StudyMismatchError, match="is not the one the study 'grid' was begun with"):
        rbt.Tuner.restore(tmp_path / "grid", counted, param_space={"y": rbt.uniform(0, 1)})


def test_what_followed_the_search_is_made_for_the_extended_one(tmp_path):
    """Reviews, audit set, validation and verdict are those of a study asked for at once."""
    validation = rbt.WalkForward(train=4, test=1)
    settings = {
        "objective": sma_cross(),
        "space": LENGTHS,
        "bundle": "sample",
        "metric": "sharpe",
        "mode": "max",
        "holdout": 0.25,
        "validation": validation,
        "run": {"recheck": 3},
    }
    random_search = {**settings, "search_alg": "random"}
    once = tuner(tmp_path, "once", num_samples=90, **random_search).fit()
    before = tuner(tmp_path, "parts", num_samples=30, **random_search).fit()
    assert before.review is not None
    with pytest.raises(KeyboardInterrupt):
        extended(tmp_path / "parts", 90, sma_cross(), callbacks=[Interrupts(1)]).fit()
    stopped = ResultGrid(tmp_path / "parts")
    assert (stopped.review, stopped.is_done) == (None, False)
    with pytest.raises(rbt.errors.NoResultError, match="is not done"):
        stopped.walk_forward()
    results = extended(tmp_path / "parts", 90, sma_cross()).fit()
    assert results.is_done
    assert results.review.rows == once.review.rows
    assert repr(results.walk_forward().windows) == repr(once.walk_forward().windows)
    assert repr(results.verdict()) == repr(once.verdict())


def test_the_audit_set_and_the_searches_of_a_validation_are_made_again(tmp_path):
    settings = {"objective": sma_cross(), "space": LENGTHS, "bundle": "sample", "metric": "sharpe", "mode": "max"}
    learning = {**settings, "search_alg": "bohb", "audit": 6, "validation": rbt.WalkForward(train=8, test=2)}
    before = tuner(tmp_path, "s", num_samples=12, **learning).fit()
    assert len(before.audit) == 6
    first = before.walk_forward()
    with pytest.raises(KeyboardInterrupt):
        extended(tmp_path / "s", 40, sma_cross(), callbacks=[Interrupts(1)]).fit()
    assert ResultGrid(tmp_path / "s").audit is None
    results = extended(tmp_path / "s", 40, sma_cross()).fit()
    assert len(results.audit) == 6
    assert len(results.walk_forward().windows) == len(first.windows)
    searches = sorted((tmp_path / "s" / "extension-1" / "validation").iterdir())
    assert len(searches) == len(first.windows)
    assert all(len({row.tobytes() for row in ResultGrid(path).table.points}) == 40 for path in searches)


def test_kill_9_of_an_extension(tmp_path):
    (tmp_path / "once").mkdir()
    once = prepared(tmp_path / "once")
    code, out, _ = command(once, "run", "study.toml", "--json", "--workers", "2")
    assert code == 0
    place = prepared(tmp_path)
    assert command(place, "run", "study.toml", "--samples", "60", "--workers", "2")[0] == 0
    driver = start(place, "resume", "studies/study", "--samples", "300", "--workers", "2")
    wait_for(lambda: len(log_lines(place)) >= 150)
    os.kill(driver.pid, signal.SIGKILL)
    driver.communicate()
    resumed = json.loads(command(place, "resume", "studies/study", "--json")[1])
    assert resumed["n_trials"] == 300
    assert resumed["table_hash"] == json.loads(out)["table_hash"]
    code, out, _ = command(place, "run", "study.toml", "--exist", "resume", "--json")
    assert (code, json.loads(out)["table_hash"]) == (0, resumed["table_hash"])


def test_fewer_samples_are_refused(tmp_path):
    tuner(tmp_path, "s", search_alg="random", num_samples=20).fit()
    with pytest.raises(SettingError, match="the study 's' has num_samples=20, and num_samples=10 is lower"):
        extended(tmp_path / "s", 10)
    with pytest.raises(SettingError, match="`num_samples` is a whole number of at least 1"):
        extended(tmp_path / "s", 0)
    assert extended(tmp_path / "s", 20).fit().runs[0].reason == "done"


def test_only_extended_studies_have_the_format_that_earlier_versions_refuse(tmp_path):
    def recorded_format():
        with closing(sqlite3.connect(tmp_path / "s" / "journal.sqlite")) as file:
            return dict(file.execute("SELECT key, value FROM meta"))["format"]

    tuner(tmp_path, "s", search_alg="random", num_samples=5).fit()
    assert recorded_format() == "2"
    extended(tmp_path / "s", 5).fit()
    assert recorded_format() == "2"
    extended(tmp_path / "s", 8).fit()
    assert recorded_format() == "3"


@pytest.mark.parametrize("home", ["first", "second"])
def test_a_study_at_a_uri_is_extended_on_any_machine(tmp_path, monkeypatch, home):
    uri = f"file://{tmp_path}/mirror"
    monkeypatch.setenv("RBT_RAY_HOME", str(tmp_path / "first"))
    once = tuner(tmp_path, "once", search_alg="random", num_samples=30).fit()
    tuner(uri, "s", search_alg="random", num_samples=10).fit()
    monkeypatch.setenv("RBT_RAY_HOME", str(tmp_path / home))
    assert extended(f"{uri}/s", 20).fit().is_done
    monkeypatch.setenv("RBT_RAY_HOME", str(tmp_path / "first"))  # whose journal is not extended, or extended once
    assert rbt.Tuner.restore(f"{uri}/s", plane).study.num_samples == 20
    assert extended(f"{uri}/s", 30).fit().table_hash() == once.table_hash()

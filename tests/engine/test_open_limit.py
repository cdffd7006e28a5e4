"""Without `max_pending`, the number of open trials is a function of the number of results."""

import importlib
import shutil
import sys
import warnings
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rbt_ray as rbt
from rbt_ray.engine.frontier import FEWEST, MOST, open_limit
from rbt_ray.search.registry import make_searcher
from rbt_ray.study.study import Study
from rbt_ray.tuner.result_grid import ResultGrid

OLD = Path(__file__).parent.parent / "data" / "journals" / "open-32"
OLD_HASH = "e3b3a9b63be44ffdafdabed69a17c70b5a9ea884d9c96033d8addc866b54263d"
SPACE = {"x": rbt.uniform(-2, 2), "y": rbt.uniform(-2, 2), "n": rbt.randint(0, 1000)}
FIRST = 10
"""The first design of the model of "auto" and of Optuna's TPE."""


def plane(params, data):
    return {"score": (params["x"] - 1) ** 2 + abs(params["y"] + params["x"]) + params["n"] / 1000}


def noisy(params, data):
    return {"score": params["x"] ** 2 + float(data.rng.normal()) / data.n_bars}


def fit(folder, name, *, objective=plane, bundle=None, workers=2, backend="local", run=None, **settings):
    tune = {"metric": "score", "mode": "min", "num_samples": 60, "seed": 3, **settings}
    return rbt.Tuner(
        objective,
        param_space=SPACE,
        bundle=bundle,
        tune_config=rbt.TuneConfig(**tune),
        run_config=rbt.RunConfig(
            name, folder, backend=backend, num_workers=workers, recheck=0, **{"verbose": 0, **(run or {})}
        ),
    ).fit()


class Watched:
    """A searcher that records how many trials are open when it proposes one, and how many results it has."""

    def __init__(self, n, n_first=0):
        self.left, self.n_open, self.n_results, self.seen = n, 0, 0, []
        self.n_first = n_first

    @property
    def done(self):
        return self.left == 0

    def ask(self, n):
        if not self.left:
            return []
        self.left -= 1
        self.n_open += 1
        self.seen.append((self.n_results, self.n_open))
        return [rbt.Proposal({"x": 0.001 * self.left, "y": 0.0, "n": self.left})]

    def tell(self, results):
        self.n_open -= len(results)
        self.n_results += len(results)


@given(n_results=st.integers(0, 10**6), n_first=st.integers(0, 100))
def test_the_limit_stays_within_its_bounds_and_delays_no_first_proposal(n_results, n_first):
    limit = open_limit(n_results, n_first)
    assert FEWEST <= limit <= MOST
    assert n_results + limit >= min(n_first, MOST)
    assert open_limit(max(n_results, 8 * MOST), n_first) == MOST


def test_the_first_proposals_change_nothing_that_the_model_proposes():
    """Those that may be open before the first model needs their results are those that would follow anyway."""
    asked_with, asked_without = 0, 0
    for n_results in range(FIRST):
        asked_with = max(asked_with, n_results + open_limit(n_results, FIRST))
        asked_without = max(asked_without, n_results + open_limit(n_results, 0))
    assert asked_with == asked_without == FIRST + FEWEST - 1


@pytest.mark.parametrize("n_first", [0, FIRST])
def test_a_study_keeps_as_many_trials_open_as_its_results_allow(tmp_path, n_first):
    watched = Watched(400, n_first)
    results = fit(tmp_path, "watched", search_alg=watched, num_samples=None)
    assert len(results) == 400
    most = {}
    for n_results, n_open in watched.seen:
        most[n_results] = max(n_open, most.get(n_results, 0))
    assert all(most[n] == open_limit(n, n_first) for n in most)
    assert max(most.values()) == MOST
    assert most[0] == max(FEWEST, n_first + FEWEST - 1)
    assert results.study.max_pending is None


def test_a_number_is_obeyed(tmp_path):
    watched = Watched(60)
    fit(tmp_path, "watched", search_alg=watched, num_samples=None, max_pending=7)
    assert max(n_open for _, n_open in watched.seen) == 7
    assert all(n_open == min(7, 60 - n_results) for n_results, n_open in watched.seen[7:])


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"bundle": "sample", "objective": noisy},
        pytest.param({"search_alg": "tpe", "num_samples": 25}, marks=pytest.mark.slow),
        pytest.param({"search_alg": "bohb"}, marks=pytest.mark.slow),
    ],
    ids=["auto", "auto over fidelities", "tpe", "bohb"],
)
def test_the_table_is_the_same_for_any_number_of_workers(tmp_path, settings):
    hashes = {fit(tmp_path, f"w{workers}", workers=workers, **settings).table_hash() for workers in (1, 2, 4)}
    assert len(hashes) == 1


def test_an_interrupted_study_ends_in_the_same_table(tmp_path):
    class Interrupts:
        n = 0

        def on_trial_complete(self, result):
            self.n += 1
            if self.n == 33:
                raise KeyboardInterrupt

    whole = fit(tmp_path, "whole")
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, "parts", run={"callbacks": [Interrupts()]})
    assert len(ResultGrid(tmp_path / "parts")) < 60
    resumed = rbt.Tuner.restore(
        tmp_path / "parts", plane, run_config=rbt.RunConfig(backend="local", num_workers=1, verbose=0)
    ).fit()
    assert resumed.table_hash() == whole.table_hash()


def test_a_study_recorded_with_32_open_trials_resumes_as_recorded(tmp_path, monkeypatch):
    shutil.copytree(OLD, tmp_path / "open-32")
    monkeypatch.syspath_prepend(tmp_path / "open-32")
    begun = ResultGrid(tmp_path / "open-32")
    assert len(begun) < 100
    assert begun.study.max_pending == 32
    objective = importlib.import_module("open_32_plane").plane
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the objective's changes between versions of Python
            results = rbt.Tuner.restore(
                tmp_path / "open-32",
                objective,
                run_config=rbt.RunConfig(backend="local", num_workers=2, verbose=0),
                accept_changes=True,
            ).fit()
    finally:
        sys.modules.pop("open_32_plane", None)
    assert len(results) == 100
    assert results.table_hash() == OLD_HASH


def test_the_rule_is_part_of_the_definition(tmp_path):
    study = fit(tmp_path, "s", num_samples=5).study
    again = Study.from_json(study.to_json())
    assert again.max_pending is None
    assert make_searcher(again).n_first == FIRST
    assert fit(tmp_path, "grid", search_alg="random", num_samples=5).study.max_pending == 2**17


def test_one_line_says_which_workers_idle_and_what_to_set(tmp_path, capfd):
    fit(tmp_path, "six", num_samples=3, workers=6, run={"verbose": 1})
    lines = [line for line in capfd.readouterr().err.splitlines() if "max_pending" in line]
    assert len(lines) == 1
    assert "some of the 6 workers will idle until there are 48 results" in lines[0]
    assert "`max_pending=12`" in lines[0]
    fit(tmp_path, "four", num_samples=3, workers=4, run={"verbose": 1})
    fit(tmp_path, "given", num_samples=3, workers=6, max_pending=12, run={"verbose": 1})
    fit(tmp_path, "random", num_samples=3, workers=6, search_alg="random", run={"verbose": 1})
    assert "max_pending" not in capfd.readouterr().err


@pytest.mark.slow
def test_the_table_is_the_same_on_ray(tmp_path):
    local = fit(tmp_path, "local", bundle="sample", objective=noisy)
    on_ray = fit(tmp_path, "ray", bundle="sample", objective=noisy, backend="ray", workers=3)
    assert on_ray.table_hash() == local.table_hash()

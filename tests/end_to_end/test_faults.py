"""Trials that do no harm complete once; the others have their status and reason."""

import ctypes
import os
import signal
import threading
from collections import Counter

import numpy as np
import pytest

import rbt_ray as rbt
from tests import one_ray


def hostile(params, data):
    n = params["n"]
    if n == 20:
        ctypes.string_at(0)
    if n == 60:
        os._exit(9)
    if n == 100:
        while True:
            signal.pause()
    if n == 140:
        kept = []
        while True:
            kept.append(bytearray(2**24))
    if n == 180:
        raise KeyError("a plain error")
    return {"score": float(n)}


@pytest.fixture(scope="module", params=["local", pytest.param("ray", marks=pytest.mark.slow)])
def results(request, tmp_path_factory):
    if request.param == "ray":
        one_ray.keep()
    results = rbt.Tuner(
        hostile,
        param_space={"n": rbt.randint(0, 200)},
        # Few trials are open at once, so that a late batch is halved once and not six times.
        tune_config=rbt.TuneConfig(metric="score", search_alg="grid", max_pending=4),
        run_config=rbt.RunConfig(
            name="hostile",
            storage_path=tmp_path_factory.mktemp("studies"),
            backend=request.param,
            num_workers=2,
            # Long enough to reach the memory limit on a machine that is busy, and for Ray to report a process that has ended.
            trial_timeout_s=3.0 if request.param == "local" else 20.0,
            worker_memory_limit=400 * 2**20,
            verbose=0,
        ),
    ).fit()
    rbt.shutdown()
    return results


def test_every_trial_is_recorded_once(results):
    assert [result.trial_id for result in results] == list(range(200))
    assert [result.config["n"] for result in results] == list(range(200))


def test_every_innocent_trial_completed(results):
    guilty = {20, 60, 100, 140, 180}
    assert {r.config["n"] for r in results if r.status != "COMPLETED"} == guilty
    assert all(r.metrics == {"score": float(r.config["n"])} for r in results if r.config["n"] not in guilty)


def test_the_guilty_carry_status_and_reason(results):
    by_n = {result.config["n"]: result for result in results}
    assert by_n[20].status == by_n[60].status == by_n[140].status == "CRASHED"
    assert "SIGSEGV" in by_n[20].error
    assert "exited with code 9" in by_n[60].error
    assert by_n[100].status == "TIMED_OUT"
    assert "trial_timeout_s" in by_n[100].error
    assert "out of memory" in by_n[140].error
    assert by_n[180].status == "FAILED"
    assert "KeyError: 'a plain error'" in by_n[180].error
    assert "in hostile" in by_n[180].error
    assert all(result.metrics == {} for result in results if result.status != "COMPLETED")


def test_the_grid_counts_them(results):
    assert results.status_counts() == {"COMPLETED": 195, "FAILED": 1, "CRASHED": 3, "TIMED_OUT": 1}
    assert (results.num_errors, results.num_terminated, len(results.errors)) == (5, 195, 5)
    frame = results.get_dataframe()
    assert frame["error"].notna().sum() == 5
    assert Counter(frame["status"]) == Counter(r.status for r in results)
    assert results.get_best_result().config == {"n": 199}


ODD = {
    "nan": (lambda: {"score": float("nan")}, "the metric 'score' is nan"),
    "inf": (lambda: float("inf"), "is inf, not a finite number"),
    "missing": (lambda: {"other": 1.0}, "returned no 'score'"),
    "list": (lambda: [1, 2], "return a number, a dict of metrics or a Backtest"),
    "lock": (lambda: threading.Lock(), "return a number, a dict of metrics or a Backtest"),
    "object in a dict": (lambda: {"score": 1.0, "lock": threading.Lock()}, "for 'lock'"),
    "exit": (lambda: __import__("sys").exit(4), "SystemExit: 4"),
    "unpicklable error": (lambda: (_ for _ in ()).throw(type("Odd", (Exception,), {"x": threading.Lock()})()), "Odd"),
    "bad message": (lambda: (_ for _ in ()).throw(Mute()), "Mute"),
    "fine": (lambda: 1, None),
}


class Mute(Exception):
    def __str__(self):
        raise RuntimeError("no message")


def test_odd_answers_fail_alone_with_a_sentence(tmp_path):
    def odd(params, data):
        return ODD[params["case"]][0]()

    results = rbt.Tuner(
        odd,
        param_space={"case": rbt.grid_search(list(ODD))},
        tune_config=rbt.TuneConfig(metric="score"),
        run_config=rbt.RunConfig(name="odd", storage_path=tmp_path, num_workers=1, verbose=0),
    ).fit()
    for result in results:
        expected = ODD[result.config["case"]][1]
        assert result.status == ("COMPLETED" if expected is None else "FAILED"), result
        if expected is not None:
            assert expected in result.error


def test_a_batched_objective_fails_only_for_the_guilty(tmp_path):
    @rbt.batched
    def scores(params, data):
        if any(p["n"] == 13 for p in params):
            raise ValueError("unlucky")
        return [p["n"] for p in params]

    results = rbt.Tuner(
        scores,
        param_space={"n": rbt.randint(0, 50)},
        tune_config=rbt.TuneConfig(metric="score"),
        run_config=rbt.RunConfig(name="batched", storage_path=tmp_path, num_workers=2, verbose=0),
    ).fit()
    assert [r.config["n"] for r in results if r.status == "FAILED"] == [13]
    assert [r.metrics["score"] for r in results if r.status == "COMPLETED"] == [float(n) for n in range(50) if n != 13]


def test_max_failures_stops_the_study(tmp_path):
    def fails(params, data):
        raise ValueError(params["n"])

    results = rbt.Tuner(
        fails,
        param_space={"n": rbt.randint(0, 100_000)},
        tune_config=rbt.TuneConfig(metric="score", search_alg="grid"),
        run_config=rbt.RunConfig(name="stop", storage_path=tmp_path, num_workers=2, max_failures=20, verbose=0),
    ).fit()
    assert results.runs[-1].reason == "max_failures"
    assert 20 < len(results) < 100_000
    with pytest.raises(rbt.errors.NoResultError, match="no trial completed"):
        results.get_best_result()


def test_a_study_stopped_by_its_time_budget_can_be_resumed(tmp_path):
    def slow(params, data):
        import time

        time.sleep(0.01)
        return float(params["n"])

    def tuner(**kw):
        return rbt.Tuner(
            slow,
            param_space={"n": rbt.randint(0, 150)},
            tune_config=rbt.TuneConfig(metric="score", search_alg="grid", **kw),
            run_config=rbt.RunConfig(name=f"t{len(kw)}", storage_path=tmp_path, num_workers=2, verbose=0),
        )

    stopped = tuner(time_budget_s=0.3).fit()
    assert stopped.runs[-1].reason == "time_budget"
    assert 0 < len(stopped) < 150
    assert not stopped.is_done
    while not (whole := rbt.Tuner.restore(tmp_path / "t1", slow, run_config=rbt.RunConfig(verbose=0)).fit()).is_done:
        assert whole.runs[-1].reason == "time_budget"  # each run has the budget of the study
    assert whole.table_hash() == tuner().fit().table_hash()


def test_a_resumed_study_keeps_its_time_out(tmp_path):
    def loops(params, data):
        while params["n"] == 1:
            pass
        return float(params["n"])

    class Stop:
        def on_trial_complete(self, result):
            raise InterruptedError

    with pytest.raises(InterruptedError):
        rbt.Tuner(
            loops,
            param_space={"n": rbt.randint(0, 3)},
            tune_config=rbt.TuneConfig(metric="score", search_alg="grid"),
            run_config=rbt.RunConfig(
                "loops", tmp_path, num_workers=1, trial_timeout_s=0.5, verbose=0, backend="local", callbacks=[Stop()]
            ),
        ).fit()
    run_config = rbt.RunConfig(num_workers=1, verbose=0, backend="local")
    results = rbt.Tuner.restore(tmp_path / "loops", loops, run_config=run_config).fit()
    assert [result.status for result in results] == ["COMPLETED", "TIMED_OUT", "COMPLETED"]


def fit(objective, folder, name="study", space=None, **search):
    return rbt.Tuner(
        objective,
        param_space=space or {"n": rbt.randint(0, 50)},
        tune_config=rbt.TuneConfig(**{"metric": "score", "search_alg": "grid", **search}),
        run_config=rbt.RunConfig(name=name, storage_path=folder, num_workers=2, verbose=0),
    ).fit()


def test_a_batched_objective_that_leaves_one_out_fails_for_that_one(tmp_path):
    @rbt.batched
    def forgetful(params, data):
        return [p["n"] for p in params if p["n"] != 13]

    results = fit(forgetful, tmp_path)
    assert [r.config["n"] for r in results if r.status == "FAILED"] == [13]
    assert "one result for each of its 1 params; got 0 results" in results.errors[0]


def test_an_int_that_no_float_can_hold_fails_alone(tmp_path):
    results = fit(lambda params, data: {"score": 1, "huge": 10 ** (100 * params["n"])}, tmp_path)
    assert [r.config["n"] for r in results if r.status == "COMPLETED"] == [0, 1, 2, 3]
    assert "metrics fit into a float" in results.errors[-1]


def test_an_endless_error_text_is_kept_in_part(tmp_path):
    def verbose(params, data):
        raise ValueError("begins" + "x" * 10**6 + "ends")

    (error,) = fit(verbose, tmp_path, space={"n": rbt.randint(0, 1)}).errors
    assert len(error) < 30_000
    assert "begins" in error
    assert error.endswith("ends")


def test_a_file_in_place_of_the_storage_folder_is_a_sentence(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(rbt.errors.SettingError, match="no study can be kept in"):
        fit(lambda params, data: 1.0, tmp_path / "file")


def test_a_study_is_not_overwritten_by_a_tuner_made_before_it(tmp_path):
    def tuner():
        return rbt.Tuner(
            lambda params, data: 1.0,
            param_space={"n": rbt.randint(0, 5)},
            tune_config=rbt.TuneConfig(metric="score"),
            run_config=rbt.RunConfig(name="same", storage_path=tmp_path, num_workers=2, verbose=0),
        )

    first, second = tuner(), tuner()
    results = first.fit()
    with pytest.raises(rbt.errors.StudyExistsError, match="restore"):
        second.fit()
    assert len(results) == len(first.fit()) == 5


def test_points_to_evaluate_may_be_numpy_numbers(tmp_path):
    results = fit(lambda p, d: p["n"], tmp_path, search_alg="random", points_to_evaluate=[{"n": np.int64(3)}])
    assert results[0].config == {"n": 3}


def test_ctrl_c_during_the_review_leaves_it_for_later(tmp_path):
    def objective(params, data):
        return rbt.backtest(data, weights=(data.sma("close", params["n"]) < data.close) / data.n_symbols)

    class PressCtrlC:
        def on_trial_complete(self, result):
            if result.trial_id == 3:
                os.kill(os.getpid(), signal.SIGINT)

    def run(**kw):
        return rbt.RunConfig(name="look", storage_path=tmp_path, num_workers=2, verbose=0, **kw)

    tuner = rbt.Tuner(
        objective,
        param_space={"n": rbt.grid_search([5, 10, 20, 40])},
        bundle="sample",
        tune_config=rbt.TuneConfig(holdout=0.25),
        run_config=run(callbacks=[PressCtrlC()]),
    )
    with pytest.raises(rbt.errors.StudyInterrupted, match="4 trials recorded"):
        tuner.fit()
    results = rbt.Tuner.restore(tmp_path / "look", objective, run_config=run()).fit()
    assert [run.reason for run in results.runs] == ["interrupted", "done"]
    assert [row["error"] for row in results.review.rows] == [None] * 4

"""Innocent trials finish once; the guilty carry their status and reason."""

import ctypes
import os
import threading
from collections import Counter

import pytest

import rbt_ray as rbt


def hostile(params, data):
    n = params["n"]
    if n == 20:
        ctypes.string_at(0)
    if n == 60:
        os._exit(9)
    if n == 100:
        while True:
            pass
    if n == 140:
        kept = []
        while True:
            kept.append(bytearray(2**24))
    if n == 180:
        raise KeyError("a plain error")
    return {"score": float(n)}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return rbt.Tuner(
        hostile,
        param_space={"n": rbt.randint(0, 200)},
        tune_config=rbt.TuneConfig(metric="score", search_alg="grid"),
        run_config=rbt.RunConfig(
            name="hostile",
            storage_path=tmp_path_factory.mktemp("studies"),
            num_workers=2,
            trial_timeout_s=1.0,
            worker_memory_limit=700 * 2**20,
            verbose=0,
        ),
    ).fit()


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


def test_a_time_budget_stops_and_the_study_goes_on_later(tmp_path):
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
    whole = rbt.Tuner.restore(tmp_path / "t1", slow, run_config=rbt.RunConfig(verbose=0)).fit()
    assert whole.is_done
    assert whole.table_hash() == tuner().fit().table_hash()

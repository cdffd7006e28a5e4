"""Studies whose objectives change their worker: its clocks in all modules, as freezegun does, and the messages it sends."""

import itertools
import math
import os
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

import rbt_ray as rbt
from rbt_ray.recordable import LATEST_S
from rbt_ray.store.journal import Finished, Journal
from rbt_ray.types import Checkpoint

N = 24
CLOCKS = ("time", "perf_counter", "thread_time", "monotonic", "process_time")


def backwards():
    ticks = itertools.count()
    return lambda: 1e9 - next(ticks)


ODD = {
    "frozen": lambda: lambda: 1_326_511_294.0,
    "backwards": backwards,
    "nan": lambda: lambda: math.nan,
    "beyond": lambda: itertools.cycle([0.0, 1e300]).__next__,
    "numpy": lambda: lambda: np.float32(1e30),
}


def replace_clocks(clock, *, everywhere):
    """Replaces the clocks in `time` and in all modules of rbt_ray that imported one."""
    real = {id(getattr(time, name)): name for name in CLOCKS}
    for module in list(sys.modules.values()) if everywhere else [time]:
        if module is time or getattr(module, "__name__", "").startswith("rbt_ray"):
            for name, value in list(vars(module).items()):
                if id(value) in real:
                    setattr(module, name, clock)


def study(folder, objective, name, backend="local", n=N):
    return rbt.Tuner(
        objective,
        param_space={"n": rbt.randint(0, n)},
        tune_config=rbt.TuneConfig(metric="score", search_alg="grid", seed=1),
        run_config=rbt.RunConfig(
            name=name, storage_path=folder, num_workers=1, backend=backend, verbose=0, max_retries=0
        ),
    )


def times_of(folder):
    journal = Journal(folder)
    found = [(one.started, one.cpu_s, one.wall_s) for one in journal.read("finished") if isinstance(one, Finished)]
    journal.close()
    return np.array(found)


def calm(params, data):
    return {"score": float(params["n"])}


@pytest.fixture(scope="module")
def calm_hash(tmp_path_factory):
    return study(tmp_path_factory.mktemp("calm"), calm, "calm").fit().table_hash()


@pytest.fixture(autouse=True, scope="module")
def workers():
    """Its workers end with this module."""
    yield
    rbt.shutdown()


@pytest.mark.parametrize("what", ODD)
def test_a_study_with_odd_clocks_in_its_worker_is_recorded_and_read(tmp_path, what, calm_hash):
    clock = ODD[what]()

    def objective(params, data):
        if params["n"] == 5:
            replace_clocks(clock, everywhere=True)
        return {"score": float(params["n"])}

    try:
        results = study(tmp_path, objective, "odd").fit()
    finally:
        rbt.shutdown()
    assert results.num_terminated == N
    assert results.table_hash() == calm_hash
    times = times_of(results.path)
    assert ((times >= 0) & (times <= LATEST_S)).all()
    assert rbt.Tuner.restore(results.path, objective).fit().get_best_result().metrics["score"] == N - 1
    results.report(tmp_path / "report.html")


def test_clocks_replaced_in_the_module_time_leave_no_mark(tmp_path):
    def objective(params, data):
        replace_clocks(lambda: "noon", everywhere=False)
        return {"score": float(params["n"])}

    try:
        before = time.time()
        results = study(tmp_path, objective, "texts").fit()
        after = time.time()
    finally:
        rbt.shutdown()
    assert results.num_terminated == N
    started, _, wall_s = times_of(results.path).T
    assert ((started >= before) & (started <= after)).all()
    assert ((wall_s > 0) & (wall_s <= after - before)).all()


def test_batches_do_not_grow_because_the_workers_clock_stands_still(tmp_path):
    def objective(params, data):
        replace_clocks(lambda: 0.0, everywhere=True)
        time.sleep(0.02)
        return {"score": float(params["n"])}

    try:
        results = study(tmp_path, objective, "still", n=60).fit()
    finally:
        rbt.shutdown()
    journal = Journal(results.path)
    sizes = [len(one.trials) for one in journal.read("finished") if isinstance(one, Finished)]
    journal.close()
    assert sum(sizes) == 60
    assert max(sizes) <= 10  # of 0.02 s each, what a batch of the local pool should take: 0.2 s


@pytest.mark.parametrize("now", [-1e9, 1e300, math.nan, "noon"])
def test_a_driver_whose_clock_is_odd_records_a_study_that_opens(tmp_path, now, monkeypatch):
    def objective(params, data):
        if params["n"] == 5:
            os._exit(3)
        return {"score": float(params["n"])}

    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: now)
        results = study(tmp_path, objective, "odd", n=6).fit()
    assert [result.status for result in results] == ["COMPLETED"] * 5 + ["CRASHED"]
    assert rbt.ResultGrid(results.path).is_done
    times = times_of(results.path)
    assert ((times >= 0) & (times <= LATEST_S)).all()


SPOILT = {
    "lengths": lambda found: replace(found, answer=replace(found.answer, status=found.answer.status[:0])),
    "dtype": lambda found: replace(found, answer=replace(found.answer, status=found.answer.status.astype("M8[s]"))),
    "nothing": lambda found: replace(found, answer=None),
    "errors": lambda found: replace(found, answer=replace(found.answer, errors={"x": 3, None: "\ud800"})),
    "checkpoints": lambda found: replace(found, answer=replace(found.answer, checkpoints={0: Checkpoint(-1, "text")})),
    "number": lambda found: replace(found, number=10**9),
    "reason": lambda found: replace(found, lost=["no", "text"]),
    "message": lambda found: [found],
}


def spoil(change):
    """Changes the messages that this worker's own code sends from now on."""
    from rbt_ray.pool import worker

    real = worker.Returned
    worker.Returned = lambda **parts: change(real(**parts))


SLOW = {"lengths", "nothing", "dtype", "checkpoints"}
CASES = [pytest.param("local", what, marks=pytest.mark.slow if what in SLOW else ()) for what in SPOILT]
CASES += [pytest.param("ray", what, marks=pytest.mark.slow) for what in ("errors", "number", "message")]


@pytest.mark.parametrize(("backend", "what"), CASES)
def test_a_worker_that_answers_nonsense_costs_the_trial_that_made_it_and_no_other(tmp_path, backend, what):
    change = SPOILT[what]

    def objective(params, data):
        if params["n"] == 5:
            spoil(change)
        return {"score": float(params["n"])}

    results = study(tmp_path, objective, what, backend).fit()
    by_status = {result.config["n"]: (result.status, result.error) for result in results}
    crashed = {n: error for n, (status, error) in by_status.items() if status != "COMPLETED"}
    assert list(crashed) == [5]
    assert by_status[5][0] == "CRASHED"
    assert "it sent an answer that cannot be recorded" in crashed[5]
    assert len(results) == N

"""What every worker pool is held to, under every way of starting processes."""

import os
import signal
import sys
import time

import numpy as np
import psutil
import pytest

import rbt_ray as rbt
from rbt_ray.errors import ObjectiveError, SettingError
from rbt_ray.pool.local_pool import LocalPool
from rbt_ray.pool.worker import Worker
from tests.pools import batch, collect, points, polynomial, task

START_METHODS = ["forkserver", "spawn", "fork"] if sys.platform != "win32" else ["spawn"]


@pytest.fixture(scope="module", params=START_METHODS)
def pool(request):
    pool = LocalPool(2, start_method=request.param)
    yield pool
    pool.close()


def test_outcomes_equal_those_of_a_worker_in_this_process(pool):
    job, rows = task(polynomial), points(50)
    pool.submit(batch(1, job, rows[:30]))
    pool.submit(batch(2, job, rows[30:], first=30))
    answers = collect(pool, 2)
    here = Worker("here")
    here.load(job)
    for number, part in ((1, rows[:30]), (2, rows[30:])):
        expected = here.run(batch(number, job, part)).outcomes
        found = answers[number].outcomes
        assert found.metrics["score"].values.tolist() == expected.metrics["score"].values.tolist()
        assert answers[number].lost is None
    assert len({answers[n].outcomes.metrics["pid"].values[0] for n in (1, 2)}) == 2
    assert os.getpid() not in answers[1].outcomes.metrics["pid"].values


def test_a_worker_outlives_batches_and_studies(pool):
    def count(params, data):
        import builtins

        builtins.calls = getattr(builtins, "calls", 0) + 1
        return {"score": builtins.calls, "pid": os.getpid()}

    for number in range(1, 4):
        pool.submit(batch(number, task(count), points(5)))
        answer = collect(pool, 1)[number].outcomes
        pid, calls = answer.metrics["pid"].values[-1], answer.metrics["score"].values[-1]
        if number == 1:
            first_pid, first_calls = pid, calls
    assert pid == first_pid
    assert calls == first_calls + 10


def test_a_death_costs_the_batch_it_held_and_no_other(pool):
    def deadly(params, data):
        if params["n"] == 66:
            os.kill(os.getpid(), signal.SIGKILL)
        return params["x"]

    job = task(deadly)
    safe, fatal = points(5), points(5)
    safe[:, 1], fatal[:, 1] = 1, [1, 2, 66, 3, 4]
    pool.submit(batch(1, job, fatal))
    pool.submit(batch(2, job, safe))
    answers = collect(pool, 2)
    assert answers[1].lost == "killed by signal 9 (SIGKILL)"
    assert answers[2].outcomes.status.tolist() == [0] * 5
    pool.submit(batch(3, job, safe))
    pool.submit(batch(4, job, safe))
    assert all(answer.lost is None for answer in collect(pool, 2).values())


def test_how_a_worker_ended_is_told(pool):
    def leave(params, data):
        os._exit(3)

    pool.submit(batch(1, task(leave), points(1)))
    assert collect(pool, 1)[1].lost == "exited with code 3"


def test_cancel_ends_an_endless_batch(pool):
    def endless(params, data):
        while True:
            pass

    pool.submit(batch(1, task(endless), points(1)))
    assert pool.wait(0.2) == []
    pool.cancel(1, "late")
    assert collect(pool, 1)[1].lost == "late"


def test_a_write_into_the_bundle_raises_and_the_next_trial_sees_clean_data(pool):
    bundle = rbt.load_bundle("sample")

    def spoil(params, data):
        before = float(data.close[0, 0])
        try:
            data.close[0, 0] = -1.0
        except ValueError:
            return {"score": before, "refused": 1}
        return {"score": before, "refused": 0}

    pool.submit(batch(1, task(spoil, pool, bundle), points(2)))
    metrics = collect(pool, 1)[1].outcomes.metrics
    assert metrics["refused"].values.tolist() == [1, 1]
    assert metrics["score"].values.tolist() == [bundle.close[0, 0]] * 2


def test_an_objective_whose_module_is_missing_is_an_error_with_its_name():
    class Lost:
        def __reduce__(self):
            return (__import__, ("a_module_that_is_not_there",))

        def __call__(self, params, data):
            return 0.0

    broken = LocalPool(1)
    try:
        broken.submit(batch(1, task(Lost()), points(1)))
        with pytest.raises(ObjectiveError, match="a_module_that_is_not_there"):
            broken.wait(30)
    finally:
        broken.close()


def test_a_task_that_cannot_be_sent_says_so():
    import threading

    lock = threading.Lock()

    def holds_a_lock(params, data):
        with lock:
            return 0.0

    with pytest.raises(ObjectiveError, match="cannot be sent to the workers"):
        task(holds_a_lock)


def test_what_a_worker_prints_stays_off_stdout(tmp_path):
    script = tmp_path / "talk.py"
    script.write_text(
        "import rbt_ray as rbt\n"
        "def talk(params, data):\n"
        "    print('from the objective')\n"
        "    return params['x']\n"
        "results = rbt.Tuner(talk, param_space={'x': rbt.grid_search([1.0, 2.0])},\n"
        f"    run_config=rbt.RunConfig(name='talk', storage_path={str(tmp_path)!r}, verbose=0)).fit()\n"
        "print(len(results))\n"
    )
    import subprocess

    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "2\n"
    assert "from the objective" in done.stderr


def test_memory_above_the_limit_ends_the_worker_with_that_reason():
    def hog(params, data):
        kept = []
        while True:
            kept.append(np.ones(4 * 2**20))

    pool = LocalPool(1, memory_limit=600 * 2**20)
    try:
        pool.submit(batch(1, task(hog), points(1)))
        assert collect(pool, 1)[1].lost.startswith("out of memory: the worker held")
    finally:
        pool.close()


def test_workers_are_recycled():
    pool = LocalPool(1, recycle_after=5)
    try:
        pids = []
        for number in range(4):
            pool.submit(batch(number, task(polynomial), points(3)))
            pids.append(int(collect(pool, 1)[number].outcomes.metrics["pid"].values[0]))
        assert pids[0] == pids[1] != pids[2] == pids[3]
    finally:
        pool.close()


def open_files():
    return psutil.Process().num_fds()


def test_close_leaves_no_process_and_no_descriptor():
    before = open_files()
    for _ in range(2):
        pool = LocalPool(2, start_method="spawn")
        while len(pool.pids()) < 2:
            time.sleep(0.01)
        pids = pool.pids()
        pool.close()
        assert not any(psutil.pid_exists(pid) for pid in pids)
    assert open_files() <= before + 1  # multiprocessing's resource tracker


def test_a_worker_that_died_idle_costs_no_batch(pool):
    job = task(polynomial)
    pool.submit(batch(1, job, points(2)))
    collect(pool, 1)
    processes = [psutil.Process(pid) for pid in pool.pids()]
    for process in processes:
        process.kill()
    psutil.wait_procs(processes, timeout=10)
    for number in (2, 3):
        pool.submit(batch(number, job, points(2)))
    assert all(answer.lost is None for answer in collect(pool, 2).values())


class _Loads:
    """An objective that calls a function where it is unpacked."""

    def __init__(self, call, *arguments):
        self._how = call, arguments

    def __reduce__(self):
        return self._how

    def __call__(self, params, data):
        return 0.0


def test_an_objective_that_ends_whoever_loads_it_is_an_error_and_no_trial_s_fault():
    pool = LocalPool(1)
    try:
        pool.submit(batch(1, task(_Loads(os._exit, 5)), points(1)))
        with pytest.raises(ObjectiveError, match="while they load the objective"):
            collect(pool, 1)
    finally:
        pool.close()


def test_cancel_ends_a_worker_that_is_loading_for_ever(pool):
    pool.submit(batch(1, task(_Loads(time.sleep, 300)), points(1)))
    assert pool.wait(0.3) == []
    pool.cancel(1, "the study was stopped")
    assert collect(pool, 1)[1].lost == "the study was stopped"


def test_a_memory_limit_below_a_fresh_worker_is_refused():
    pool = LocalPool(1, memory_limit=8 * 2**20)
    try:
        pool.submit(batch(1, task(polynomial), points(1)))
        with pytest.raises(SettingError, match="a worker that has done nothing yet holds"):
            collect(pool, 1)
    finally:
        pool.close()


def test_a_worker_whose_child_outlives_it_is_noticed():
    def leave_a_child(params, data):
        if os.fork() == 0:
            time.sleep(3)
            os._exit(0)
        os._exit(4)

    pool = LocalPool(1, start_method="forkserver")
    try:
        pool.submit(batch(1, task(leave_a_child), points(1)))
        started = time.monotonic()
        assert collect(pool, 1)[1].lost == "exited with code 4"
        assert time.monotonic() - started < 3
    finally:
        pool.close()

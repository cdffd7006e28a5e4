"""Tests of the local pool only: pipes, processes and their descriptors."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

import rbt_ray as rbt
from rbt_ray.pool.job import Task
from rbt_ray.pool.local.pool import LocalPool
from rbt_ray.study.space import Space
from tests.pools import batch, collect, points, polynomial, task


def batches_of(objective, param_space):
    """A function of a number and a config, which gives a batch of that one trial."""
    space = Space.of(param_space)
    job = Task(objective, space, "score", 7, None, 0).pack()
    return lambda number, **config: batch(number, job, space.encode([config]))


def test_close_leaves_no_process_and_no_descriptor():
    before = psutil.Process().num_fds()
    for _ in range(2):
        pool = LocalPool(2, start_method="spawn")
        while len(pool.pids()) < 2:
            time.sleep(0.01)
        pids = pool.pids()
        pool.close()
        assert not any(psutil.pid_exists(pid) for pid in pids)
    assert psutil.Process().num_fds() <= before + 1  # multiprocessing's resource tracker


def test_a_worker_whose_child_outlives_it_is_noticed(tmp_path):
    path = tmp_path / "child"

    def leave_a_child(params, data):
        if (child := os.fork()) == 0:
            time.sleep(300)
            os._exit(0)
        path.write_text(str(child))
        os._exit(4)

    pool = LocalPool(1, start_method="forkserver")
    try:
        pool.submit(batch(1, task(leave_a_child), points(1)))
        assert collect(pool, 1)[1].lost == "exited with code 4"
        child = psutil.Process(int(path.read_text()))
        assert child.is_running()
        child.kill()
    finally:
        pool.close()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="named semaphores are files on Linux")
def test_a_worker_holds_no_named_semaphore_that_would_outlive_its_death():
    def held(params, data):
        return {"score": Path("/proc/self/maps").read_text().count("/dev/shm/sem.")}

    pool = LocalPool(1)
    pool.submit(batch(1, task(held), points(1)))
    returned = collect(pool, 1)[1]
    pool.close()
    assert returned.outcomes.metrics["score"].to_list() == [0]


@pytest.mark.slow
def test_a_fork_server_that_is_killed_is_replaced():
    pool = LocalPool(1, start_method="forkserver")
    try:
        job = task(polynomial)
        for number in range(3):
            pool.submit(batch(number, job, points(1)))  # the worker's death may be noticed before or after
            collect(pool, 1)
            while not (workers := pool.pids()):
                pool.submit(batch(-number, job, points(1)))
                collect(pool, 1)
            [worker] = workers
            server = psutil.Process(worker).parent()
            server.kill()
            os.kill(worker, signal.SIGKILL)
    finally:
        pool.close()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="where there is a fork server by default")
def test_a_driver_that_is_killed_leaves_no_temporary_file(tmp_path):
    code = (
        "import time\n"
        "from rbt_ray.pool.local.pool import LocalPool\n"
        "pool = LocalPool(1, start_method='forkserver')\n"
        "while not pool.pids():\n"
        "    time.sleep(0.01)\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], env={**os.environ, "TMPDIR": str(tmp_path)}, stdout=subprocess.PIPE, text=True
    ) as driver:
        assert driver.stdout.readline() == "ready\n"
        assert list(tmp_path.iterdir())
        driver.kill()
    end = time.monotonic() + 120
    while list(tmp_path.iterdir()):
        assert time.monotonic() < end, list(tmp_path.rglob("*"))
        time.sleep(0.01)


def test_a_queued_batch_goes_to_the_first_idle_worker_unless_it_is_cancelled(tmp_path):
    def wait_for(params, data):
        place = Path(params["place"])
        while params["n"] == 0 and not (place / "go").exists():
            time.sleep(0.01)
        (place / f"ran-{params['n']}").touch()
        return {"score": 0.0, "pid": os.getpid()}

    trial_of = batches_of(wait_for, {"place": rbt.choice([str(tmp_path)]), "n": rbt.randint(0, 10)})

    def of(number, n):
        return trial_of(number, place=str(tmp_path), n=n)

    pool = LocalPool(2)
    try:
        for number in (0, 1, 2, 3):
            pool.submit(of(number, number))  # the first is at work until somebody says go
        done = collect(pool, 3)
        assert set(done) == {1, 2, 3}
        assert len({int(one.outcomes.metrics["pid"].values[0]) for one in done.values()}) == 1
        pool.submit(of(4, 0))  # now both are at work
        pool.submit(of(5, 5))
        pool.submit(of(6, 6))
        assert pool.taken_at(5) is None
        pool.cancel(5, "not wanted")
        (tmp_path / "go").touch()
        lost = {number: one.lost for number, one in collect(pool, 4).items()}
        assert lost == {0: None, 4: None, 5: "not wanted", 6: None}
        assert not (tmp_path / "ran-5").exists()
        assert (tmp_path / "ran-6").exists()
    finally:
        pool.close()


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="where there is a fork server by default")
def test_workers_start_with_what_prices_need_once_a_study_reads_some(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import os, sys\n"
        "import psutil\n"
        "import rbt_ray as rbt\n"
        "def loaded(params, data):\n"
        "    own = psutil.Process().memory_full_info().uss / 2**20\n"
        "    return {'score': 0.0, 'numba': 'numba' in sys.modules, 'own': own, 'pid': os.getpid()}\n"
        "for bundle in (None, rbt.load_bundle('sample'), None):\n"
        f"    run = rbt.RunConfig(storage_path={str(tmp_path)!r}, num_workers=1, verbose=0, recheck=0)\n"
        "    tune = rbt.TuneConfig(metric='score', search_alg='grid')\n"
        "    space = {'x': rbt.choice([1, 2])}\n"
        "    results = rbt.Tuner(loaded, param_space=space, bundle=bundle, tune_config=tune, run_config=run).fit()\n"
        "    for one in results:\n"
        "        print(one.metrics['numba'], one.metrics['own'], one.metrics['pid'])\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    rows = [line.split() for line in done.stdout.splitlines()]
    assert [row[0] for row in rows] == ["False"] * 2 + ["True"] * 4
    assert max(float(row[1]) for row in rows) < 60  # numba and the kernels are the fork server's, not each worker's own
    assert len({row[2] for row in rows[:2]}) == len({row[2] for row in rows[2:]}) == 1


def test_recalled_batches_are_neither_started_nor_returned(tmp_path):
    def wait_for(params, data):
        place = Path(params["place"])
        while not (place / "go").exists():
            time.sleep(0.01)
        return 0.0

    trial_of = batches_of(wait_for, {"place": rbt.choice([str(tmp_path)])})
    pool = LocalPool(1)
    try:
        for number in (1, 2, 3):
            pool.submit(trial_of(number, place=str(tmp_path)))
        while pool.taken_at(1) is None:
            time.sleep(0.01)
        assert pool.recall() == [2, 3]
        (tmp_path / "go").touch()
        assert list(collect(pool, 1)) == [1]
        assert not pool.wait(0.2)
    finally:
        pool.close()


def test_cancelling_a_queued_batch_and_closing_a_pool_start_no_process(tmp_path):
    def wait(params, data):
        time.sleep(60)

    trial_of = batches_of(wait, {"x": rbt.choice([1])})
    pool = LocalPool(1)
    for number in (1, 2, 3):
        pool.submit(trial_of(number, x=1))
    while pool.taken_at(1) is None:
        time.sleep(0.01)
    pool.cancel(2, "not wanted")
    pool.cancel(3, "not wanted")
    pool.cancel(1, "not wanted")
    assert {one.lost for one in collect(pool, 3).values()} == {"not wanted"}
    assert not pool.pids()
    pool.close()

"""What is the local pool's own: pipes, processes and their descriptors."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

import rbt_ray as rbt
from rbt_ray.pool.local_pool import LocalPool
from rbt_ray.pool.task import Task
from rbt_ray.study.space import Space
from tests.pools import batch, collect, points, polynomial, task


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


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="named semaphores are files on Linux")
def test_a_worker_holds_no_named_semaphore_that_would_outlive_its_death():
    def held(params, data):
        return {"score": Path("/proc/self/maps").read_text().count("/dev/shm/sem.")}

    pool = LocalPool(1)
    pool.submit(batch(1, task(held), points(1)))
    returned = collect(pool, 1)[1]
    pool.close()
    assert returned.outcomes.metrics["score"].plain() == [0]


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
        "from rbt_ray.pool.local_pool import LocalPool\n"
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
    end = time.monotonic() + 20
    while list(tmp_path.iterdir()):
        assert time.monotonic() < end, list(tmp_path.rglob("*"))
        time.sleep(0.01)


def test_a_batch_in_line_goes_to_whoever_is_free_first_and_not_at_all_once_it_is_cancelled(tmp_path):
    def wait_for(params, data):
        place = Path(params["place"])
        while params["n"] == 0 and not (place / "go").exists():
            time.sleep(0.01)
        (place / f"ran-{params['n']}").touch()
        return {"score": 0.0, "pid": os.getpid()}

    space = Space.of({"place": rbt.choice([str(tmp_path)]), "n": rbt.randint(0, 10)})
    job = Task(wait_for, space, "score", 7, None, 0).pack()

    def of(number, n):
        return batch(number, job, space.encode([{"place": str(tmp_path), "n": n}]))

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


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="where there is a fork server by default")
def test_workers_load_what_prices_need_for_a_study_that_reads_some(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\n"
        "import rbt_ray as rbt\n"
        "def loaded(params, data):\n"
        "    return {'score': 0.0, 'numba': 'numba' in sys.modules, 'prices': data is not None}\n"
        "for bundle in (None, rbt.load_bundle('sample')):\n"
        f"    run = rbt.RunConfig(storage_path={str(tmp_path)!r}, num_workers=1, verbose=0)\n"
        "    tune = rbt.TuneConfig(metric='score', search_alg='grid')\n"
        "    space = {'x': rbt.choice([1, 2])}\n"
        "    results = rbt.Tuner(loaded, param_space=space, bundle=bundle, tune_config=tune, run_config=run).fit()\n"
        "    print([(one.metrics['prices'], one.metrics['numba']) for one in results])\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [str([(False, False)] * 2), str([(True, True)] * 2)]

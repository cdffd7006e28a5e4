"""What is the local pool's own: pipes, processes and their descriptors."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from rbt_ray.pool.local_pool import LocalPool
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

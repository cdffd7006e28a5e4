"""The contract of all worker pools: local processes by each start method, Ray actors, and the Dask pool of the documentation."""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

import rbt_ray as rbt
from rbt_ray.errors import ObjectiveError, SettingError
from rbt_ray.pool.job import Task
from rbt_ray.pool.local.pool import LocalPool
from rbt_ray.pool.worker import Worker
from rbt_ray.study.space import Space
from tests import one_ray
from tests.pools import batch, collect, points, polynomial, task

START_METHODS = ["forkserver", "spawn", "fork"] if sys.platform != "win32" else ["spawn"]
KINDS = [START_METHODS[0], *(pytest.param(one, marks=pytest.mark.slow) for one in START_METHODS[1:])]
KINDS += ["ray", pytest.param("dask", marks=pytest.mark.slow)]
# Ray and Dask are last: no process may be forked from one that runs their threads.

EXAMPLES = str(Path(__file__).parents[2] / "docs" / "examples")
if EXAMPLES not in sys.path:
    sys.path.append(EXAMPLES)  # Dask's workers import the pool from there too


def start(kind, n_workers=2, **settings):
    if kind == "ray":
        from rbt_ray.pool.ray.pool import RayPool

        one_ray.keep()
        return RayPool(n_workers, **settings)
    if kind == "dask":
        from dask_pool import DaskPool

        return DaskPool(n_workers, **settings)
    return LocalPool(n_workers, start_method=kind, **settings)


@pytest.fixture(scope="module", params=KINDS)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def pool(kind):
    pool = start(kind)
    yield pool
    pool.close()


@pytest.fixture
def start_another(pool, kind):
    """Starts more pools of the kind; on Ray and Dask they share the cluster of the first."""
    pools = []

    def start_one(*args, **settings):
        pools.append(start(kind, *args, **settings))
        return pools[-1]

    yield start_one
    for one in pools:
        one.close()


def wake(pool):
    """Waits until all workers run: a pool may replace a dead worker only when a batch needs it."""
    while len(pool.pids()) < pool.n_workers:
        for number in range(pool.capacity):
            pool.submit(batch(1000 + number, task(polynomial), points(1)))
        collect(pool, pool.capacity)


def harmless(n):
    rows = points(n)
    rows[:, 1] = 1
    return rows


def deadly(params, data):
    match params["n"]:
        case 50:
            os._exit(3)
        case 60:
            os.kill(os.getpid(), signal.SIGKILL)
        case 70:
            ctypes.string_at(0)
        case 80:
            os.abort()
    return params["x"]


class Loads:
    """An objective that calls a function when it is unpickled."""

    def __init__(self, call, *arguments):
        self._how = call, arguments

    def __reduce__(self):
        return self._how

    def __call__(self, params, data):
        return 0.0


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
    assert os.getpid() not in answers[1].outcomes.metrics["pid"].values


def test_all_workers_work_at_once_and_are_known_by_their_process_ids(pool, tmp_path):
    def meet(params, data):
        """Returns once another worker is evaluating too."""
        place = Path(params["place"])
        (place / str(os.getpid())).touch()
        while len(list(place.iterdir())) < 2:
            time.sleep(0.01)
        return {"score": 0.0, "pid": os.getpid()}

    wake(pool)
    space = Space.of({"place": rbt.choice([str(tmp_path)])})
    job = Task(meet, space, "score", 7, None, 0).pack()
    for number in (1, 2):
        pool.submit(batch(number, job, space.from_unit(np.zeros((1, 1)))))
    pids = [int(one.outcomes.metrics["pid"].values[0]) for one in collect(pool, 2).values()]
    assert set(pids) == set(pool.pids())
    assert len(set(pids)) == pool.n_workers == 2


def test_as_many_batches_as_its_capacity_can_be_under_way(pool):
    job = task(polynomial)
    for number in range(pool.capacity):
        pool.submit(batch(number, job, points(3)))
    assert set(collect(pool, pool.capacity)) == set(range(pool.capacity))


def test_workers_outlive_batches_and_studies(pool):
    def count(params, data):
        import builtins

        builtins.calls = getattr(builtins, "calls", 0) + 1
        return {"score": builtins.calls, "pid": os.getpid()}

    wake(pool)
    before = set(pool.pids())
    calls = {pid: [] for pid in before}
    for number in range(1, 5):
        pool.submit(batch(number, task(count), points(5)))
        metrics = collect(pool, 1)[number].outcomes.metrics
        calls[int(metrics["pid"].values[-1])] += metrics["score"].values.tolist()
    assert all(seen == list(range(1, len(seen) + 1)) for seen in calls.values())
    assert set(pool.pids()) == before


def test_a_dead_worker_loses_only_its_own_batch(pool):
    job, fatal = task(deadly), harmless(5)
    fatal[2, 1] = 60
    wake(pool)
    for number in range(pool.capacity):
        pool.submit(batch(number, job, harmless(5) if number else fatal))
    answers = collect(pool, pool.capacity)
    assert answers.pop(0).lost is not None
    assert all(answer.outcomes.status.tolist() == [0] * 5 for answer in answers.values())
    for number in range(10, 10 + pool.capacity):
        pool.submit(batch(number, job, harmless(5)))
    assert all(answer.lost is None for answer in collect(pool, pool.capacity).values())


@pytest.mark.parametrize(
    ("n", "how"),
    [(50, "exited with code 3"), (60, "signal 9 (SIGKILL)"), (70, "signal 11 (SIGSEGV)"), (80, "signal 6 (SIGABRT)")],
)
def test_the_error_says_how_a_worker_ended(pool, n, how):
    rows = harmless(1)
    rows[0, 1] = n
    pool.submit(batch(1, task(deadly), rows))
    assert collect(pool, 1)[1].lost.endswith(how)


def test_a_process_that_an_objective_forks_may_come_and_go(pool):
    def fork(params, data):
        child = os.fork()
        if child == 0:
            os._exit(7)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    pool.submit(batch(1, task(fork), points(2)))
    assert collect(pool, 1)[1].outcomes.metrics["score"].values.tolist() == [7, 7]


def test_a_worker_that_died_idle_costs_no_batch(pool):
    job = task(polynomial)
    wake(pool)
    pool.submit(batch(1, job, points(2)))
    collect(pool, 1)
    processes = [psutil.Process(pid) for pid in pool.pids()]
    for process in processes:
        process.kill()
    psutil.wait_procs(processes, timeout=120)
    for number in (2, 3):
        pool.submit(batch(number, job, points(2)))
    assert all(answer.lost is None for answer in collect(pool, 2).values())


def test_cancel_ends_an_endless_batch(pool):
    def endless(params, data):
        while True:
            pass

    pool.submit(batch(1, task(endless), points(1)))
    while pool.taken_at(1) is None:
        assert pool.wait(0.05) == []
    pool.cancel(1, "late")
    assert collect(pool, 1)[1].lost == "late"


def test_cancel_ends_a_worker_that_is_loading_for_ever(pool):
    pool.submit(batch(1, task(Loads(time.sleep, 300)), points(1)))
    assert pool.wait(0.3) == []
    assert pool.taken_at(1) is None  # no trial's time runs while its worker loads
    pool.cancel(1, "the study was stopped")
    assert collect(pool, 1)[1].lost == "the study was stopped"


def test_a_batch_cancelled_before_its_worker_has_started_is_never_loaded(start_another):
    fresh = start_another(1)
    fresh.submit(batch(1, task(Loads(time.sleep, 300)), points(1)))
    fresh.cancel(1, "the study was stopped")
    assert collect(fresh, 1)[1].lost == "the study was stopped"


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


def test_an_objective_whose_module_is_missing_is_an_error_with_its_name(start_another):
    broken = start_another(1)
    broken.submit(batch(1, task(Loads(__import__, "a_module_that_is_not_there")), points(1)))
    with pytest.raises(ObjectiveError, match="a_module_that_is_not_there"):
        collect(broken, 1)


def test_an_objective_that_ends_each_process_that_loads_it_is_an_error_and_fails_no_trial(start_another):
    broken = start_another(1)
    broken.submit(batch(1, task(Loads(os._exit, 5)), points(1)))
    with pytest.raises(ObjectiveError, match=r"while they load the objective \(exited with code 5, 3 times\)"):
        collect(broken, 1)


# The driver watches the memory of its workers, by whatever method they start.
@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(one, marks=[pytest.mark.slow] * (one != START_METHODS[0]))
        for one in (*START_METHODS, "ray", "dask")
    ],
    indirect=True,
)
def test_memory_above_the_limit_ends_the_worker_with_that_reason(start_another):
    def hog(params, data):
        kept = []
        while True:
            kept.append(np.ones(4 * 2**20))

    megabytes = 600 + psutil.Process().memory_info().rss // 2**20  # a forked worker begins with what this process holds
    small = start_another(1, memory_limit=megabytes * 2**20)
    small.submit(batch(1, task(hog), points(1)))
    lost = collect(small, 1)[1].lost
    assert lost.startswith("out of memory: the worker held")
    assert lost.endswith(f"the limit is {megabytes:,} MiB (`worker_memory_limit`)")


def test_a_memory_limit_below_a_fresh_worker_is_refused(start_another):
    with pytest.raises(SettingError, match="a worker that has done nothing yet holds"):  # noqa: PT012 - some start later
        small = start_another(1, memory_limit=8 * 2**20)
        small.submit(batch(1, task(polynomial), points(1)))
        collect(small, 1)


def test_workers_are_recycled(start_another):
    recycling = start_another(1, recycle_after=5)
    pids = []
    for number in range(4):
        recycling.submit(batch(number, task(polynomial), points(3)))
        pids.append(int(collect(recycling, 1)[number].outcomes.metrics["pid"].values[0]))
    assert pids[0] == pids[1] != pids[2] == pids[3]


def test_close_leaves_no_worker(start_another):
    closed = start_another()
    wake(closed)
    workers = [psutil.Process(pid) for pid in closed.pids()]
    assert len(workers) == 2
    closed.close()
    assert psutil.wait_procs(workers, timeout=120)[1] == []


def test_numerical_libraries_use_one_thread_and_ctrl_c_is_the_drivers_to_decide(pool):
    def process_settings(params, data):
        import numba

        ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        return {"score": numba.get_num_threads(), "ignored": ignored, "omp": os.environ["OMP_NUM_THREADS"]}

    before = os.environ.get("OPENBLAS_NUM_THREADS")
    pool.submit(batch(1, task(process_settings), points(1)))
    metrics = collect(pool, 1)[1].outcomes.metrics
    assert metrics["score"].values.tolist() == [1]
    assert metrics["ignored"].values.tolist() == [True]
    assert metrics["omp"].values.tolist() == ["1"]
    assert os.environ.get("OPENBLAS_NUM_THREADS") == before


def test_a_wait_ends_in_time_although_a_signal_takes_longer(pool):
    """A study checks for Ctrl-C between waits; queue.SimpleQueue would wait for ever."""
    before = signal.signal(signal.SIGUSR1, lambda *_: time.sleep(0.4))
    timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR1))
    timer.start()
    try:
        assert not pool.wait(0.3)
    finally:
        timer.join()
        signal.signal(signal.SIGUSR1, before)


# Of Ray, tests/pool/test_ray_pool.py has the same without a study.
@pytest.mark.parametrize("backend", ["local", pytest.param("ray", marks=pytest.mark.slow)])
def test_what_a_worker_prints_stays_off_stdout(tmp_path, backend):
    script = tmp_path / "talk.py"
    script.write_text(
        "import os, rbt_ray as rbt\n"
        "def talk(params, data):\n"
        "    print('from the objective', flush=True)\n"
        "    if params['x'] == 2.0:\n"
        "        os._exit(1)\n"
        "    return params['x']\n"
        "results = rbt.Tuner(talk, param_space={'x': rbt.grid_search([1.0, 2.0])},\n"
        f"    run_config=rbt.RunConfig(name='talk', storage_path={str(tmp_path)!r}, backend={backend!r},\n"
        "                             num_workers=2, verbose=0)).fit()\n"
        "print([result.status for result in results])\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=90, check=True)
    assert done.stdout == "['COMPLETED', 'CRASHED']\n"
    assert backend == "ray" or "from the objective" in done.stderr  # Ray keeps it in its logs


def test_a_task_that_cannot_be_sent_says_so():
    import threading

    lock = threading.Lock()

    def holds_a_lock(params, data):
        with lock:
            return 0.0

    with pytest.raises(ObjectiveError, match="cannot be sent to the workers"):
        task(holds_a_lock)

"""PersistentWorkerPool: the original tests under their names, and multiprocessing.Pool's behaviour."""

import inspect
import itertools
import multiprocessing
import multiprocessing.pool
import os
import signal
import subprocess
import sys
import threading

import psutil
import pytest

from rbt_ray.compat.rustybt import PersistentWorkerPool, cleanup_global_pool, get_global_pool
from rbt_ray.errors import InputError, ObjectiveError, SettingError, WorkerDiedError


def square(x):
    return x * x


def pid_of(_):
    return os.getpid()


def add(a, b, scale=1):
    return scale * (a + b)


def odd_fails(x):
    if x % 2:
        raise LookupError(f"{x} is odd")
    return x


def die_at(x, bad):
    if x == bad:
        os.kill(os.getpid(), signal.SIGKILL)
    return x


@pytest.fixture(scope="module")
def shared():
    with PersistentWorkerPool(2) as pool:
        yield pool


def test_persistent_pool_basic_functionality():
    with PersistentWorkerPool(processes=2) as pool:
        assert pool.map(square, range(10)) == [x * x for x in range(10)]


def test_persistent_pool_functional_equivalence(shared):
    """Every method, beside the standard pool."""
    pairs = [(x, x + 1) for x in range(23)]
    with multiprocessing.get_context("fork").Pool(2) as standard:
        for pool_a, pool_b in [(standard, shared)]:
            for ask in (
                lambda pool: pool.map(square, range(50)),
                lambda pool: pool.map(square, range(50), chunksize=7),
                lambda pool: pool.map(square, []),
                lambda pool: list(pool.imap(square, range(50))),
                lambda pool: list(pool.imap(square, range(50), chunksize=8)),
                lambda pool: sorted(pool.imap_unordered(square, range(50), chunksize=3)),
                lambda pool: pool.starmap(add, pairs),
                lambda pool: pool.apply(add, (1, 2), {"scale": 5}),
                lambda pool: pool.apply_async(add, (1, 2)).get(timeout=120),
                lambda pool: pool.map_async(square, range(9)).get(timeout=120),
                lambda pool: pool.starmap_async(add, pairs, 2).get(timeout=120),
            ):
                assert ask(pool_a) == ask(pool_b)


def test_it_has_every_method_of_the_standard_pool_with_the_same_arguments():
    standard = multiprocessing.pool.Pool
    for name in (one for one in dir(standard) if not one.startswith("_") and one != "Process"):
        theirs = inspect.signature(getattr(standard, name)).parameters
        ours = inspect.signature(getattr(PersistentWorkerPool, name)).parameters
        assert list(ours) == list(theirs), name
    made = list(inspect.signature(standard.__init__).parameters)
    assert list(inspect.signature(PersistentWorkerPool.__init__).parameters) == made


def test_persistent_pool_run_batch(shared):
    before = shared.get_statistics()
    for start in (0, 10, 20):
        batch = list(range(start, start + 10))
        assert shared.run_batch(square, batch) == [x * x for x in batch]
    after = shared.get_statistics()
    assert after["batch_count"] - before["batch_count"] == 3
    assert after["total_tasks"] - before["total_tasks"] == 30


def test_persistent_pool_context_manager():
    with PersistentWorkerPool(processes=2) as pool:
        result = pool.map_async(square, range(20))
        pids = set(pool.map(pid_of, range(20)))
    assert result.get(timeout=0) == [x * x for x in range(20)]  # what was under way has ended
    assert not any(psutil.pid_exists(pid) for pid in pids)
    with pytest.raises(ValueError, match="closed"):
        pool.map(square, [1])
    with pytest.raises(ZeroDivisionError), PersistentWorkerPool(1) as pool:
        1 / 0


def test_persistent_pool_statistics():
    with PersistentWorkerPool(processes=2) as pool:
        fresh = pool.get_statistics()
        assert (fresh["batch_count"], fresh["total_tasks"], fresh["average_tasks_per_batch"]) == (0, 0, 0.0)
        assert fresh["processes"] == 2
        pool.run_batch(square, range(10))
        pool.run_batch(square, range(5))
        pool.map(square, range(100))  # no batch
        told = pool.get_statistics()
        assert (told["batch_count"], told["total_tasks"], told["average_tasks_per_batch"]) == (2, 15, 7.5)
        assert told["uptime_seconds"] > fresh["uptime_seconds"]
        assert told["worker_deaths"] == 0
        assert set(pool.map(pid_of, range(20))) <= set(told["pids"])


def test_persistent_pool_worker_reuse(shared):
    """Three batches, and no process but the two that were there for the first."""
    batches = [set(shared.run_batch(pid_of, range(40))) for _ in range(3)]
    assert len(set().union(*batches)) <= 2
    assert set().union(*batches) <= set(shared.get_statistics()["pids"])


def test_persistent_pool_reset_workers():
    with PersistentWorkerPool(processes=2) as pool:
        before = set(pool.run_batch(pid_of, range(40)))
        pool.reset_workers()
        after = set(pool.run_batch(pid_of, range(40)))
        assert not before & after
        assert pool.get_statistics()["batch_count"] == 2
        assert len(pool.get_statistics()["pids"]) <= 2


def test_reset_lets_calls_under_way_finish(tmp_path):
    def wait_for(file):
        while not file.exists():
            pass
        return os.getpid()

    with PersistentWorkerPool(1) as pool:
        [before] = pool.map(pid_of, [0])
        under_way = pool.apply_async(wait_for, (tmp_path / "go",))
        queued = pool.apply_async(pid_of, (0,))
        pool.reset_workers()
        assert queued.get(timeout=120) != before  # the fresh process does not wait for the old one
        (tmp_path / "go").touch()
        assert under_way.get(timeout=120) == before
    assert not psutil.pid_exists(before)


@pytest.mark.parametrize("processes", [0, -1, 1.5, True])
def test_persistent_pool_invalid_processes(processes):
    with pytest.raises(ValueError, match="processes must be positive"):
        PersistentWorkerPool(processes=processes)


def test_persistent_pool_global_singleton():
    try:
        pool = get_global_pool(processes=2)
        assert pool.run_batch(square, range(10)) == [x * x for x in range(10)]
        assert get_global_pool(processes=2) is pool
        assert get_global_pool(processes=2).get_statistics()["batch_count"] == 1
        assert get_global_pool(processes=1) is not pool  # nobody gets fewer than they asked for
    finally:
        cleanup_global_pool()


def test_persistent_pool_global_cleanup():
    pool = get_global_pool(processes=1)
    pids = pool.map(pid_of, [0])
    cleanup_global_pool()
    assert not psutil.pid_exists(pids[0])
    try:
        assert get_global_pool(processes=1) is not pool
        get_global_pool(processes=1).close()  # as its user may
        assert get_global_pool(processes=1).map(square, [3]) == [9]
    finally:
        cleanup_global_pool()


@pytest.mark.parametrize("chunksize", [None, 7])
def test_persistent_pool_maxtasksperchild(chunksize):
    with PersistentWorkerPool(processes=2, maxtasksperchild=10) as pool:
        pids = pool.map(pid_of, range(30), chunksize)
    assert max(pids.count(pid) for pid in pids) <= 10


def test_persistent_pool_repr(shared):
    shared.run_batch(square, range(10))
    for part in ("PersistentWorkerPool(", "processes=2", "batches=", "tasks="):
        assert part in repr(shared)


def test_persistent_pool_large_batch(shared):
    assert shared.run_batch(square, range(20_000)) == [x * x for x in range(20_000)]


def test_persistent_pool_performance_vs_standard(shared):
    """What makes it fast: five batches start no process, where a pool made for each of them starts ten.

    The time that saves is in docs/benchmarks.md; a test that measures it would fail on a busy machine.
    """
    batches = [list(range(start, start + 20)) for start in range(0, 100, 20)]
    standard, started = [], set()
    for batch in batches:
        with multiprocessing.get_context("fork").Pool(2) as pool:
            standard += pool.map(square, batch)
            started |= {process.pid for process in multiprocessing.active_children() if "ForkPool" in process.name}
    here = set(shared.map(pid_of, range(40)))
    ours = [value for batch in batches for value in shared.run_batch(square, batch)]
    assert ours == standard
    assert len(started) == 10
    assert set(shared.map(pid_of, range(40))) | here <= set(shared.get_statistics()["pids"])


def test_a_worker_that_dies_costs_its_call_alone(shared):
    results = [shared.apply_async(die_at, (x, 3)) for x in range(6)]
    with pytest.raises(WorkerDiedError, match=r"\(3, 3\) killed by signal 9"):
        results[3].get(timeout=120)
    assert [result.get(timeout=120) for result in results if result is not results[3]] == [0, 1, 2, 4, 5]


def test_a_worker_that_dies_in_a_chunk_does_not_hang_the_batch(shared):
    deaths = shared.get_statistics()["worker_deaths"]
    given = []
    result = shared.starmap_async(die_at, [(x, 3) for x in range(8)], 8, error_callback=given.append)
    with pytest.raises(WorkerDiedError):
        result.get(timeout=120)
    assert isinstance(given[0], WorkerDiedError)
    assert not result.successful()
    assert shared.get_statistics()["worker_deaths"] == deaths + 2  # with the chunk, and alone
    iterator = shared.imap(lambda x: die_at(x, 1), range(3))
    assert next(iterator) == 0
    with pytest.raises(WorkerDiedError):
        next(iterator)
    assert list(iterator) == [2]


def test_an_exception_is_returned_unchanged_with_the_workers_traceback(shared):
    with pytest.raises(LookupError, match="3 is odd") as caught:
        shared.map(odd_fails, [2, 4, 3, 1])
    assert "in odd_fails" in str(caught.value.__cause__)

    class Awkward(Exception):
        def __init__(self, one, two):
            super().__init__(f"{one} {two}")

    def awkward():
        raise Awkward(1, 2)

    with pytest.raises(Exception, match="Awkward: 1 2"):
        shared.apply(awkward)

    def leave():
        raise SystemExit(3)

    with pytest.raises(WorkerDiedError, match="SystemExit: 3"):
        shared.apply(leave)
    with pytest.raises(ObjectiveError, match="cannot be sent back"):
        shared.apply(threading.Lock)
    with pytest.raises(ObjectiveError, match="cannot be sent to a worker"):
        shared.apply(square, (threading.Lock(),))
    assert shared.map(square, [5]) == [25]


def test_callbacks_and_time_outs(shared, tmp_path):
    given = []
    result = shared.apply_async(square, (4,), callback=given.append)
    result.wait(120)
    assert result.ready()
    assert result.successful()
    assert given == [16]

    def wait_for(file):
        while not file.exists():
            pass

    slow = shared.apply_async(wait_for, (tmp_path / "go",))
    with pytest.raises(multiprocessing.TimeoutError):
        slow.get(timeout=0.01)
    with pytest.raises(ValueError, match="not ready"):
        slow.successful()
    (tmp_path / "go").touch()
    assert slow.get(30) is None


@pytest.mark.parametrize("options", [{"callback": None}, {"error_callback": None}])
def test_a_callback_that_raises_harms_neither_its_call_nor_the_pool(options, monkeypatch):
    told = []
    monkeypatch.setattr(threading, "excepthook", told.append)

    def broken(_):
        raise ArithmeticError("of the callback")

    pool = PersistentWorkerPool(1)
    fails = "error_callback" in options
    result = pool.apply_async(odd_fails, (int(fails),), **dict.fromkeys(options, broken))
    result.wait(120)
    assert result.successful() is not fails
    assert [(one.exc_type, str(one.exc_value)) for one in told] == [(ArithmeticError, "of the callback")]
    assert pool.apply_async(square, (3,)).get(30) == 9
    lost = pool.apply_async(signal.pause, error_callback=broken) if fails else None
    pool.terminate() if fails else pool.close()
    leaving = threading.Thread(target=pool.join, daemon=True)
    leaving.start()
    leaving.join(120)
    assert not leaving.is_alive()
    assert lost is None or lost.ready()


def test_an_argument_that_cannot_be_sent_fails_its_call_alone(shared):
    given, held = [], threading.Lock()

    def take(error):
        with held:
            given.append(error)

    lock = threading.Lock()
    with held:  # the callback does not run in the thread that makes the call
        result = shared.apply_async(square, (lock,), error_callback=take)
    with pytest.raises(ObjectiveError, match="an argument cannot be sent"):
        result.get(30)
    assert [type(error) for error in given] == [ObjectiveError]
    iterator = shared.imap(square, [2, lock, 4], chunksize=3)
    assert next(iterator) == 4
    with pytest.raises(ObjectiveError):
        next(iterator)
    assert list(iterator) == [16]


def test_no_calls_are_no_callback_as_in_multiprocessing(shared):
    given = []
    with multiprocessing.get_context("fork").Pool(1) as standard:
        for pool in (standard, shared):
            assert pool.map_async(square, [], callback=given.append).get(30) == []
    assert given == []


def test_imap_takes_no_more_of_an_endless_iterable_than_it_needs(shared):
    taken = []

    def endless():
        while True:
            taken.append(len(taken))
            yield taken[-1]

    results = shared.imap(square, endless())
    assert [next(results) for _ in range(5)] == [0, 1, 4, 9, 16]
    assert len(taken) < 20


@pytest.mark.parametrize("way", ["imap", "imap_unordered"])
@pytest.mark.parametrize("join", [False, True])
def test_an_iterator_gives_all_its_results_after_close(way, join):
    with multiprocessing.get_context("fork").Pool(1) as standard:
        theirs = getattr(standard, way)(square, iter(range(30)))
        standard.close()
        theirs = sorted(theirs)
    pool = PersistentWorkerPool(1)
    results = getattr(pool, way)(square, iter(range(30)))
    pool.close()
    if join:
        pool.join()
    assert sorted(results) == theirs
    pool.join()
    assert not pool.get_statistics()["pids"]


def test_an_iterable_that_raises_ends_the_results(shared):
    def broken():
        yield 1
        raise LookupError("no more")

    results = shared.imap(square, broken())
    assert next(results) == 1
    with pytest.raises(LookupError, match="no more"):
        next(results)
    assert list(results) == []


def test_leaving_the_pool_takes_no_more_of_an_endless_iterable():
    with PersistentWorkerPool(1) as pool:
        results = pool.imap(square, itertools.count())
        assert next(results) == 0
    with pytest.raises(InputError, match="closed"):
        list(results)


def test_initializer_runs_once_in_each_process():
    def begin(values, value):
        values.append(value)
        begin.values = values
        os.environ["RBT_BEGUN"] = os.environ.get("RBT_BEGUN", "") + value

    with PersistentWorkerPool(2, begin, ([], "x")) as pool:
        assert set(pool.map(lambda _: os.environ["RBT_BEGUN"], range(20))) == {"x"}
        assert set(pool.starmap(lambda _: os.environ["RBT_BEGUN"], [(n,) for n in range(20)])) == {"x"}
    with PersistentWorkerPool(1, odd_fails, (1,)) as pool, pytest.raises(LookupError, match="1 is odd"):
        pool.map(square, [1])


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_an_initializer_gets_locks_and_queues(method):
    def begin(lock, queue):
        begin.lock = lock
        os.environ["RBT_LOCKED"] = str(lock.acquire(block=False))
        queue.put(os.getpid())

    context = multiprocessing.get_context(method)
    lock, queue = context.Lock(), context.Queue()
    with lock, PersistentWorkerPool(1, begin, (lock, queue), context=context) as pool:
        assert pool.apply(os.getenv, ("RBT_LOCKED",)) == "False"
        assert queue.get(timeout=120) in pool.get_statistics()["pids"]


def test_a_scripts_functions_see_the_globals_that_its_initializer_set(tmp_path):
    (tmp_path / "script.py").write_text(
        """
from rbt_ray.compat.rustybt import PersistentWorkerPool
held, other = None, 1
def begin(value):
    global held
    held = value
def helper():
    return held
def ask(x):
    return helper(), other
if __name__ == "__main__":
    with PersistentWorkerPool(1, begin, (7,)) as pool:
        print(pool.map(ask, [1]), pool.apply(lambda: held))
"""
    )
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "[(7, 1)] 7", done.stderr


def test_an_initializer_that_cannot_be_pickled_is_an_error():
    with pytest.raises(ObjectiveError, match="initargs"), PersistentWorkerPool(1, square, (threading.Lock(),)) as pool:
        pool.map(square, [1])


def test_terminate_ends_calls_that_never_would(tmp_path):
    def forever():
        while True:
            pass

    pool = PersistentWorkerPool(1)
    result = pool.apply_async(forever)
    [waiting] = [pool.apply_async(square, (2,))]
    with pytest.raises(ValueError, match="still takes calls"):
        pool.join()
    pool.terminate()
    pool.join()
    for lost in (result, waiting):
        with pytest.raises(WorkerDiedError, match="terminated"):
            lost.get(timeout=120)


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_a_context_says_how_processes_are_started(method):
    with PersistentWorkerPool(1, context=multiprocessing.get_context(method)) as pool:
        assert pool.map(square, range(3)) == [0, 1, 4]


def test_what_cannot_be_used_is_refused(shared):
    with pytest.raises(SettingError, match="chunksize"):
        shared.map(square, [1], chunksize=-2)
    with pytest.raises(TypeError, match="`func` must be a function"):
        shared.map(3, [1])
    with pytest.raises(SettingError, match="maxtasksperchild"):
        PersistentWorkerPool(1, maxtasksperchild=0)

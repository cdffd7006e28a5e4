"""Objectives that damage their process, on both backends: later trials are not affected."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import psutil
import pytest

import rbt_ray as rbt
from rbt_ray.pool.job import Task
from rbt_ray.study.space import Space
from tests import one_ray
from tests.pools import batch, collect

SPACE = Space.of({"n": rbt.randint(0, 100)})


@pytest.fixture(scope="module", params=["local", pytest.param("ray", marks=pytest.mark.slow)])
def start(request):
    """Starts pools of a backend, with one worker if nothing is said; on Ray all are of one Ray, which the first holds."""
    if request.param == "ray":
        from rbt_ray.pool.ray.pool import RayPool as Pool

        one_ray.keep()
    else:
        from rbt_ray.pool.local.pool import LocalPool as Pool
    pools = [Pool(1)]

    def start_one(n_workers=1, **settings):
        pools.append(Pool(n_workers, **settings))
        return pools[-1]

    start_one.first = pools[0]
    yield start_one
    for one in pools:
        one.close()


@pytest.fixture
def pool(start):
    return start.first


def run(pool, objective, numbers, *, number=1, bundle=None, first=0):
    """Returns a worker's answer to a batch with one trial per number; None if the batch was lost."""
    ref = None if bundle is None else pool.share(bundle)
    job = Task(objective, SPACE, "score", 7, ref, 0 if bundle is None else bundle.n_bars).pack()
    pool.submit(batch(number, job, np.array(numbers, float)[:, None], first))
    answer = collect(pool, 1)[number]
    return None if answer.lost is not None else answer.outcomes


def values(outcomes, name="score"):
    assert not outcomes.errors, outcomes.errors
    return outcomes.metrics[name].values.tolist()


def small_bundle():
    closes = np.arange(1.0, 41).reshape(20, 2)
    index = np.datetime64("2020-01-01", "ns") + np.arange(20) * np.timedelta64(1, "D")
    return rbt.Bundle.from_arrays({"close": closes}, index, ["A", "B"])


@pytest.mark.parametrize("size", ["small", "large"])
def test_no_numpy_function_writes_to_prices_or_values_kept_of_them(pool, size, tmp_path):
    bundle = rbt.load_bundle("sample")
    if size == "small":  # Ray sends it in the message, not through shared memory
        small_bundle().save(tmp_path / "small.arrow")
        bundle = rbt.Bundle.open(tmp_path / "small.arrow")

    def spoil(params, data):
        seen = [float(data.close[5, 0]), float(data.sma("close", 3)[5, 0])]
        refused = 0
        for array in (data.close, data.sma("close", 3), data.memo(scaled)):
            levels = [array]
            while isinstance(levels[-1].base, np.ndarray):
                levels.append(levels[-1].base)
            for level in levels:
                try:
                    level.setflags(write=True)
                    level[...] = -1.0
                except ValueError:
                    refused += 1
            refused -= len(levels) - 1
        return {"score": sum(seen), "refused": refused}

    def scaled(view):
        return view.close[::2] * 2.0

    outcomes = run(pool, spoil, [1, 2, 3], bundle=bundle)
    expected = float(bundle.close[5, 0]) + float(bundle.close[3:6, 0].mean())
    assert values(outcomes) == pytest.approx([expected] * 3, rel=1e-12)
    assert values(outcomes, "refused") == [3, 3, 3]


def test_the_next_trial_does_not_find_changes_to_the_process(pool, tmp_path):
    place = str(tmp_path)

    def meddle(params, data):
        import decimal

        seen = {
            "variable": os.environ.get("HOSTILE"),
            "home": os.environ.get("PATH"),
            "folder": str(Path.cwd()),
            "paths": len(sys.path),
            "errors": np.geterr()["divide"],
            "filters": len(warnings.filters),
            "digits": decimal.getcontext().prec,
        }
        os.environ["HOSTILE"] = str(params["n"])
        os.environ.pop("PATH", None)
        os.chdir(place)
        sys.path.insert(0, place)
        np.seterr(all="raise")
        warnings.simplefilter("error")
        decimal.getcontext().prec = 3
        if params["n"] == 2:
            raise ValueError("and it fails")
        return {"score": 0.0, **seen}

    outcomes = run(pool, meddle, [1, 2, 3])
    again = run(pool, meddle, [3, 3], number=2)
    assert list(outcomes.errors) == [1]
    for name, column in outcomes.metrics.items():
        found = [column.to_list()[0], column.to_list()[2], *again.metrics[name].to_list()]
        assert found == [found[0]] * 4, name
    assert outcomes.metrics["variable"].to_list()[0] is None
    assert outcomes.metrics["folder"].to_list()[0] != place


@pytest.mark.parametrize("draws_from", [0, 50])
def test_unseeded_random_numbers_depend_only_on_the_trial(pool, draws_from):
    """From the first on, or not before a trial that is not the first of its batch."""

    def draw(params, data):
        if params["n"] < draws_from:
            return 0.0
        return float(np.random.random() + random.random() + np.random.normal())

    numbers = [1, 60, 2, 70, 71]
    together = values(run(pool, draw, numbers))
    job = 7  # another task, since a worker that has seen an objective draw remembers it
    alone = [values(run(pool, draw, [n], number=job + i, first=i))[0] for i, n in enumerate(numbers)]
    assert together == alone
    drawn = [value for value, n in zip(together, numbers, strict=True) if n >= draws_from]
    assert len(set(drawn)) == len(drawn) > 1


def test_megabytes_of_output_stop_nothing(pool):
    def talk(params, data):
        for stream in (sys.stdout, sys.stderr):
            stream.write("talk " * 400_000)
            stream.flush()
        os.write(1, b"talk " * 100_000)
        return 1.0

    assert values(run(pool, talk, [1, 2])) == [1.0, 1.0]


class Unsendable(Exception):
    def __init__(self, a, b):
        super().__init__(a)
        self.lock = threading.Lock()


class Mute(Exception):
    def __str__(self):
        raise SystemExit(3)

    @property
    def __notes__(self):
        raise SystemExit(4)


class Stop(BaseException):
    pass


def fail(params, data):
    match params["n"]:
        case 1:
            raise Unsendable("cannot be sent", 2)
        case 2:
            raise Mute
        case 3:
            raise ValueError("long " * 1_000_000)
        case 4:
            raise Stop("of its own kind")
        case 5:
            raise KeyboardInterrupt
        case 6:
            sys.exit("gone")
        case 7:
            return fail(params, data)
        case 8:
            raise ExceptionGroup("many", [ValueError("one"), Mute()])
        case 9:
            error = ValueError("its own cause")
            error.__cause__ = error
            raise error
    return 1.0


FAILURES = ["cannot be sent", "Mute", "long long", "of its own kind", "KeyboardInterrupt", "SystemExit: gone"]
FAILURES += ["RecursionError", "Mute", "its own cause"]


def test_a_trial_fails_with_the_error_that_its_objective_raises(pool):
    numbers = range(1, 10)
    outcomes = run(pool, fail, [*numbers, 50])
    assert outcomes.status.tolist() == [1] * len(numbers) + [0]
    for row, expected in enumerate(FAILURES):
        assert expected in outcomes.errors[row] or "message could not be formatted" in outcomes.errors[row]
        assert len(outcomes.errors[row]) < 25_000


class Text(str):
    __slots__ = ()

    def __reduce__(self):
        raise TypeError("not to be sent")

    def __str__(self):
        return self


class Endless(dict):
    def items(self):
        number = 0
        while True:
            yield str(number), 1.0
            number += 1


def answer(params, data):
    match params["n"]:
        case 1:
            return threading.Lock()
        case 2:
            return bytes(2**30)
        case 3:
            return {"score": 1.0, "text": "x" * 2**28}
        case 4:
            return {"score": 1.0, 7: 2.0}
        case 5:
            return dict.fromkeys(map(str, range(10**6)), 1.0)
        case 6:
            return Endless(score=1.0)
        case 7:
            return {"score": 1.0, "x" * 10**6: 1.0}
        case 8:
            return {"score": 1.0, "lock": threading.Lock()}
        case 9:
            return {"score": 10**400}
        case 10:
            return np.zeros(2**20)
    return {Text("score"): 1.0, "text": Text("kept")}


ANSWERS = ["lock", "bytes", "letters", "named by strings", "at most", "at most", "letters", "lock", "bits", "ndarray"]


def test_a_trial_fails_with_a_message_if_its_result_is_not_metrics(pool):
    numbers = range(1, 11)
    outcomes = run(pool, answer, [*numbers, 50])
    assert outcomes.status.tolist() == [1] * len(numbers) + [0]
    for row, expected in enumerate(ANSWERS):
        assert expected in outcomes.errors[row], outcomes.errors[row]
        assert len(outcomes.errors[row]) < 2_000
    assert outcomes.metrics["text"].to_list()[-1] == "kept"
    assert type(outcomes.metrics["text"].to_list()[-1]) is str


def test_a_worker_that_lost_its_descriptors_costs_its_batch_and_no_other(start):
    pool = start()

    def cut(params, data):
        os.closerange(0, 1_000)
        return 1.0

    assert run(pool, cut, [1]) is None
    assert values(run(pool, fail, [50], number=2)) == [1.0]


def begun(path, pool=None):
    """The processes whose ids an objective wrote down, as soon as there are two."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        lines = path.read_text().splitlines() if path.exists() else []
        if len(lines) == 2:
            return [psutil.Process(int(line)) for line in lines]
        if pool is None:
            time.sleep(0.01)
        else:
            assert pool.wait(0.05) == []
    raise AssertionError("the objective never began")


def left_of(processes):
    """Returns the processes that still run after a while; a zombie does not run."""
    deadline = time.monotonic() + 20
    while (left := [one for one in processes if runs(one)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def runs(process):
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def clinger(path, *, stays):
    """An objective that ignores signals, and leaves a thread and a child behind, or stays at work beside them."""

    def cling(params, data):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        threading.Thread(target=time.sleep, args=(1_000,)).start()
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
        path.write_text(f"{os.getpid()}\n{child.pid}\n")
        while stays:
            time.sleep(1)
        return 1.0

    return cling


@pytest.mark.parametrize("end", ["close", "cancel", "crash"])
def test_threads_children_and_ignored_signals_end_with_the_worker(start, tmp_path, end):
    pool, path = start(), tmp_path / "pids"
    if end == "close":
        assert values(run(pool, clinger(path, stays=False), [1])) == [1.0]
        processes = begun(path)
        pool.close()
    else:
        job = Task(clinger(path, stays=True), SPACE, "score", 7, None, 0).pack()
        pool.submit(batch(1, job, np.array([[1.0]])))
        processes = begun(path, pool)
        if end == "cancel":
            pool.cancel(1, "late")
        else:
            processes[0].kill()
        assert collect(pool, 1)[1].lost is not None
    assert left_of(processes) == []


def test_nobody_is_left_of_a_driver_that_is_killed(tmp_path):
    script, path = tmp_path / "study.py", tmp_path / "pids"
    script.write_text(
        "import sys, rbt_ray as rbt\nfrom pathlib import Path\n"
        f"sys.path.insert(0, {str(Path(__file__).parents[2])!r})\n"
        "from tests.pool.test_hostile import clinger\n"
        f"rbt.Tuner(clinger(Path({str(path)!r}), stays=True), param_space={{'n': rbt.grid_search([1])}},\n"
        f"    run_config=rbt.RunConfig(name='s', storage_path={str(tmp_path)!r}, num_workers=1, verbose=0)).fit()\n"
    )
    driver = subprocess.Popen([sys.executable, script])
    processes = begun(path)
    driver.kill()
    driver.wait()
    assert left_of(processes) == []

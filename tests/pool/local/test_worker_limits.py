"""Too many workers for the machine are refused before any process starts; a number that fits is started."""

import resource
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

import rbt_ray as rbt
from rbt_ray import process_limits
from rbt_ray.errors import SettingError
from rbt_ray.pool.local import worker_limits
from rbt_ray.pool.local.pool import LocalPool
from rbt_ray.pool.local.start_method import prepare
from rbt_ray.tuner.config import RunConfig, TuneConfig

linux = pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors and limits of Linux")


def score(params, data):
    return float(params["x"])


def tuner(place, **run):
    return rbt.Tuner(
        score,
        param_space={"x": rbt.uniform(0, 1)},
        tune_config=TuneConfig("score", num_samples=4, seed=1),
        run_config=RunConfig("study", place, verbose=0, **run),
    )


def count(folder):
    return len(list(Path(folder).iterdir()))


def started(n_workers):
    """Returns a pool with that many running workers, which have imported what prices need."""
    prepare()
    pool = LocalPool(n_workers)
    end = time.monotonic() + 60
    while len(pool.pids()) < n_workers and time.monotonic() < end:
        pool.wait(0.05)
    assert len(pool.pids()) == n_workers
    return pool


def test_twenty_thousand_workers_are_refused_before_any_process_starts(tmp_path):
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    with pytest.raises(SettingError, match=r"`num_workers` is 20,000, and at most [\d,]+ can be started here: .* each"):
        tuner(tmp_path, num_workers=20_000)
    assert {child.pid for child in psutil.Process().children(recursive=True)} <= before
    assert not list(tmp_path.iterdir())


def test_the_command_line_refuses_them_in_one_sentence(tmp_path):
    words = [sys.executable, "-m", "rbt_ray.cli", "demo", "--workers", "20000"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr.startswith("rbt-ray: `num_workers` is 20,000")
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


@linux
def test_workers_take_no_more_than_the_rule_says():
    pool = started(1)
    try:
        first = count("/proc/self/fd")
        tasks = count("/proc/self/task")
    finally:
        pool.close()
    pool = started(5)
    try:
        assert (count("/proc/self/fd") - first) / 4 <= worker_limits.FILES_EACH
        threads = sum(psutil.Process(pid).num_threads() for pid in pool.pids()) / 5
        assert (count("/proc/self/task") - tasks) / 4 + threads <= worker_limits.TASKS_EACH
        for pid in pool.pids():
            memory = psutil.Process(pid).memory_full_info()
            assert memory.rss >= worker_limits.RESIDENT_BYTES  # or the rule would refuse what works
    finally:
        pool.close()


_CHILD = """
import sys, resource
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.pool.local.test_worker_limits import tuner
from rbt_ray import process_limits
from rbt_ray.errors import SettingError
limit = process_limits.WORKER_FILES + 4 * 8 + 6
resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
most = (process_limits.free_descriptors() - process_limits.WORKER_FILES) // 4
assert most >= 4, most
try:
    tuner(Path({place!r}), num_workers=most + 1)
except SettingError as error:
    assert "`ulimit -n`" in str(error) and f"at most {{most}} can" in str(error), error
else:
    raise SystemExit("not refused")
print(len(tuner(Path({place!r}), num_workers=most).fit()))
"""


@pytest.mark.slow
@linux
def test_the_most_that_descriptors_allow_do_start(tmp_path):
    code = _CHILD.format(root=str(Path.cwd()), place=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=150)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "4"


@linux
@pytest.mark.parametrize(("kind", "shown"), [(resource.RLIMIT_AS, "ulimit -v"), (resource.RLIMIT_NOFILE, "ulimit -n")])
def test_limits_that_nothing_works_with_are_named(kind, shown):
    code = (
        f"import resource; from rbt_ray import process_limits; from rbt_ray.errors import ResourceError\n"
        f"resource.setrlimit({kind}, (64 * 2**20 if {kind} == resource.RLIMIT_AS else 12,) * 2)\n"
        "try: process_limits.check()\nexcept ResourceError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert shown in done.stdout, done.stderr


def test_no_limit_leaves_all_free():
    free = process_limits.free_descriptors()
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert free is None or 0 < free < soft

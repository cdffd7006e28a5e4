"""What starting workers changes in this process: nothing of multiprocessing, and the fork server only where asked."""

import os
import pickle
import subprocess
import sys

import pytest

from rbt_ray.pool.local.main_loop import Outdated, _load
from rbt_ray.pool.pool import Job
from rbt_ray.pool.worker import Worker
from tests.pools import polynomial, task

UNCHANGED = """
import multiprocessing.forkserver, multiprocessing.popen_spawn_posix, multiprocessing.spawn
modules = (multiprocessing.forkserver, multiprocessing.popen_spawn_posix, multiprocessing.spawn)
before = [dict(vars(module)) for module in modules]

def differing():
    state = {"_inheriting"}
    return [
        name
        for module, old in zip(modules, before)
        for name in old.keys() | vars(module).keys()
        if name not in state and vars(module).get(name) is not old.get(name)
    ]
"""


@pytest.mark.slow
@pytest.mark.parametrize("method", ["forkserver", "spawn"])
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork server")
def test_neither_an_import_nor_a_study_changes_a_module_of_multiprocessing(tmp_path, method):
    script = tmp_path / "study.py"
    script.write_text(
        f"{UNCHANGED}\n"
        "print('the script runs')\n"
        "import rbt_ray as rbt\n"
        "import rbt_ray.pool.local.pool, rbt_ray.pool.ray.pool, rbt_ray.compat.rustybt.worker_pool\n"
        "assert differing() == [], differing()\n"
        "results = rbt.Tuner(lambda params, data: params['x'], param_space={'x': rbt.grid_search([1.0, 2.0])},\n"
        "    tune_config=rbt.TuneConfig(metric='x'),\n"
        f"    run_config=rbt.RunConfig(name='study', storage_path={str(tmp_path)!r}, num_workers=2, verbose=0)).fit()\n"
        "assert [result.status for result in results] == ['COMPLETED'] * 2\n"
        "assert differing() == [], differing()\n"
    )
    done = subprocess.run(
        [sys.executable, script],
        env={**os.environ, "RBT_RAY_START_METHOD": method},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "the script runs\n"  # once: no worker runs it again


unpickled = []


class Counted(dict):
    """Modules of a job that count how often they are unpickled."""

    def __reduce__(self):
        return count, (dict(self),)


def count(modules):
    unpickled.append(modules)
    return modules


def test_a_worker_unpickles_the_outer_part_of_a_job_once():
    job = task(polynomial)
    modules, packed = pickle.loads(job.payload)
    counting = Job("counting", pickle.dumps((Counted(modules), packed)), job.reads, job.metric, job.state)
    worker = Worker("here")
    for n in (1, 2):  # the second load also asks whether the worker is outdated
        answer = _load(worker, counting)
        assert answer is None or isinstance(answer, Outdated)
        assert len(unpickled) == n

"""Idle workers hold no resources on a Ray that the user has started."""

import json
import subprocess
import sys
import textwrap

import pytest

_START = """
import json, os, pathlib, sys, time
import ray
import rbt_ray as rbt

def objective(params, data):
    return {"score": params["x"], "pid": os.getpid()}

def fit(name, path, samples=40, **run):
    return rbt.Tuner(
        objective,
        param_space={"x": rbt.uniform(0, 1)},
        tune_config=rbt.TuneConfig(metric="score", mode="max", search_alg="random", num_samples=samples, seed=7),
        run_config=rbt.RunConfig(name=name, storage_path=path, backend="ray", verbose=0, **run),
    ).fit()

def pids(results):
    return sorted({int(result.metrics["pid"]) for result in results})

@ray.remote
def task(until=None):
    while until is not None and not pathlib.Path(until).exists():
        time.sleep(0.05)
    return "done"

def found(answer):
    pathlib.Path(sys.argv[1], "found.json").write_text(json.dumps(answer))  # Ray prints to stdout too

def free():
    return ray.available_resources().get("CPU", 0)

def until(is_so):
    end = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.02)
"""


def run(script, path, *words, env=None):
    """What a script calls `found` with, and the lines of ours on its stderr."""
    source = _START + textwrap.dedent(script)
    done = subprocess.run(
        [sys.executable, "-c", source, str(path), *words], capture_output=True, text=True, timeout=600, env=env
    )
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stderr.splitlines() if line.startswith("rbt-ray:")]
    return json.loads((path / "found.json").read_text()), said


@pytest.mark.slow
def test_a_task_of_the_user_runs_as_soon_as_a_study_is_done_and_the_next_study_finds_warm_workers(tmp_path, users_ray):
    address, env = users_ray
    found, _ = run(
        """
        ray.init(address=sys.argv[2], log_to_driver=False)
        first = fit("first", sys.argv[1])
        answers = ray.get([task.remote() for _ in range(3)], timeout=300)
        second = fit("second", sys.argv[1])
        third = fit("third", sys.argv[1])
        found([answers, pids(first), pids(second), pids(third)])
        """,
        tmp_path,
        address,
        env=env,
    )
    answers, first, second, third = found
    assert answers == ["done"] * 3
    assert set(first) & set(second)
    assert set(first) & set(third)
    assert len({*first, *second, *third}) <= 2


@pytest.mark.slow
def test_processors_are_reserved_while_a_pool_works_and_for_the_actor_that_replaces_one(tmp_path):
    found, _ = run(
        """
        import signal
        from rbt_ray.pool.ray.pool import RayPool
        from tests.pools import batch, collect, points, polynomial, task as job_of

        ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False)
        job = job_of(polynomial)
        pool = RayPool(2, address="auto", num_cpus_per_worker=1)
        seen = []
        while len(pool.pids()) < 2:
            pool.wait(0.1)
        pool.submit(batch(1, job, points(3)))
        collect(pool, 1)
        until(lambda: free() == 0)
        for pid in (killed := pool.pids()):
            os.kill(pid, signal.SIGKILL)
        pool.submit(batch(2, job, points(3)))
        seen.append(collect(pool, 1)[2].lost)
        until(lambda: (pool.wait(0.01), len(pool.pids()) == 2)[1])
        seen.append([free(), not set(killed) & set(pool.pids())])

        seen.append(pool.rest())
        until(lambda: free() == 2)
        warm, others_end = pool.pids(), pathlib.Path(sys.argv[1], "others end")
        others = [task.remote(str(others_end)) for _ in range(2)]
        until(lambda: free() == 0)
        pool.submit(batch(3, job, points(3)))
        seen.append(collect(pool, 1)[3].lost)
        until(lambda: (pool.wait(0.1), not pool.pids())[1])  # others have the processors: no worker is left
        pool.submit(batch(4, job, points(3)))
        seen.append(len(pool.wait(1)))
        others_end.touch()
        seen.append(collect(pool, 1)[4].lost)
        seen.append([ray.get(others, timeout=300), not set(warm) & set(pool.pids())])
        pool.close()
        until(lambda: free() == 2)
        found(seen)
        """,
        tmp_path,
    )
    assert found == [None, [0, True], True, None, 0, None, [["done", "done"], True]]


@pytest.mark.slow
def test_workers_with_other_resources_end_with_their_study_and_one_message(tmp_path):
    found, said = run(
        """
        ray.init("local", num_cpus=4, resources={"slot": 2}, include_dashboard=False, log_to_driver=False)
        first = fit("first", sys.argv[1], resources_per_worker={"slot": 1})
        answers = ray.get([task.options(resources={"slot": 2}).remote()], timeout=300)
        second = fit("second", sys.argv[1], resources_per_worker={"slot": 1})
        found([answers, len(first), len(second), ray.is_initialized()])
        """,
        tmp_path,
    )
    assert found == [["done"], 40, 40, True]
    assert [line for line in said if "waiting for" not in line] == [  # actors start late on a busy machine
        "rbt-ray: the workers end with each study, because idle ones would hold {'slot': 1}, which other tasks on this "
        "Ray cluster may need. The next study starts new ones."
    ]

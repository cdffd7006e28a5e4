"""A worker that no node of a cluster can hold is refused at once, unless an autoscaler may add a node."""

import json
import subprocess
import sys
import textwrap

import pytest

_START = """
import json, pathlib, sys, time
import ray
import rbt_ray as rbt
from rbt_ray.errors import WorkerStartError
from rbt_ray.pool.ray.pool import RayPool

def refused(n_workers=None, **needs):
    began = time.monotonic()
    pool = RayPool(n_workers, address="auto", **needs)
    try:
        while True:
            pool.wait(0.1)
            assert time.monotonic() - began < 50, "neither refused nor started"
    except WorkerStartError as error:
        return [str(error), time.monotonic() - began]
    finally:
        pool.close()

def found(answer):
    pathlib.Path(sys.argv[1], "found.json").write_text(json.dumps(answer))  # Ray prints to stdout too
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
def test_resources_above_those_of_the_largest_node_are_refused_at_once(tmp_path, users_ray):
    address, env = users_ray
    found, said = run(
        """
        ray.init(address=sys.argv[2], log_to_driver=False)
        answers = [refused(2, num_cpus_per_worker=3), refused(resources_per_worker={"slot": 2, "GPU": 1})]
        found(answers)
        """,
        tmp_path,
        address,
        env=env,
    )
    for (sentence, seconds), asked, has in zip(
        found, ("3 CPU", "1 CPU, 2 slot, 1 GPU"), ("2 CPU", "2 CPU, 1 slot, 0 GPU"), strict=True
    ):
        assert sentence == (
            f"no node of the cluster can ever hold a worker: a worker needs {asked}, and no node has that: the largest has "
            f"{has}. Lower `num_cpus_per_worker` or `resources_per_worker`, or start a node that is large enough."
        )
        assert seconds < 20, "a minute without the look at what nodes have"
    assert said == []


@pytest.mark.slow
def test_where_an_autoscaler_runs_a_worker_asks_for_a_node_and_waits_for_it(tmp_path):
    """The report in Ray's store is what an autoscaler writes there; the process that would write another is ended first."""
    found, said = run(
        """
        import os
        import psutil
        from ray.experimental.internal_kv import _internal_kv_put
        from ray.util.placement_group import placement_group_table
        from tests import ray_cluster

        def pending():
            return [one["bundles"] for one in placement_group_table().values() if one["state"] == "PENDING"]

        cluster = ray_cluster.start(num_cpus=1)
        for process in psutil.Process().children(recursive=True):
            if any(word.endswith("monitor.py") for word in process.cmdline()):
                process.kill()
        report = {"active_nodes": {}, "node_type_mapping": {ray.nodes()[0]["NodeID"]: "ray.head.default"}}
        _internal_kv_put(b"__autoscaling_status", json.dumps({"autoscaler_report": report}), overwrite=True)
        pool = RayPool(address="auto", num_cpus_per_worker=2)
        began = time.monotonic()
        while time.monotonic() < began + 12:
            pool.wait(0.1)
        asked = pending()
        cluster.add_node(num_cpus=5)
        while len(pool.pids()) < 2:
            assert time.monotonic() < began + 100
            pool.wait(0.1)
        found([asked, pool.n_workers, pending(), ray.available_resources()["CPU"]])
        pool.close()
        """,
        tmp_path,
    )
    assert found == [[{"0": {"CPU": 2.0}}], 2, [], 2.0]
    assert said == [
        "rbt-ray: waiting up to 900 s for a node to join the cluster: a worker needs 2 CPU, and no node has that: the largest "
        "has 1 CPU (`ray status`)."
    ]


@pytest.mark.slow
def test_a_study_outlives_the_loss_of_its_only_node_until_another_joins(tmp_path):
    found, said = run(
        """
        from tests import ray_cluster
        from tests.pools import batch, collect, points, polynomial, task

        def until(is_so):
            end = time.monotonic() + 100
            while not is_so():
                assert time.monotonic() < end
                pool.wait(0.1)

        cluster = ray_cluster.start(num_cpus=1)
        node = cluster.add_node(num_cpus=2)
        pool = RayPool(address="auto", num_cpus_per_worker=2)
        until(pool.pids)
        cluster.remove_node(node, allow_graceful=False)
        until(lambda: sum(one["Alive"] for one in ray.nodes()) == 1)
        pool.submit(batch(1, task(polynomial), points(3)))
        began = time.monotonic()
        while time.monotonic() < began + 12:
            assert not pool.wait(0.1)
        cluster.add_node(num_cpus=2)
        found(collect(pool, 1)[1].lost)
        pool.close()
        """,
        tmp_path,
    )
    assert found is None
    assert len(said) == 1
    assert said[0].startswith("rbt-ray: waiting up to 900 s for a node to join the cluster: a worker needs 2 CPU")

"""Where workers run: parts of processors, nodes with certain labels, and no node that is about to leave."""

import json
import subprocess
import sys

import pytest

from rbt_ray.pool.ray.placement import matches

_START = """
import json, os, pathlib, sys, time
import ray
from rbt_ray.pool.ray.pool import RayPool
from tests import ray_cluster
from tests.pools import batch, collect, points, task as job_of

FOLDER = pathlib.Path(sys.argv[1])

def objective(params, data):
    import ray
    node = ray.get_runtime_context().get_node_id()
    if params["n"] == 99:
        (FOLDER / "began").write_text(node)
        while not (FOLDER / "end").exists() and (FOLDER / "began").read_text() == node:
            time.sleep(0.05)
    return {"score": params["x"], "node": node}

def rows(n):
    found = points(1)
    found[:, 1] = n
    return found

def until(is_so):
    end = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.05)

def nodes_of(answers):
    return {one.outcomes.metrics["node"].values[0] for one in answers}

cluster = ray_cluster.start()
"""


def run(script, path):
    """What a script writes to found.json."""
    words = [sys.executable, "-c", _START + script, str(path)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return json.loads((path / "found.json").read_text())


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ({}, True),
        ({"kind": "spot"}, True),
        ({"kind": "stable"}, False),
        ({"kind": "!spot"}, False),
        ({"kind": "!stable"}, True),
        ({"kind": "in(stable,spot)"}, True),
        ({"kind": "in(stable, spot)"}, False),
        ({"kind": "!in(stable,spot)"}, False),
        ({"kind": "!in(stable)"}, True),
        ({"kind": "spot", "zone": "b"}, False),
        ({"absent": "x"}, False),
        ({"absent": "!x"}, True),
    ],
    ids=str,
)
def test_a_selector_selects_what_ray_selects(selector, expected):
    assert matches({"kind": "spot", "zone": "a"}, selector) == expected


@pytest.mark.slow
def test_workers_share_processors_and_gpus_of_the_nodes_that_are_selected(tmp_path):
    found = run(
        """
first, second, other = (
    cluster.add_node(num_cpus=1, num_gpus=int(kind == "spot"), labels={"kind": kind}) for kind in ("spot", "stable", "other")
)
wanted = {first.node_id, second.node_id}
two = {"kind": "!other", "ray.io/node-id": "in(%s)" % ",".join(wanted)}
needs = [
    (4, None, {"num_cpus_per_worker": 0.5, "label_selector": {"kind": "in(spot,stable)"}}),
    (2, 2, {"num_cpus_per_worker": 0.5, "label_selector": two}),
    (2, None, {"num_cpus_per_worker": 0.25, "resources_per_worker": {"GPU": 0.5}}),
]
found = []
for n, n_workers, given in needs:
    pool = RayPool(n_workers, address="auto", **given)
    until(lambda: (pool.wait(0.1), len(pool.pids()) == n)[1])
    job = job_of(objective)
    for number in range(8):
        pool.submit(batch(number, job, rows(1)))
    answers = collect(pool, 8).values()
    found.append([pool.n_workers, nodes_of(answers) <= wanted])
    pool.close()
(FOLDER / "found.json").write_text(json.dumps(found))
""",
        tmp_path,
    )
    assert found == [[4, True], [2, True], [2, True]]


@pytest.mark.slow
@pytest.mark.parametrize("goes", [False, True], ids=["stays for a while", "goes"])
@pytest.mark.parametrize("n_workers", [None, 2])
def test_a_node_that_will_leave_gets_no_new_batch_and_its_trial_is_not_lost(tmp_path, n_workers, goes):
    found = run(
        f"""
from ray.core.generated import autoscaler_pb2
both = [cluster.add_node(num_cpus=1) for _ in range(2)]
pool = RayPool({n_workers}, address="auto")
until(lambda: (pool.wait(0.1), len(pool.pids()) == 2)[1])
job = job_of(objective)
pool.submit(batch(0, job, rows(99)))
until(lambda: (pool.wait(0.05), (FOLDER / "began").exists() and (FOLDER / "began").read_text())[1])
node = (FOLDER / "began").read_text()
gcs = ray._private.worker.global_worker.gcs_client
assert gcs.drain_node(node, autoscaler_pb2.DRAIN_NODE_REASON_PREEMPTION, "spot", int((time.time() + 600) * 1000))[0]
until(lambda: (pool.wait(0.1), any(one.is_leaving for one in pool._actors))[1])
for number in range(1, 7):
    pool.submit(batch(number, job, rows(1)))
answers = collect(pool, 6)
others = nodes_of(answers.values())
if {goes}:
    cluster.remove_node(next(one for one in both if one.node_id == node), allow_graceful=False)
    until(lambda: (pool.wait(0.1), (FOLDER / "began").read_text() != node)[1])
(FOLDER / "end").touch()
last = collect(pool, 1)[0]
(FOLDER / "found.json").write_text(json.dumps([node in others, len(others), last.lost, nodes_of([last]) == {{node}}]))
pool.close()
""",
        tmp_path,
    )
    assert found == [False, 1, None, not goes]

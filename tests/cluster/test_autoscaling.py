"""On a cluster that begins without workers, a pool requests nodes, uses them as they join and gives them back."""

import pytest

from tests.cluster import autoscaling

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]


CLIENT = "ray://127.0.0.1:10001"


@pytest.fixture(params=[pytest.param(1, marks=pytest.mark.slow), 2])
def version(request):
    """The version of the autoscaler."""
    return request.param


@pytest.fixture(
    params=[
        pytest.param((1, "auto"), marks=pytest.mark.slow, id="v1"),
        pytest.param((2, "auto"), id="v2"),
        pytest.param((2, CLIENT), marks=pytest.mark.slow, id="v2 by client"),
    ]
)
def cluster(request):
    """The version of the autoscaler, and where a study connects."""
    version, address = request.param
    return {"version": version, "address": address}


@pytest.mark.parametrize("n_workers", [None, pytest.param(2, marks=pytest.mark.slow)])
def test_a_study_that_begins_at_once_gets_nodes(tmp_path, version, n_workers):
    found, said = autoscaling.run(
        f"""
began = n_nodes()
pool = RayPool({n_workers}, address="auto")
job = job_of(polynomial)
for number in range(pool.capacity):
    pool.submit(batch(number, job, points(3)))
answers = collect(pool, pool.capacity)
found([began, sorted({{one.lost for one in answers.values()}}, key=str), n_nodes() >= 1])
pool.close()
""",
        tmp_path,
        version=version,
    )
    assert found == [0, [None], True]
    expected = "node to join the cluster: a worker needs 1 CPU", "for the process of a worker to start"
    assert [line for line in said if not any(text in line for text in expected)] == []


def test_batches_that_wait_get_more_nodes_and_idle_workers_end_while_the_last_batch_runs(tmp_path, cluster):
    found, _ = autoscaling.run(
        """
import rbt_ray.pool.ray.pool as module
module._IDLE_SECONDS = 2.0

def waits(params, data):
    end = pathlib.Path(os.environ["ANSWER"] + (".last" if params["n"] == 99 else ".end"))
    while not end.exists():
        time.sleep(0.1)
    return 1.0

pool = RayPool(None, address="auto", max_workers=3)
job, number = job_of(waits), 0
most = 0
def more():
    global number, most
    pool.wait(0.1)
    while number < pool.capacity + 2:  # more than there are workers, so that a batch always waits
        rows = points(1)
        rows[:, 1] = 99 if number == 0 else 1
        pool.submit(batch(number, job, rows))
        number += 1
    most = max(most, len(pool.pids()))
    return most == 3 and n_nodes() == 2
until(more)
for _ in range(30):
    more()
pathlib.Path(os.environ["ANSWER"] + ".end").touch()
n_left, done = number, []
while len(done) < n_left - 1:
    done += pool.wait(1)
def alone():
    pool.wait(0.1)
    return len(pool.pids()) == 1 and n_nodes() == 1
until(alone)
pathlib.Path(os.environ["ANSWER"] + ".last").touch()
done += collect(pool, 1).values()
found([most, sorted({one.lost for one in done}, key=str), len({one.number for one in done}) == n_left, demand()])
pool.close()
""",
        tmp_path,
        **cluster,
    )
    assert found == [3, [None], True, []]


def test_a_cluster_that_gets_no_node_is_an_error_after_the_time_to_wait(tmp_path, version):
    found, said = autoscaling.run(
        """
began = time.monotonic()
pool = RayPool(None, address="auto", num_cpus_per_worker=4, worker_wait_s=15)
try:
    while True:
        pool.wait(1)
except WorkerStartError as error:
    found([str(error), demand() != []])
""",
        tmp_path,
        version=version,
    )
    assert found[0].startswith(
        "no node that can hold a worker has joined the cluster in 15 s (`worker_wait_s`): a worker"
    )
    assert "`exist='resume'`" in found[0]
    assert found[1]
    assert said == [
        "rbt-ray: waiting up to 15 s for a node to join the cluster: a worker needs 4 CPU, and no node has that: the largest "
        "has 0 CPU (`ray status`)."
    ]


def test_a_node_that_is_drained_by_command_gets_no_new_batch(tmp_path, cluster):
    found, _ = autoscaling.run(
        """
import subprocess
def where(params, data):
    return {"score": 1.0, "node": ray.get_runtime_context().get_node_id()}

def nodes_of(numbers):
    for number in numbers:
        pool.submit(batch(number, job, points(1)))
    return {one.outcomes.metrics["node"].values[0] for one in collect(pool, len(numbers)).values()}

pool, job = RayPool(2, address="auto"), job_of(where)
until(lambda: (pool.wait(0.1), len(pool.pids()) == 2)[1])
both = {actor.home for actor in pool._actors}
going = min(both)
words = [f"--{name}={value}" for name, value in {
    "address": "127.0.0.1:6379", "node-id": going, "reason": "DRAIN_NODE_REASON_PREEMPTION",
    "reason-message": "spot", "deadline-remaining-seconds": 600}.items()]
subprocess.run([pathlib.Path(sys.executable).with_name("ray"), "drain-node", *words], check=True, stdout=sys.stderr)
until(lambda: (pool.wait(0.1), going not in {actor.home for actor in pool._actors if not actor.is_leaving})[1])
found([len(both), going in nodes_of(range(8))])
pool.close()
""",
        tmp_path,
        **cluster,
        n_cpus=1,
    )
    assert found == [2, False]


@pytest.mark.parametrize("address", [pytest.param("auto", marks=pytest.mark.slow), CLIENT])
def test_references_and_parameters_are_read_where_the_trials_run(tmp_path, address):
    found, _ = autoscaling.run(
        """
import numpy as np
from rbt_ray import tune
captured, *factors = [ray.put(np.full(100_000, float(value))) for value in (2, 3, 5)]

def objective(params, data):
    return {"score": float(ray.get(captured).mean() * ray.get(params["factor"]).mean())}

def trainable(config, values):
    return {"score": config["x"] * float(values.mean())}

where = {"backend": "ray", "num_workers": 1, "verbose": 0, "storage_path": str(pathlib.Path(os.environ["ANSWER"]).parent)}
results = rbt.Tuner(
    objective,
    param_space={"factor": rbt.grid_search(factors)},
    tune_config=rbt.TuneConfig(metric="score", search_alg="grid"),
    run_config=rbt.RunConfig(name="ours", **where),
).fit()
rays = tune.Tuner(
    tune.with_parameters(trainable, values=np.full(1_000_000, 7.0)),
    param_space={"x": tune.grid_search([1, 2])},
    run_config=tune.RunConfig(name="rays", **where),
).fit()
found([sorted(trial.metrics["score"] for trial in results), [trial.metrics["score"] for trial in rays]])
""",
        tmp_path,
        address=address,
    )
    assert found == [[6.0, 10.0], [7.0, 14.0]]

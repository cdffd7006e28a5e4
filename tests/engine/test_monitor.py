"""The busy ratio is the share of the workers' time, also while their number changes."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rbt_ray as rbt
from rbt_ray.columns import Outcomes
from rbt_ray.engine.monitor import Monitor
from rbt_ray.engine.progress import Progress
from rbt_ray.monitoring import BATCH_SECONDS
from rbt_ray.store.journal import Finished
from rbt_ray.types import STATUSES

STEPS = st.lists(
    st.tuples(st.integers(0, 5), st.floats(0.1, 100), st.lists(st.tuples(st.floats(0, 5000), st.integers(0, 3)))),
    min_size=1,
    max_size=8,
)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return rbt.Tuner(
        lambda params, data: params["x"],
        param_space={"x": rbt.uniform(0, 1)},
        run_config=rbt.RunConfig(name="mine", storage_path=tmp_path_factory.mktemp("study"), backend="local"),
    ).study


def batch(wall_s, status):
    outcomes = Outcomes(np.array([status], np.uint8), {}, {}, np.zeros(1))
    return Finished(np.zeros(1, np.int64), np.zeros((1, 1)), 1.0, outcomes, "local-0", 0.0, 0.0, wall_s)


@given(steps=STEPS)
def test_samples_are_those_of_the_batches_and_workers_so_far(study, steps):
    now, pool = [0.0], SimpleNamespace(n_workers=0)
    progress = Progress(study, clock=lambda: now[0])
    progress.finished(batch(7.0, 0))  # of an earlier run
    progress.start()
    monitor = Monitor("mine", progress, pool, SimpleNamespace(lag_s=0.0))
    walls, statuses, worker_s = [], [0], 0.0
    for n_workers, seconds, batches in steps:
        pool.n_workers = n_workers
        now[0] += seconds
        worker_s += n_workers * seconds
        for wall_s, status in batches:
            progress.finished(batch(wall_s, status))
            walls.append(wall_s)
            statuses.append(status)
        samples = {family.name: found for family, found in monitor.read()}
        expected = min(1.0, sum(walls) / worker_s) if worker_s else 0.0
        assert samples["rbt_ray_busy_ratio"][0].value == pytest.approx(expected)
        counts = {one.labels["status"]: one.value for one in samples["rbt_ray_trials_total"]}
        assert counts == {name: statuses.count(code) for code, name in enumerate(STATUSES)}
        assert progress.n_failed == len(statuses) - statuses.count(0)
        *buckets, total, count = samples["rbt_ray_batch_seconds"]
        assert [one.value for one in buckets] == [
            sum(wall_s <= limit for wall_s in walls) for limit in (*BATCH_SECONDS, np.inf)
        ]
        assert (total.value, count.value) == (pytest.approx(sum(walls)), len(walls))
    assert samples["rbt_ray_best_value"] == []
    assert dict(monitor.read(running=False)).keys() == dict(monitor.read()).keys()

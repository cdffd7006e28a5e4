"""Prices that are larger than an object store are reported before the study starts, with what to set."""

import json
import subprocess
import sys
import warnings

import pytest

from rbt_ray.pool.ray import store_size
from tests import one_ray

_SCRIPT = """
import json, pathlib, sys, warnings
import numpy as np, pandas as pd
import rbt_ray as rbt
from rbt_ray.pool.ray.pool import RayPool
from tests import ray_cluster
from tests.pools import batch, collect, points, task

cluster = ray_cluster.start(object_store_memory=300 << 20)
cluster.add_node(num_cpus=1, object_store_memory=80 << 20)
n = 12_000
prices = np.random.default_rng(0).uniform(1, 2, (n, 1_000))
bundle = rbt.Bundle.from_frame(pd.DataFrame(prices, index=pd.date_range("1990", periods=n, freq="h")))

def objective(params, data):
    return float(data.close[int(params["n"]), 0])

pool = RayPool(None, address="auto")
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    job = task(objective, pool, bundle)
pool.submit(batch(1, job, points(2)))
answer = collect(pool, 1)[1]
said = [str(one.message) for one in caught if issubclass(one.category, RuntimeWarning)]
pathlib.Path(sys.argv[1]).write_text(json.dumps([said, answer.lost]))
pool.close()
"""


def warned(n_bytes, *, own=True):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        store_size.warn_of_small_stores(n_bytes, "the prices", own=own)
    return [str(one.message) for one in caught]


@pytest.mark.slow
def test_a_private_ray_whose_store_or_shared_memory_is_too_small(monkeypatch):
    one_ray.keep()
    assert warned(1_000) == []
    [said] = warned(10**15)
    assert "the prices take 1,000,000.00 GB, and the object store of " in said
    assert "Set `backend='local'`" in said
    monkeypatch.setattr(store_size, "_shared_memory", lambda: 64 << 20)
    [said] = warned(65 << 20)
    assert said.startswith("the prices take 0.07 GB, and /dev/shm holds 0.07 GB: ")
    assert "Start the container with `--shm-size=190054400`, or set `backend='local'`" in said


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_a_node_with_a_small_store_is_named_and_the_study_still_runs(tmp_path):
    words = [sys.executable, "-c", _SCRIPT, tmp_path / "found.json"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=190)
    assert done.returncode == 0, done.stderr
    [sentence], lost = json.loads((tmp_path / "found.json").read_text())
    assert "the prices take 0.10 GB, and the object store of " in sentence
    assert " holds 0.08 GB: " in sentence
    assert (
        "Start Ray there with `--object-store-memory=224857600`, and a container with a larger `--shm-size`."
        in sentence
    )
    assert lost is None

"""RustyBT's SharedBundleContext on hosts that do not have the bundle's file."""

import json

import pytest

from tests.cluster.ray_cluster import PYTHON

pytestmark = pytest.mark.cluster
N_BARS, N_SYMBOLS = 20_000, 100
BUNDLE_BYTES = 8 * N_BARS * N_SYMBOLS
_DRIVER = f"""
import json, pathlib, pickle, socket, sys
import numpy as np, ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
import rbt_ray as rbt
from rbt_ray.compat.rustybt import SharedBundleContext

def look(context):
    bundle = context.get_bundle()
    here = context.get_metadata().path.exists()
    return socket.gethostname(), here, bundle.version, float(bundle.close.sum()), bundle.close.flags.writeable

def look_in_vain(packed):
    try:
        pickle.loads(packed).get_bundle()
    except rbt_error as error:
        return str(error)

rbt_error = __import__("rbt_ray.errors").errors.BundleError
prices = 100 + np.random.default_rng(0).random(({N_BARS}, {N_SYMBOLS}))
minutes = np.datetime64("2020-01-01", "m") + np.arange({N_BARS})
ingested = rbt.ingest("mine", rbt.Bundle.from_arrays({{"close": prices}}, minutes, [f"S{{n}}" for n in range({N_SYMBOLS})]))

ray.init("auto", logging_level="error", log_to_driver=False)
context = SharedBundleContext("mine")
context.initialize()
packed = pickle.dumps(context)
assert len(packed) < 1_000
found = []
on = lambda node: NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
nodes = [node for node in ray.nodes() if node["Alive"]]
for node in nodes:
    for given in (context, pickle.loads(packed)):  # by Ray's own pickle, and by the standard one
        found.append(ray.get(ray.remote(look).options(scheduling_strategy=on(node)).remote(given)))
context.cleanup()
elsewhere = next(node for node in nodes if node["NodeManagerHostname"] != socket.gethostname())
refusal = ray.get(ray.remote(look_in_vain).options(scheduling_strategy=on(elsewhere)).remote(packed))
told = {{"version": ingested.version, "sum": float(ingested.close.sum()), "found": found, "refusal": refusal}}
pathlib.Path(sys.argv[1]).write_text(json.dumps(told))
"""


def test_hosts_without_the_file_get_the_bundle_once_through_ray(cluster, tmp_path):
    before = {host: host.received for host in cluster.workers}
    cluster.head.run([PYTHON, "-c", _DRIVER, tmp_path / "told.json"], env=cluster.env, cwd=tmp_path)
    told = json.loads((tmp_path / "told.json").read_text())
    assert {found[0] for found in told["found"]} == {cluster.head.name, *(host.name for host in cluster.workers)}
    for name, has_file, version, total, writeable in told["found"]:
        assert has_file == (name == cluster.head.name)
        assert (version, total, writeable) == (told["version"], told["sum"], False)
    for host, was in before.items():
        # Ray's own traffic comes to a few MB; two processes of a host share one copy.
        assert BUNDLE_BYTES < host.received - was < 1.5 * BUNDLE_BYTES, host
    assert "has released it or exited" in told["refusal"]


_SHARE = """
import pathlib, pickle, sys
import ray
from rbt_ray.compat.rustybt import SharedBundleContext
import numpy as np, rbt_ray as rbt

days = np.datetime64("2020-01-01") + np.arange(300)
rbt.ingest("small", rbt.Bundle.from_arrays({"close": np.ones((300, 1))}, days, ["A"]))
ray.init("auto", logging_level="error")
context = SharedBundleContext("small", auto_cleanup=sys.argv[2] == "True")
context.initialize()
pathlib.Path(sys.argv[1]).write_bytes(pickle.dumps(context))
"""
_FETCH = """
import pathlib, pickle, sys
import ray
from rbt_ray.errors import BundleError

ray.init("auto", logging_level="error")
context = pickle.loads(pathlib.Path(sys.argv[1]).read_bytes())
try:
    print("got", context.get_bundle().n_bars)
except BundleError as error:
    print("refused", error)
"""


@pytest.mark.parametrize(("auto_cleanup", "answer"), [(True, "refused"), (False, "got 300")])
def test_auto_cleanup_decides_whether_a_bundle_outlives_its_process(cluster, tmp_path, auto_cleanup, answer):
    file = tmp_path / "context"
    cluster.head.run([PYTHON, "-c", _SHARE, file, str(auto_cleanup)], env=cluster.env, cwd=tmp_path)
    told = cluster.workers[0].run([PYTHON, "-c", _FETCH, file], env=cluster.env, cwd=tmp_path).stdout
    assert answer in told

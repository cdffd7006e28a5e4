"""`rbt-ray doctor --address` on a cluster with one host that differs from the others."""

import json
from pathlib import Path

import numpy as np
import pytest

import rbt_ray as rbt
from tests.cluster.studies import RBT_RAY, Driver

pytestmark = pytest.mark.cluster

PACKAGES = {
    Path(rbt.__file__).parent / "_version.py": rbt.__version__,
    Path(np.__file__).parent / "version.py": np.__version__,
}
_CLOCK_S = 30
_OTHER_CLOCK = f"import time\nright = time.time\ntime.time = lambda: right() + {_CLOCK_S}\n"


def examine(cluster, folder, address="auto"):
    done = Driver(cluster.head, [RBT_RAY, "doctor", "--address", address, "--json"], folder, cluster.env).end()
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.mark.parametrize("address", ["auto", "ray://127.0.0.1:10001"])
def test_a_cluster_as_our_files_start_it_is_well(cluster, tmp_path, address):
    code, found = examine(cluster, tmp_path, address)
    assert code == 0, found
    assert all(one["ok"] for one in found.values()), found
    says = {what: one["says"] for what, one in found.items()}
    assert says["hosts"].startswith(f"3: {cluster.head.name} (the head), ")
    assert all(host.name in says["hosts"] for host in cluster.workers)
    assert "refuses" in says["token"]
    assert says["head"].startswith("port 6379 of all addresses")
    assert says["dashboard"] == "not running"
    assert says["client server"].startswith("port 10001 of the head's loopback only")
    assert f"rbt_ray {rbt.__version__}" in says["versions"]
    assert f"numpy {np.__version__}" in says["versions"]


def test_a_host_with_other_versions_or_another_clock_is_named(cluster, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(_OTHER_CLOCK)

    def prepare(host):
        for file, version in PACKAGES.items():
            assert version in file.read_text()
            host.own(file.parent)
            host.write(file, file.read_text().replace(version, f"{version}.post9"))

    [host] = cluster.join(env={"PYTHONPATH": str(tmp_path)}, prepare=prepare)
    code, found = examine(cluster, tmp_path)
    assert code == 1
    assert [what for what, one in found.items() if not one["ok"]] == ["versions", "clocks"]
    versions = found["versions"]["says"]
    for package, version in (("rbt_ray", rbt.__version__), ("numpy", np.__version__)):
        assert f"{package} is {version} on {cluster.head.name}, " in versions
        assert f" and {version}.post9 on {host.name}" in versions
    assert f"{host.name} is {_CLOCK_S}.0 s ahead of" in found["clocks"]["says"]

"""A study on a cluster whose head runs no trials: it waits for its first host, and again after it has lost the only one."""

import py_compile
import time

import pytest

from tests.cluster.ray_cluster import RayCluster
from tests.cluster.studies import wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def empty_cluster(able, lan):
    return RayCluster(lan, head_cpus=0)


@pytest.fixture
def driver(empty_cluster, study, request):
    """A study that has started without a host to run on, and gives up a trial at its first counted retry."""
    driver = study.run(empty_cluster.head, empty_cluster.env, *request.param, settings="max_retries = 0")
    yield driver
    crashed = list(empty_cluster.workers)
    for host in crashed:
        host.crash()
    wait_for(lambda: not any(empty_cluster.nodes()[host.name]["Alive"] for host in crashed))


@pytest.mark.parametrize(
    ("driver", "gone_s"),
    [pytest.param([], 120, marks=pytest.mark.slow), (["--workers", "2"], 30)],
    indirect=["driver"],
    ids=["all nodes", "2 workers"],
)
def test_the_only_host_comes_late_is_killed_and_is_replaced(empty_cluster, study, expected, driver, gone_s):
    wait_for(lambda: "waiting up to 900 s for a node to join the cluster" in driver.said)
    [host] = empty_cluster.join(n_cpus=2)
    wait_for(lambda: len(study.processes(host)) == 2)
    host.crash()
    wait_for(lambda: not empty_cluster.nodes()[host.name]["Alive"])
    time.sleep(gone_s)  # the fault: no host for up to two minutes
    assert driver.running
    [other] = empty_cluster.join(n_cpus=2)
    wait_for(lambda: len(study.processes(other)) == 2)
    study.hurry()
    done = driver.end()
    assert done.returncode == 0, done.stderr
    found = driver.result()
    assert found["table_hash"] == expected
    assert found["n_failed"] == 0
    line = f"rbt-ray: the study is stored in {study.path} on {empty_cluster.head.name}: `scp -r "
    assert done.stderr.count(line) == 1  # at its start there was one host


@pytest.mark.parametrize("address", ["auto", pytest.param("ray://127.0.0.1:10001", marks=pytest.mark.slow)])
def test_a_module_that_hosts_lack_is_named_with_the_setting_that_sends_it(empty_cluster, study, address):
    private = study.folder / "private"
    private.mkdir()
    (study.folder / "source.py").write_text("OFFSET = 0.0\n")
    py_compile.compile(study.folder / "source.py", private / "compiled.pyc")
    module = study.folder / "paced.py"
    module.write_text(f"import compiled\n{module.read_text()}")
    env = {**empty_cluster.env, "PYTHONPATH": str(private)}
    [host] = empty_cluster.join(prepare=lambda host: host.hide(private))
    study.hurry()
    done = study.run(empty_cluster.head, env, address=address).end()
    assert done.returncode == 2
    setting = f"RunConfig(runtime_env={{'working_dir': '{private}'}})"
    assert (
        f"No module named 'compiled'. Make its module importable on the hosts where they run. The driver has it: `{setting}`"
        in done.stderr
    )
    settings = f'runtime_env = {{ working_dir = "{private}" }}'
    again = study.run(empty_cluster.head, env, "--exist", "resume", address=address, settings=settings)
    assert again.result()["n_failed"] == 0
    assert study.seen(host)
    host.crash()
    wait_for(lambda: not empty_cluster.nodes()[host.name]["Alive"])

"""A lost host loses no trial: its trials run elsewhere, and the table is the same."""

import time

import pytest

from tests.cluster.studies import wait_for

pytestmark = pytest.mark.cluster

NOTICED_S = 20
"""Within this a silent host is dead to Ray. Our settings say 4-6 s and Ray's own a minute; the rest is for busy machines."""


def begin(cluster, study):
    """Returns a driver on the head when every host runs trials."""
    driver = study.run(cluster.head, cluster.env)
    wait_for(lambda: study.seen(cluster.head, *cluster.workers))
    return driver


def finish(driver, study, *hosts):
    """Waits until each of these hosts has started another trial, and returns the table's hash."""
    now = time.time()
    wait_for(lambda: study.seen(*hosts, since=now))
    study.hurry()
    return driver.result()["table_hash"]


def test_a_host_whose_processes_are_killed(cluster, study, expected):
    driver = begin(cluster, study)
    cluster.workers[0].crash()
    assert finish(driver, study, cluster.head, *cluster.workers) == expected


def test_a_host_that_loses_power_is_noticed_long_before_ray_would_by_itself(cluster, study, expected):
    driver = begin(cluster, study)
    host = cluster.workers[0]
    host.lose_power()
    wait_for(lambda: not cluster.nodes()[host.name]["Alive"], seconds=NOTICED_S)
    assert "health check" in cluster.nodes()[host.name]["DeathReasonMessage"]
    assert finish(driver, study, cluster.head, *cluster.workers) == expected


def test_a_link_that_is_cut_briefly_and_heals_costs_nothing(cluster, study, expected):
    driver = begin(cluster, study)
    host = cluster.workers[0]
    before = study.processes(host)
    host.cut()
    time.sleep(2)  # the fault: less than the 3 s that the settings allow
    host.heal()
    assert finish(driver, study, host) == expected
    assert study.processes(host) == before
    assert cluster.nodes()[host.name]["Alive"]


def test_a_link_that_is_cut_for_longer_loses_its_host_and_no_trial(cluster, study, expected):
    driver = begin(cluster, study)
    host = cluster.workers[0]
    host.cut()
    wait_for(lambda: not cluster.nodes()[host.name]["Alive"], seconds=NOTICED_S)
    host.heal()
    assert finish(driver, study, cluster.head, *cluster.workers[1:]) == expected
    assert not cluster.nodes()[host.name]["Alive"]
    host.crash()


def test_what_an_objective_started_ends_with_a_worker_that_is_killed(cluster, study):
    module = study.folder / "paced.py"
    start = "import subprocess\n(HERE / f'child-{socket.gethostname()}-{os.getpid()}').write_text(str(subprocess.Popen(['sleep', '999']).pid))\n"
    module.write_text(module.read_text().replace("def objective", f"{start}\ndef objective"))
    driver = begin(cluster, study)
    host = cluster.workers[0]
    [worker] = study.processes(host)
    child = (study.folder / f"child-{host.name}-{worker}").read_text()

    def runs():
        return host.run(["test", "-d", f"/proc/{child}"], check=False).returncode == 0

    assert runs()
    host.run(["kill", "-9", str(worker)])
    wait_for(lambda: not runs(), seconds=20)
    finish(driver, study, host)

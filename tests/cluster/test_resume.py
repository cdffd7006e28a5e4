"""A study whose driver or head dies can be resumed from its journal on any head, with the same table."""

import pytest

from tests.cluster.ray_cluster import RayCluster
from tests.cluster.studies import wait_for

pytestmark = pytest.mark.cluster

N_TRIALS = 200
N_BEGUN = 60


def test_a_driver_that_is_killed(cluster, study, expected):
    killed = study.run(cluster.head, cluster.env)
    wait_for(lambda: len(study.begun()) > N_BEGUN)
    killed.kill()
    resumed = study.resume(cluster.head, cluster.env)
    study.hurry()
    assert resumed.result()["table_hash"] == expected
    # Only running trials run again: one or two batches per actor, with one or two trials each.
    assert N_TRIALS <= len(study.begun()) < N_TRIALS + N_BEGUN / 2


def test_a_head_that_is_killed_with_the_driver_on_it(lan, study, expected):
    cluster = RayCluster(lan)
    [worker] = cluster.join()
    driver = study.run(cluster.head, cluster.env)
    wait_for(lambda: study.seen(cluster.head, worker))
    for host in (cluster.head, worker):
        host.crash()
    driver.end()
    cluster.start_head()
    [worker] = cluster.join()
    resumed = study.resume(cluster.head, cluster.env)
    wait_for(lambda: study.seen(cluster.head, worker))
    study.hurry()
    assert resumed.result()["table_hash"] == expected

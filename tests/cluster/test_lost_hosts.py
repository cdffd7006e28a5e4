"""A host that is lost costs no trial: what it held runs elsewhere, and the table is the same."""

import time

import pytest

from tests.cluster.studies import wait_for

pytestmark = pytest.mark.cluster


def begin(cluster, study):
    """A driver on the head, once every host is at work."""
    driver = study.run(cluster.head, cluster.env)
    wait_for(lambda: study.seen(cluster.head, *cluster.workers))
    return driver


def test_a_host_whose_processes_are_killed(cluster, study, expected):
    driver = begin(cluster, study)
    cluster.workers[0].crash()
    lost = time.time()
    wait_for(lambda: study.seen(cluster.head, *cluster.workers, since=lost))
    study.hurry()
    result = driver.result()
    assert result["table_hash"] == expected


def test_a_host_that_loses_power(cluster, study, expected):
    driver = begin(cluster, study)
    cluster.workers[0].lose_power()
    lost = time.time()
    wait_for(lambda: study.seen(cluster.head, *cluster.workers, since=lost))
    study.hurry()
    result = driver.result()
    assert result["table_hash"] == expected


def test_a_link_that_is_cut_and_heals(cluster, study, expected):
    driver = begin(cluster, study)
    host = cluster.workers[0]
    host.cut()
    time.sleep(2)
    host.heal()
    healed = time.time()
    wait_for(lambda: study.seen(host, since=healed))
    study.hurry()
    result = driver.result()
    assert result["table_hash"] == expected

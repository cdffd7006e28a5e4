"""The same study on three hosts."""

import pytest

from tests.cluster.studies import wait_for

pytestmark = pytest.mark.cluster


def test_three_hosts_give_the_local_table_and_all_take_part(cluster, study, expected):
    driver = study.run(cluster.head, cluster.env)
    wait_for(lambda: study.seen(cluster.head, *cluster.workers))
    study.hurry()
    result = driver.result()
    assert result["table_hash"] == expected
    assert result["backend"] == "ray"

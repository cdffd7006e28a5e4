"""The same study on three hosts, from any driver, with one bundle per host."""

import numpy as np
import pandas as pd
import pytest

import rbt_ray as rbt
from tests.cluster.studies import wait_for

pytestmark = pytest.mark.cluster
N_BARS, N_SYMBOLS = 50_000, 100
BUNDLE_BYTES = 8 * N_BARS * N_SYMBOLS


@pytest.fixture(scope="module")
def large_bundle(tmp_path_factory):
    """Where a bundle named "large" of 40 MB is registered."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RBT_RAY_HOME", str(home))
        prices = np.exp(np.random.default_rng(0).normal(0, 0.01, (N_BARS, N_SYMBOLS)).cumsum(axis=0))
        columns = [f"S{number}" for number in range(N_SYMBOLS)]
        rbt.ingest("large", pd.DataFrame(prices, index=pd.date_range("1900", periods=N_BARS), columns=columns))
    return home


@pytest.mark.parametrize("address", ["auto", "ray://127.0.0.1:10001"])
def test_three_hosts_give_the_local_table_and_all_take_part(cluster, study, expected, address):
    driver = study.run(cluster.head, cluster.env, address=address)
    wait_for(lambda: study.seen(cluster.head, *cluster.workers))
    study.hurry()
    result = driver.result()
    assert result["table_hash"] == expected
    assert result["backend"] == "ray"


def test_a_host_that_joins_gets_its_actors_and_the_bundle_once_for_both(cluster, study, large_bundle):
    env = {**cluster.env, "RBT_RAY_HOME": str(large_bundle)}
    before = {host: host.received for host in cluster.workers}
    driver = study.run(cluster.head, env, bundle="large")
    wait_for(lambda: study.seen(*cluster.workers))
    [late] = cluster.join(n_cpus=2)
    wait_for(lambda: len(study.processes(late)) == 2)
    before[late] = 0
    study.hurry()
    driver.result()
    for host, was in before.items():
        # Ray's own traffic comes to a few MB.
        assert BUNDLE_BYTES < host.received - was < 1.5 * BUNDLE_BYTES, host

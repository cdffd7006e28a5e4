"""One cluster for all tests that do not end its head. Hosts that they end are replaced."""

import pytest

from tests.cluster.hosts import Lan, what_is_missing
from tests.cluster.ray_cluster import RayCluster
from tests.cluster.studies import Study, local_table_hash

N_WORKERS = 2


@pytest.fixture(scope="session")
def able():
    """These tests run only on request, so that missing tools are a failure."""
    if missing := what_is_missing():
        pytest.exit(f"the tests of several hosts cannot run: {missing}", returncode=1)


@pytest.fixture(scope="module")
def lan(able, tmp_path_factory):
    """A network for this module."""
    with Lan(tmp_path_factory.mktemp("own") / "lan", {}) as lan:
        yield lan


@pytest.fixture(scope="session")
def standing_cluster(able, tmp_path_factory):
    with Lan(tmp_path_factory.mktemp("cluster") / "lan", {}) as lan:
        yield RayCluster(lan)


@pytest.fixture
def cluster(standing_cluster):
    """A cluster of a head and two workers."""
    standing_cluster.join(N_WORKERS - len(standing_cluster.workers))
    yield standing_cluster
    for host in standing_cluster.workers[N_WORKERS:]:
        host.crash()


@pytest.fixture
def study(tmp_path):
    folder = tmp_path / "study"
    folder.mkdir()
    return Study(folder)


@pytest.fixture(scope="session")
def expected(tmp_path_factory):
    """The hash of the study's table on the local pool."""
    return local_table_hash(tmp_path_factory.mktemp("local"))

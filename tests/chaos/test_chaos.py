"""The short version: at least sixty faults, and the same table as without faults."""

import os
import tempfile
from pathlib import Path

import pytest

from tests.chaos.hosts import HostChaos
from tests.chaos.run import Chaos
from tests.cluster.hosts import what_is_missing

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]

LOCAL = range(100, 115)
RAY = [500]
HOSTS = [700, 701]
LEAST_FAULTS = 60


@pytest.fixture
def short_path():
    """A short path, since a fork server's socket below it may have at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="rbt-chaos-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def test_studies_end_as_if_nothing_had_happened(short_path):
    """With root, disks are filled too."""
    chaos = Chaos(short_path, root=os.geteuid() == 0)
    for seed in RAY:
        chaos.study(seed, "ray", n_faults=5)
    for seed in LOCAL:
        if chaos.tally.faults.total() < LEAST_FAULTS:  # a study may be done before all of its faults
            chaos.study(seed, "local", n_faults=8)
    print(chaos.tally)
    assert chaos.tally.faults.total() >= LEAST_FAULTS, chaos.tally


@pytest.mark.skipif(os.geteuid() != 0, reason="hosts are made of namespaces, which needs root on Linux")
def test_studies_on_hosts_that_are_killed_and_cut_off_end_as_if_nothing_had_happened(short_path):
    assert not (missing := what_is_missing()), missing
    with HostChaos(short_path) as chaos:
        for seed in HOSTS:
            chaos.study(seed, n_faults=3)
        print(chaos.tally)
        assert chaos.tally.faults.total() == 3 * len(HOSTS)

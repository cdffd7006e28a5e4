"""The short version: at least sixty faults, and a table as if nothing had happened."""

import os
import tempfile
from pathlib import Path

import pytest

from tests.chaos.run import Chaos

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]

LOCAL = range(100, 109)
RAY = [500, 502]
LEAST_FAULTS = 60


@pytest.fixture
def short_path():
    """A fork server's socket lies below it, and its path may have 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="rbt-chaos-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def test_studies_end_as_if_nothing_had_happened(short_path):
    """With root, disks are filled too; the others run without."""
    chaos = Chaos(short_path, root=os.geteuid() == 0)
    for seed in LOCAL:
        chaos.study(seed, "local", n_faults=7)
    for seed in RAY:
        chaos.study(seed, "ray", n_faults=5)
    print(chaos.tally)
    assert chaos.tally.faults.total() >= LEAST_FAULTS, chaos.tally

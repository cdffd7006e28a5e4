"""After a power cut at any moment, all flushed events are there, and the resumed study has the same table."""

import json
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from rbt_ray.store.journal_file import RawEvents
from tests.crash import shim

ROOT = Path(__file__).parents[2]
ENV = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}


def record(library, folder, *failing):
    """Records a study: what to call states.py with, its trace, its table's hash and its events."""
    storage, trace, rows = folder / "studies", folder / "trace", folder / "rows"
    words = [sys.executable, "-m", "tests.crash.record", str(storage), str(trace), *map(str, failing)]
    env = {**ENV, "LD_PRELOAD": str(library)}
    done = subprocess.run(words, env=env, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with closing(RawEvents(storage / "study")) as events:
        rows.write_bytes(pickle.dumps(events.rows(1)))
    return str(trace), done.stdout.strip(), str(rows)


def counts(recorded, first, stop):
    """Returns the number of states of each kind; fails if one is wrong."""
    words = [sys.executable, "-m", "tests.crash.states", *recorded, str(first), str(stop)]
    done = subprocess.run(words, cwd=ROOT, env=ENV, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    *wrong, found = map(json.loads, done.stdout.splitlines())
    assert not wrong, "\n".join(f"{len(wrong)} states are wrong; {one}" for one in wrong[:5])
    assert sum(found.values()) == stop - first
    return found


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return shim.compiled(tmp_path_factory.mktemp("shim"))


@pytest.mark.parametrize("failing", [[], [8]], ids=["no error", "a failed fsync of the log"])
def test_some_power_cuts(library, tmp_path, failing):
    found = counts(record(library, tmp_path, *failing), 0, 40)
    assert found["all events"]
    assert found["first events"]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("failing", [[], [4], [8], [12]], ids=lambda failing: f"failed {failing}")
def test_1500_power_cuts(library, tmp_path, failing):
    recorded = record(library, tmp_path, *failing)
    n = 1500 if not failing else 500
    with ThreadPoolExecutor(2) as threads:  # two processes
        list(threads.map(lambda part: counts(recorded, *part), ((1000, 1000 + n // 2), (1000 + n // 2, 1000 + n))))

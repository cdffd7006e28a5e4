"""With any resource missing, every command ends in time with a documented exit code and a message.

Each case is a real process under a real limit: no memory, no descriptors, no working directory, closed streams.
"""

import random
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.machine.calls import CALLS, applies, make_files
from tests.machine.faults import FAULTS
from tests.machine.run import run

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the limits are Linux's")

QUICK = ("show", "report", "ingest csv", "ingest parquet", "bundle list", "bundle show", "help", "from_frame", "ingest")
"""Calls that start no workers."""
ALWAYS = (
    ("run", "350 MiB of address space"),
    ("run", "no working directory"),
    ("resume", "6 descriptors"),
    ("report", "files of 40000 bytes"),
    ("show", "stdout full"),
)
"""Cases that ended in a traceback before failures of the operating system were explained."""
N_SAMPLED = 4


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    make_files(folder)
    return folder


def check(cases, files, tmp_path):
    def one(numbered):
        number, (name, fault) = numbered
        work = tmp_path / str(number)
        work.mkdir()
        ended = run(name, fault, files, work)
        wrong = ended.wrong(fault)
        return wrong and f"{name!r} with {fault!r}: {wrong}\n{ended.stderr}"

    with ThreadPoolExecutor(2) as threads:
        found = [message for message in threads.map(one, enumerate(cases)) if message]
    assert not found, "\n".join(found)


@pytest.mark.slow
def test_some_calls_under_some_faults(files, tmp_path):
    every = [(name, fault) for fault in FAULTS for name in QUICK if applies(name, fault)]
    check([*ALWAYS, *random.Random(20).sample(every, N_SAMPLED)], files, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", CALLS)
def test_every_call_under_every_fault(name, files, tmp_path):
    check([(name, fault) for fault in FAULTS if applies(name, fault)], files, tmp_path)

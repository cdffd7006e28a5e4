"""If any system call on a study's folder fails, the study ends correctly or with a message, and can be resumed."""

import errno
import json
import os
import resource
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tests.crash import shim
from tests.crash.study import tuner

ROOT = Path(__file__).parents[2]
KINDS = [
    (errno.EIO, 0),
    (errno.EIO, 1),
    (errno.ENOSPC, 0),
    (errno.ENOSPC, 1),
    (errno.EDQUOT, 0),
    (errno.EDQUOT, 1),
    (errno.EINTR, 0),
]
MOST_CALLS = 260  # a study makes about 205; threads make the number vary


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return shim.compiled(tmp_path_factory.mktemp("shim"))


def outcomes(library, cases):
    """The right table's hash and the outcome of each case, by faults.py in a process that the library is loaded into."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.crash.faults"],
        input="".join(f"{json.dumps(case)}\n" for case in cases),
        env={**os.environ, "LD_PRELOAD": str(library), "OPENBLAS_NUM_THREADS": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    expected, *lines = done.stdout.splitlines()
    assert len(lines) == len(cases)
    return expected, [json.loads(line) for line in lines]


def wrong(expected, found):
    """Returns the error in an outcome, if any."""
    code, said = found["code"], found["said"]
    if code is None:
        return "the study hung"
    if "Traceback" in said:
        return "a traceback"
    if code == 0 and found["out"] != f"{expected}\n":
        return "another table"
    if code != 0 and code != 130 and "rbt-ray: " not in said:
        return "no sentence"
    if found["again"][:2] != [0, f"{expected}\n"]:
        return "the study cannot be resumed to the same table"
    return None


def check(library, cases):
    """Runs the cases and returns how many of them hit a call."""
    expected, found = outcomes(library, cases)
    failures = [(case, why, one) for case, one in zip(cases, found, strict=True) if (why := wrong(expected, one))]
    assert not failures, "\n\n".join(f"{case}: {why}\n{one}" for case, why, one in failures)
    return sum(bool(one["n_failed"]) for one in found)


@pytest.mark.slow
def test_a_sample_of_calls_fails(library):
    rng = np.random.default_rng(17)
    cases = [(int(n), *KINDS[rng.integers(len(KINDS))]) for n in rng.integers(1, 260, 12)]
    assert check(library, cases) >= 10


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_call_fails(library):
    cases = [(n, *KINDS[0]) for n in range(1, MOST_CALLS)]
    cases += [(n, *KINDS[1 + n % (len(KINDS) - 1)]) for n in range(1, MOST_CALLS)]
    with ThreadPoolExecutor(2) as threads:  # two processes
        n_hit = sum(threads.map(lambda part: check(library, part), (cases[::2], cases[1::2])))
    assert 2 * 180 < n_hit < len(cases)  # the cases cover all calls of the study


STUDY = """
objective = "mine:objective"
bundle = "fx"
[space]
x = { uniform = [0.0, 1.0] }
[search]
metric = "score"
search_alg = "random"
num_samples = 30
seed = 5
[run]
storage_path = "STORAGE"
"""
OBJECTIVE = "def objective(params, data):\n    return float(data.close[-1, 0] * params['x'])\n"
LASTING = [(errno.EIO, 0), (errno.EIO, 1), (errno.ENOSPC, 0), (errno.EDQUOT, 0)]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_sample_of_calls_of_the_command_line_fails(library, tmp_path):
    """With worker processes and the report; without a disk that stays full, which is waited for without end."""
    (tmp_path / "mine.py").write_text(OBJECTIVE)
    rng = np.random.default_rng(5)
    hashes, n_failed = set(), 0
    for case, call in enumerate([10**6, *rng.integers(1, 200, 8)]):
        storage = tmp_path / str(case)
        (tmp_path / "study.toml").write_text(STUDY.replace("STORAGE", str(storage)))
        failure, forever = LASTING[case % len(LASTING)]
        words = [sys.executable, "-m", "tests.crash.command", storage, call, failure, forever]
        words += ["run", "study.toml", "--workers", "1", "--json"]
        env = {**os.environ, "LD_PRELOAD": str(library), "PYTHONPATH": str(ROOT)}
        done = subprocess.run(list(map(str, words)), cwd=tmp_path, env=env, capture_output=True, text=True, timeout=100)
        where = f"call {call}, errno {failure}, for ever {forever}: {done.returncode} {done.stderr}"
        assert "Traceback" not in done.stderr, where
        if done.returncode == 0:
            hashes.add(json.loads(done.stdout)["table_hash"])
        else:
            n_failed += 1
            assert "rbt-ray: " in done.stderr, where
        began = (storage / "study" / "journal.sqlite").exists()
        words = ["resume", str(storage / "study")] if began else ["run", "study.toml"]
        again = subprocess.run(
            [sys.executable, "-m", "rbt_ray.cli", *words, "--json"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=100,
        )
        assert again.returncode == 0, f"{where}\n{again.stderr}"
        hashes.add(json.loads(again.stdout)["table_hash"])
    assert len(hashes) == 1
    assert n_failed > 3


@pytest.mark.slow
def test_a_report_that_the_disk_does_not_take_is_a_sentence(tmp_path):
    tuner(tmp_path).fit()

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))  # a write beyond it fails, without the file's name

    words = [sys.executable, "-m", "rbt_ray.cli", "report", str(tmp_path / "study")]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, preexec_fn=limit, timeout=100)
    assert done.returncode == 1
    assert done.stderr.startswith(f"rbt-ray: {tmp_path / 'study'}/report.html: a file would be larger than allowed.")
    assert done.stderr.count("\n") == 1

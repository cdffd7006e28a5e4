"""The best trial and the hash take the same memory for any number of trials, and the report what the columns take."""

import subprocess
import sys

import pytest

import rbt_ray as rbt

FEW, MANY = 200_000, 1_000_000
MOST_BYTES = {"get_best_result()": 20, "table_hash()": 20, "report({report!r})": 160}
"""Per trial with two numbers and two metrics, whose columns take 50 bytes in the journal and 52 in the table."""
SCRIPT = """
from pathlib import Path
from rbt_ray.tuner.result_grid import ResultGrid
results = ResultGrid({path!r})
results.{call}
print(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
"""


@rbt.batched
def difference(params, data):
    return [{"score": one["a"] - one["b"], "cost": one["a"]} for one in params]


def peak_bytes(path, call, report):
    script = SCRIPT.format(path=str(path), call=call.format(report=str(report)))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return 1024 * int(done.stdout)


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    folder = tmp_path_factory.mktemp("studies")
    for n in (FEW, MANY):
        rbt.Tuner(
            difference,
            param_space={"a": rbt.uniform(0, 1), "b": rbt.uniform(0, 1)},
            tune_config=rbt.TuneConfig(metric="score", mode="max", search_alg="random", num_samples=n, seed=1),
            run_config=rbt.RunConfig(f"n{n}", folder, backend="local", num_workers=2, verbose=0, recheck=0),
        ).fit()
    return folder


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak memory from /proc")
@pytest.mark.parametrize("call", MOST_BYTES)
def test_memory_per_trial(studies, tmp_path, call):
    few, many = (peak_bytes(studies / f"n{n}", call, tmp_path / "report.html") for n in (FEW, MANY))
    assert (many - few) / (MANY - FEW) <= MOST_BYTES[call]

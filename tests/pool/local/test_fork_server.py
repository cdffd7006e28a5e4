"""Workers that the fork server forks share its memory: they import nothing that it can import, and write little to its pages."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux forks workers from a server")

STUDY = """
import json, sys, warnings
from pathlib import Path
warnings.simplefilter("ignore")
import psutil
import rbt_ray as rbt

modules = Path(__file__).with_name("modules")

def plain(params, data):
    modules.write_text(json.dumps(sorted(sys.modules)))
    return float(params["k"]) if data is None else float(data["close"][-params["k"] - 1, 0])

def backtest(params, data):
    result = rbt.backtest(data, weights=(data.sma("close", params["k"] + 5) > data.close) / data.n_symbols)
    modules.write_text(json.dumps(sorted(sys.modules)))
    return result

def study(name, objective, space, bundle="sample"):
    results = rbt.Tuner(objective, param_space=space, bundle=bundle,
        tune_config=rbt.TuneConfig(metric="sharpe", mode="max", search_alg="random", num_samples=500, seed=1),
        run_config=rbt.RunConfig(name=name, storage_path=Path(__file__).parent, num_workers=2, verbose=0, recheck=0,
                                 backend="local")).fit()
    assert not results.errors, results.errors[0]

def workers():
    driver = psutil.Process()
    return [child for child in driver.children(recursive=True) if child.ppid() != driver.pid]

def private_bytes():
    return max(worker.memory_full_info().uss for worker in workers())

K = {"k": rbt.randint(0, 4)}
"""

SERVER = """
import json, sys
from multiprocessing.forkserver import main
import rbt_ray.pool.local.{preload}
print(json.dumps(sorted(sys.modules)))
"""


def run(folder: Path, code: str) -> str:
    script = folder / "script.py"
    script.write_text(code)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("preload", "study"),
    [
        ("preload", "study('s', plain, K, bundle=None)"),
        ("preload_prices", "study('s', plain, K)"),
        ("preload_prices", "study('s', backtest, K)"),
        (
            "preload_prices",
            "study('s', rbt.objectives.sma_cross(), {'fast': rbt.randint(5, 20), 'slow': rbt.randint(30, 90)})\n"
            "study('t', plain, K)",
        ),
    ],
    ids=["no prices", "prices", "backtest", "sweep"],
)
def test_workers_import_nothing_that_the_fork_server_can_import(tmp_path, preload, study):
    run(tmp_path, STUDY + study)
    in_worker = set(json.loads((tmp_path / "modules").read_text()))
    in_server = set(json.loads(run(tmp_path, SERVER.format(preload=preload))))
    assert in_worker - in_server == set()


@pytest.mark.slow
@pytest.mark.skipif(sys.version_info >= (3, 12), reason="measured on Python 3.11")
@pytest.mark.parametrize(
    ("bundle", "limit"),
    [(None, 7_200_000), ("'sample'", 9_400_000)],
    ids=["no prices", "prices"],
)
def test_workers_share_most_of_their_memory(tmp_path, bundle, limit):
    """The limits are halfway between the private memory of a worker with and without the trials of the fork server."""
    printed = run(tmp_path, STUDY + f"study('s', plain, K, bundle={bundle})\nprint(private_bytes())")
    assert int(printed) < limit


EVALUATE = """
import json, pathlib, sys
from rbt_ray.pool.local import warm_up

returned = []

def record(frame, event, value):
    if event == "return" and frame.f_code.co_filename == warm_up.__file__ and frame.f_code.co_name == "objective":
        returned.append(value)

{before}
sys.setprofile(record)
warm_up.evaluate_trials(prices={prices})
sys.setprofile(None)
print(json.dumps(returned))
"""


@pytest.mark.parametrize("prices", [False, True])
def test_the_fork_server_evaluates_trials(tmp_path, prices):
    returned = json.loads(run(tmp_path, EVALUATE.format(before="", prices=prices)))
    assert len(returned) == 8
    assert all(math.isfinite(value) for value in returned)


def test_prices_that_cannot_be_read_do_not_end_the_fork_server(tmp_path):
    before = f"warm_up.embedded.__file__ = {str(tmp_path / '__init__.py')!r}"
    run(tmp_path, EVALUATE.format(before=before, prices=True))


def test_fork_servers_give_different_random_states_to_their_workers(tmp_path):
    code = "import rbt_ray.pool.local.preload, random, numpy as np\nprint(random.random(), np.random.random())"
    first, second = (run(tmp_path, code).split() for _ in range(2))
    assert first[0] != second[0]
    assert first[1] != second[1]

"""Studies in processes that other libraries started, and processes that objectives start."""

import json
import os
import subprocess
import sys
import textwrap

import pytest

SCRIPT = """
import json, multiprocessing, os, sys
from concurrent.futures import ProcessPoolExecutor
import rbt_ray as rbt
import rbt_ray.errors

def objective(params, data):
    return params["n"]

def with_a_pool(params, data):
    with multiprocessing.get_context("fork").Pool(2) as pool:
        return sum(pool.map(abs, [-params["n"], -1]))

def study(name, objective=objective):
    results = rbt.Tuner(
        objective,
        param_space={"n": rbt.randint(0, 6)},
        tune_config=rbt.TuneConfig(metric="m", mode="max", search_alg="grid"),
        run_config=rbt.RunConfig(name=name, storage_path=sys.argv[1], num_workers=1, verbose=0),
    ).fit()
    return results.get_best_result().metrics["m"] if results.num_terminated else results.errors[0]

def said(name):
    try:
        return study(name)
    except rbt.errors.SettingError as error:
        return str(error)

def forked(name):
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.write(writing, json.dumps(said(name)).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        return json.load(answer)

def in_executor(method):
    with ProcessPoolExecutor(2, multiprocessing.get_context(method)) as executor:
        return list(executor.map(said, [f"{method}-1", f"{method}-2"]))

def with_joblib():
    import joblib
    return joblib.Parallel(2)(joblib.delayed(said)(f"joblib-{number}") for number in range(2))

def in_pool():
    with multiprocessing.Pool(1) as pool:
        return pool.map(said, ["pool"])

if __name__ == "__main__":
    first = study("first")
    found = eval(sys.argv[2])
    print(json.dumps([first, found, study("last")]))
"""


def run(tmp_path, call):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), str(tmp_path / "studies"), call]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=True, stdin=subprocess.DEVNULL)
    assert "Traceback" not in done.stderr
    first, found, last = json.loads(done.stdout)
    assert first == last == 5.0
    return found


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a system without fork")
def test_a_forked_child_runs_a_study_after_its_parent_did(tmp_path):
    assert run(tmp_path, "[forked('a'), forked('b')]") == [5.0, 5.0]


@pytest.mark.slow
@pytest.mark.parametrize("call", ["in_executor('spawn')", "with_joblib()"])
def test_studies_run_side_by_side_in_other_pools(tmp_path, call):
    assert run(tmp_path, call) == [5.0, 5.0]


def test_a_daemon_process_gets_an_error_with_an_alternative(tmp_path):
    (said,) = run(tmp_path, "in_pool()")
    assert "ProcessPoolExecutor" in said


def test_an_objective_can_start_its_own_pool(tmp_path):
    assert run(tmp_path, "study('outer', with_a_pool)") == 6.0


def test_a_study_without_main_guard_is_named(tmp_path):
    """Each worker imports the module of the objective, which begins a study when it is imported."""
    module = """
        import rbt_ray as rbt

        def objective(params, data):
            return params["n"]

        rbt.Tuner(
            objective,
            param_space={"n": rbt.randint(0, 6)},
            tune_config=rbt.TuneConfig(metric="m", mode="max"),
            run_config=rbt.RunConfig(name="unguarded", storage_path="studies", num_workers=1, verbose=0),
        ).fit()
    """
    (tmp_path / "unguarded.py").write_text(textwrap.dedent(module))
    done = subprocess.run(
        [sys.executable, "-c", "import unguarded"], cwd=tmp_path, capture_output=True, text=True, timeout=90
    )
    assert done.returncode != 0
    assert 'under `if __name__ == "__main__":`' in done.stderr

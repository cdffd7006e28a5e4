"""All trials of a study run the same code, whatever is saved while it runs."""

import subprocess
import sys

import pytest

import rbt_ray as rbt
from tests.end_to_end.own_strategy import Save, quiet, write

PACKAGE = {
    "__init__.py": "",
    "settings.py": "FEE = {fee}\n",
    "rules.py": """
        from dataclasses import dataclass
        from .settings import FEE

        @dataclass
        class Answer:
            score: float

        def signal(x):
            return Answer(x * {factor} + FEE)
    """,
    "late.py": "EXTRA = {extra}\n",
    "strategy.py": """
        import os, signal
        from pathlib import Path
        from . import rules

        KILLED = Path(__file__).with_name("killed")

        def objective(params, data):
            from .late import EXTRA
            from .rules import Answer
            if params["x"] == 21 and not KILLED.exists():
                KILLED.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            answer = rules.signal(params["x"])
            assert isinstance(answer, Answer)
            return {{"score": answer.score + EXTRA, "pid": os.getpid()}}
    """,
}


FIRST, SECOND = {"fee": 1, "factor": 10, "extra": 0.5}, {"fee": 100_000, "factor": -1_000, "extra": 7_000_000}


@pytest.mark.parametrize(("backend", "recycle_after"), [("local", 4), pytest.param("ray", 12, marks=pytest.mark.slow)])
def test_workers_that_are_replaced_run_what_the_study_began_with(tmp_path, load, backend, recycle_after):
    package = tmp_path / f"saved_{backend}"
    write(package, PACKAGE, FIRST)
    objective = load(f"{package.name}.strategy").objective
    save = Save(8, lambda: write(package, PACKAGE, SECOND))
    results = rbt.Tuner(
        objective,
        param_space={"x": rbt.randint(0, 40)},
        tune_config=rbt.TuneConfig(metric="score", search_alg="grid", max_pending=8),
        run_config=quiet(tmp_path, backend=backend, num_workers=2, recycle_after=recycle_after, callbacks=[save]),
    ).fit()
    assert save.left < 0
    assert (package / "killed").exists()
    assert [result.error for result in results if result.error] == []
    assert [result.metrics["score"] for result in results] == [x * 10 + 1.5 for x in range(40)]
    assert len({result.metrics["pid"] for result in results}) > 2, "workers were not replaced"


KERNEL = """
import os
from numba import njit

@njit(cache=True)
def kernel(x):
    return x * {factor}.0

def objective(params, data):
    return {{"score": kernel(params["x"]), "pid": os.getpid()}}
"""


@pytest.mark.slow
def test_a_kernel_that_is_saved_while_a_study_runs_is_not_taken_for_the_one_it_began_with(tmp_path, load):
    module = tmp_path / "own_kernel.py"
    module.write_text(KERNEL.format(factor=2))
    save = Save(2, lambda: module.write_text(KERNEL.format(factor=3)))
    results = rbt.Tuner(
        load("own_kernel").objective,
        param_space={"x": rbt.randint(1, 13)},
        tune_config=rbt.TuneConfig(metric="score", search_alg="grid", max_pending=4),
        run_config=quiet(tmp_path, num_workers=1, recycle_after=2, callbacks=[save]),
    ).fit()
    assert [result.metrics["score"] for result in results] == [2.0 * x for x in range(1, 13)], results.errors
    # numba keeps compiled kernels by their source's file: one of the old source must not be found for the new one.
    new = subprocess.run(
        [sys.executable, "-c", "import own_kernel; print(own_kernel.kernel(7))"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert new.stdout == "21.0\n"

"""Studies of rules: on worker processes, resumed, and refused where the rule was changed."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import sys
import rbt_ray as rbt
from rbt_ray.errors import StudyMismatchError

MARGIN = {margin}

def step(bar, params):
    if bar.fast > bar.slow * (1.0 + MARGIN):
        return 1.0 / bar.n_symbols
    return 0.0

objective = rbt.objectives.rule(
    step,
    params={{"fast": 20, "slow": 100}},
    indicators={{"fast": lambda data, p: data.sma("close", p["fast"]), "slow": lambda data, p: data.sma("close", p["slow"])}},
)
space = {{"fast": rbt.grid_search([5, 10, 20]), "slow": rbt.grid_search([50, 100])}}
if __name__ == "__main__":
    run = rbt.RunConfig(name="rule", storage_path=sys.argv[1], num_workers=2, verbose=0)
    if sys.argv[2] == "fit":
        found = rbt.Tuner(objective, param_space=space, bundle="sample", run_config=run).fit()
        table = found.get_dataframe()
        builtin = rbt.objectives.sma_cross().evaluate(
            rbt.load_bundle("sample").view(),
            {{"fast": table["config/fast"].to_numpy(float), "slow": table["config/slow"].to_numpy(float)}},
        )
        print(len(found), found.num_errors, abs(table["sharpe"].to_numpy() - builtin["sharpe"]).max() < 1e-9)
    else:
        try:
            print(len(rbt.Tuner.restore(sys.argv[1] + "/rule", objective).fit()))
        except StudyMismatchError as error:
            print("refused:", error)
"""


def run(folder, what, margin="1e-9"):
    (folder / "study.py").write_text(SCRIPT.format(margin=margin))
    done = subprocess.run(
        [sys.executable, "study.py", str(folder / "studies"), what],
        cwd=folder, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.slow
def test_a_study_of_a_rule_runs_on_workers_and_refuses_a_changed_rule(tmp_path):
    assert run(tmp_path, "fit") == "6 0 True"
    assert run(tmp_path, "restore") == "6"
    changed = run(tmp_path, "restore", margin="2e-9")
    assert changed.startswith("refused: the objective is not the one")
    assert "MARGIN" in changed

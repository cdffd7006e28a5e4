"""Ray Tune's own examples, read from the installed wheel, run with only their imports changed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import ray.tune

EXAMPLES = Path(ray.tune.__file__).parent / "examples"
LOCAL = {
    "async_hyperband_example": "Best hyperparameters found: {'steps': 100, 'width': ",
    "custom_func_checkpointing": "Best checkpoint:  Checkpoint(",
    "custom_checkpointing_with_callback": "Best checkpoint: Checkpoint(",
    "logging_example": "TestLogger for trial easy_objective_",
}
ON_RAY = {  # they call ray.init, so that the study runs on that Ray
    "tune_basic_example": "Best hyperparameters found were:  {'steps': 5, 'width': ",
    "hyperband_example": "Best hyperparameters found were:  {'width': ",
    "hyperband_function_example": "Best hyperparameters found were:  {'height': ",
}
ONE_AFTER_THE_OTHER = """
import runpy, sys
scripts, sys.argv = sys.argv[1:], ["", "--smoke-test"]
for script in scripts:
    runpy.run_path(script, run_name="__main__")
"""
# One Ray serves the three: the second `ray.init` finds it.
ON_ONE_RAY = """
import functools, ray
ray.init = functools.partial(ray.init, ignore_reinit_error=True, include_dashboard=False)
"""


def ported(name, folder):
    """The example with `ray.tune` as `rbt_ray.tune` in its import lines; what is imported of `ray.tune.utils` stays."""
    text = (EXAMPLES / f"{name}.py").read_text()
    changed = re.sub(r"(?m)^from ray import tune$", "from rbt_ray import tune", text)
    changed = re.sub(r"(?m)^from ray\.tune(?!\.utils)(\.\w+)? import", r"from rbt_ray.tune\1 import", changed)
    before, after = text.splitlines(), changed.splitlines()
    assert all("import" in line for line, other in zip(before, after, strict=True) if line != other)
    assert "from rbt_ray import tune" in after
    (folder / f"{name}.py").write_text(changed)
    return f"{name}.py"


def output(folder, *words):
    env = {**os.environ, "HOME": str(folder), "PYTHONPATH": str(Path(__file__).parents[3])}
    env.pop("PYTEST_CURRENT_TEST", None)
    done = subprocess.run([sys.executable, *words], cwd=folder, env=env, capture_output=True, text=True, timeout=150)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "examples"),
    [
        pytest.param("", LOCAL, id="local"),
        pytest.param(ON_ONE_RAY, ON_RAY, id="on_ray"),
    ],
)
def test_examples_run_to_the_end(tmp_path, before, examples):
    shown = output(tmp_path, "-c", before + ONE_AFTER_THE_OTHER, *(ported(name, tmp_path) for name in examples))
    assert [text for text in examples.values() if text not in shown] == []

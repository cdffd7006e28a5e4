"""The statements of docs/moving about Ray Tune hold."""

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from rbt_ray import tune

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "moving" / "ray_tune.md").read_text()


def run(folder, *words):
    done = subprocess.run([sys.executable, *words], cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_script_of_the_page_finds_the_bottom(tmp_path):
    (tmp_path / "moved.py").write_text(re.search(r"```python\n(.*?)```", PAGE, re.DOTALL).group(1))
    assert re.match(r"{'x': [0-9.]+, 'kind': '[ab]'}\n", run(tmp_path, "moved.py"))


@pytest.mark.slow
def test_the_example_runs_and_resumes(tmp_path):
    script = str(DOCS / "examples" / "from_ray_tune.py")
    first = run(tmp_path, script, str(tmp_path))
    assert re.search(
        r"40 configs, \d+ of 480 years run\nbest {'fast': \d+, 'ratio': \d, 'slow': \d+}: sharpe \d\.\d+\n", first
    )
    assert run(tmp_path, script, str(tmp_path)) == first


@pytest.mark.parametrize("name", tune.__all__)
def test_every_name_loads_and_is_documented(name):
    assert getattr(tune, name).__doc__


def test_every_name_of_rays_is_there_or_is_no_name_here():
    import ray.tune

    assert set(ray.tune.__all__) <= set(tune.__all__)


@pytest.mark.parametrize("module", ["schedulers", "stopper"])
def test_modules_offer_rays_names(module):
    theirs, ours = import_module(f"ray.tune.{module}"), import_module(f"rbt_ray.tune.{module}")
    assert set(theirs.__all__) <= set(ours.__all__)


def test_importing_tune_loads_nothing_heavy():
    code = (
        "from rbt_ray import tune; tune.Tuner, tune.uniform; import sys; print([m for m in HEAVY if m in sys.modules])"
    )
    heavy = "HEAVY = ['ray', 'pandas', 'scipy', 'numba', 'hpbandster', 'optuna', 'tensorboardX', 'mlflow']; "
    assert run(".", "-c", heavy + code) == "[]\n"

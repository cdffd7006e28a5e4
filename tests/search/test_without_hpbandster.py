"""Without hpbandster, an extra, all else works, and what needs it names the command that installs it."""

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
SCRIPT = """
import sys
from importlib.machinery import PathFinder

class Hidden(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in ("hpbandster", "Pyro4", "serpent") else PathFinder.find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Hidden

import rbt_ray as rbt

def needs(act):
    try:
        act()
    except rbt.errors.SettingError as error:
        assert "pip install 'rbt-ray[hpbandster]'" in str(error), error
    else:
        raise AssertionError("it worked")

def score(params, data):
    return params["x"]

needs(lambda: rbt.BOHB(engine="hpbandster"))
results = rbt.Tuner(
    score,
    param_space={"x": rbt.uniform(0, 1)},
    tune_config=rbt.TuneConfig(metric="score", search_alg=rbt.BOHB(), num_samples=5, seed=1),
    run_config=rbt.RunConfig("s", "studies", backend="local", num_workers=1, verbose=0),
).fit()
needs(results.to_hpbandster)
print(len(results))
"""


def test_what_needs_hpbandster_names_the_command_that_installs_it(tmp_path):
    done = subprocess.run([sys.executable, "-c", SCRIPT], cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert done.stdout == "5\n", done.stderr


def test_hpbandster_is_an_extra_of_every_set_up_that_the_project_offers():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert not [one for one in project["dependencies"] if "hpbandster" in one]
    assert project["optional-dependencies"]["hpbandster"] == ["hpbandster>=0.7.4"]
    set_ups = {
        "Makefile": ".[ta,polars,optuna,hpbandster,cluster]",
        "cluster/install.sh": "rbt-ray[cluster,hpbandster] @",
        "cluster/Dockerfile": "rbt-ray[hpbandster] @",
        "docs/search.md": "uv pip install --override override.txt 'rbt-ray[hpbandster]'",
        ".ci/wheel": "rbt-ray[hpbandster] @",
    }
    for path, line in set_ups.items():
        assert line in (ROOT / path).read_text(), path

"""What a study asks Ray to prepare on the hosts of its workers, and what an error says if that is what it lacks."""

import importlib.util
import json
import py_compile
import subprocess
import sys
import zipfile

import pytest

import rbt_ray as rbt
from rbt_ray.errors import SettingError
from rbt_ray.pool.ray.missing_modules import how_to_send
from rbt_ray.pool.ray.runtime_environment import checked

_SCRIPT = """
import importlib.util, json, pathlib, sys
import rbt_ray as rbt
from rbt_ray.errors import ObjectiveError

FOLDER = pathlib.Path(sys.argv[1])
spec = importlib.util.spec_from_file_location("compiled", FOLDER / "here" / "compiled.pyc")
compiled = importlib.util.module_from_spec(spec)
sys.modules["compiled"] = compiled
spec.loader.exec_module(compiled)

def objective(params, data):
    import greeting, package
    return {"score": params["x"] + compiled.VALUE + package.VALUE + greeting.VALUE + int(pathlib.Path("number").read_text())}

def loads(params, data):
    return {"score": params["x"] + compiled.VALUE}

def best(objective, runtime_env=None):
    results = rbt.Tuner(
        objective,
        param_space={"x": rbt.grid_search([1, 2])},
        tune_config=rbt.TuneConfig(metric="score", mode="max"),
        run_config=rbt.RunConfig(
            storage_path=FOLDER / "studies", backend="ray", num_workers=2, verbose=0, runtime_env=runtime_env
        ),
    ).fit()
    return [trial.metrics.get("score", trial.error) for trial in results]

try:
    best(loads)
except ObjectiveError as error:
    said = str(error)
line = said[said.index("RunConfig("):].partition("`")[0]
sent = eval(line, {"RunConfig": rbt.RunConfig}).runtime_env
packages = {"py_modules": [str(FOLDER / "elsewhere" / "package")], "pip": [str(FOLDER / "greeting-1.0-py3-none-any.whl")]}
answer = [said, best(loads, sent), best(objective, {**sent, **packages})]
(FOLDER / "found.json").write_text(json.dumps(answer))
"""


def make_wheel(folder):
    """A package that pip installs without an index."""
    info = "greeting-1.0.dist-info"
    with zipfile.ZipFile(folder / "greeting-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("greeting.py", "VALUE = 4000\n")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: greeting\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_line_of_the_error_sends_a_compiled_module_and_a_study_gets_packages_and_files(tmp_path):
    here, package = tmp_path / "here", tmp_path / "elsewhere" / "package"
    for folder in (here, package):
        folder.mkdir(parents=True)
    (here / "number").write_text("10")
    source = tmp_path / "source.py"
    source.write_text("VALUE = 100\n")
    py_compile.compile(source, here / "compiled.pyc")
    (package / "__init__.py").write_text("VALUE = 1000\n")
    make_wheel(tmp_path)
    words = [sys.executable, "-c", _SCRIPT, tmp_path]
    done = subprocess.run(words, capture_output=True, text=True, timeout=590, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    said, loaded, all_of_them = json.loads((tmp_path / "found.json").read_text())
    line = f"`RunConfig(runtime_env={{'working_dir': {str(here)!r}}})` sends it to them."
    assert said.endswith(f"importable on the hosts where they run. The driver has it: {line}")
    assert sorted(loaded) == [101, 102]
    assert sorted(all_of_them) == [5111, 5112]


def message(name):
    return f"the workers cannot load the objective: ModuleNotFoundError: No module named '{name}'. Make its module"


def test_the_setting_that_sends_a_module_depends_on_where_the_driver_has_it(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "folder_of_mine").mkdir()
    (tmp_path / "folder_of_mine" / "__init__.py").touch()
    (tmp_path / "file_of_mine.py").touch()
    importlib.invalidate_caches()
    assert f"{{'py_modules': ['{tmp_path}/folder_of_mine']}}" in how_to_send(message("folder_of_mine.inner"))
    assert f"{{'working_dir': '{tmp_path}'}}" in how_to_send(message("file_of_mine"))
    assert f"{{'pip': ['numpy=={importlib.metadata.version('numpy')}']}}" in how_to_send(message("numpy.linalg"))
    for unknown in (message("absent_everywhere"), message("sys"), "the workers cannot load it: ValueError: 1"):
        assert how_to_send(unknown) == ""


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"workingdir": "."}, "`runtime_env` has no field 'workingdir': did you mean 'working_dir'?"),
        ({"working_dir": "absent"}, "`runtime_env`: working_dir 'absent' does not exist on this machine."),
        ({"py_modules": ["absent"]}, "`runtime_env`: py_modules 'absent' does not exist on this machine."),
        ({"env_vars": {"A": 1}}, "`runtime_env`: "),
        ({"pip": ["a"], "conda": ["b"]}, "`runtime_env`: "),
    ],
    ids=str,
)
def test_what_ray_would_refuse_or_ignore_is_refused(tmp_path, monkeypatch, given, said):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingError) as caught:
        checked(given)
    assert str(caught.value).startswith(said)


def test_paths_become_absolute_and_modules_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = {"working_dir": ".", "py_modules": [rbt, "s3://bucket/a.zip"], "env_vars": {"A": "1"}}
    package = importlib.util.find_spec("rbt_ray").submodule_search_locations[0]
    assert checked(given) == {
        "runtime_env": {
            "working_dir": str(tmp_path),
            "py_modules": [package, "s3://bucket/a.zip"],
            "env_vars": {"A": "1"},
        }
    }
    assert checked(None) == {} == checked({})


@pytest.mark.parametrize("given", ["working_dir", [("working_dir", ".")], {1: "."}])
def test_a_setting_that_is_no_mapping_is_refused(given):
    with pytest.raises(SettingError, match=r"`runtime_env` is what `ray\.init` takes"):
        rbt.RunConfig(runtime_env=given)


def test_an_environment_is_refused_on_a_connection_that_others_opened(tmp_path):
    from tests import one_ray

    one_ray.keep()
    run = rbt.RunConfig(storage_path=tmp_path, backend="ray", verbose=0, runtime_env={"env_vars": {"A": "1"}})
    tuner = rbt.Tuner(lambda params, data: params["x"], param_space={"x": rbt.grid_search([1])}, run_config=run)
    with pytest.raises(SettingError, match=r"^`runtime_env`: this process is connected to Ray already"):
        tuner.fit()

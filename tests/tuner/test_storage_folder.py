"""Studies do not begin in the copy of a working directory that Ray makes for a job and removes afterwards."""

from pathlib import Path

import pytest
from ray._private.runtime_env.working_dir import WorkingDirPlugin

import rbt_ray as rbt
from rbt_ray import tune
from rbt_ray.errors import SettingError


def objective(params, data):
    return params["x"]


def score(config):
    return {"score": config["x"]}


@pytest.fixture
def job(tmp_path, monkeypatch):
    """Puts this process into Ray's copy of a working directory, as a job is, with a home folder elsewhere."""
    resources = tmp_path / "ray" / "session_1" / "runtime_resources"
    copy = Path(WorkingDirPlugin(str(resources), None)._resources_dir, "_ray_pkg_0123456789abcdef")
    home = tmp_path / "home"
    for folder in (copy, home):
        folder.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(copy)
    return home


def tuner(path, **run):
    return rbt.Tuner(
        objective,
        param_space={"x": rbt.grid_search([1, 2])},
        tune_config=rbt.TuneConfig(metric="score", mode="max", search_alg="grid"),
        run_config=rbt.RunConfig(name="study", storage_path=path, backend="local", num_workers=1, verbose=0, **run),
    )


@pytest.mark.parametrize("path", [None, "studies", Path("./studies")])
def test_a_relative_folder_is_below_the_home_folder_and_a_message_says_so(job, capfd, path):
    results = tuner(path).fit()
    assert results.path == job / "studies" / "study"
    assert f"rbt-ray: the study is stored in {results.path}, in the home folder" in capfd.readouterr().err
    assert not list(Path.cwd().rglob("*.sqlite"))
    again = rbt.Tuner.restore("studies/study", objective, run_config=rbt.RunConfig(backend="local", verbose=0)).fit()
    assert (again.path, len(again)) == (results.path, 2)
    assert tuner(path, exist="new").fit().path == job / "studies" / "study-2"


def test_studies_with_the_names_of_ray_tune_too(job):
    run = tune.RunConfig(name="study", storage_path="mine", backend="local", num_workers=1, verbose=0)
    results = tune.Tuner(score, param_space={"x": tune.grid_search([1, 2])}, run_config=run).fit()
    assert results.experiment_path == str(job / "mine" / "study")


def test_an_absolute_folder_in_the_copy_is_refused(job):
    with pytest.raises(SettingError, match=r"`storage_path`: Ray removes .* after the job.* or a URI\."):
        tuner(Path.cwd() / "studies")
    assert tuner(job / "elsewhere").fit().path == job / "elsewhere" / "study"


def test_other_folders_stay_as_they_are(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert tuner("studies").fit().path == Path("studies/study")
    assert "rbt-ray" not in capfd.readouterr().err

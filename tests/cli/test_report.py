"""Where `rbt-ray report` writes the report."""

import pytest

import rbt_ray as rbt
from rbt_ray.cli.main import run_command


def score(params, data):
    return {"score": params["x"]}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    run = rbt.RunConfig("s", tmp_path_factory.mktemp("studies"), backend="local", num_workers=1, verbose=0)
    tune = rbt.TuneConfig(metric="score", search_alg="random", num_samples=5, seed=1)
    return rbt.Tuner(score, param_space={"x": rbt.uniform(0, 1)}, tune_config=tune, run_config=run).fit().path


@pytest.mark.parametrize(("out", "file"), [(".", "report.html"), ("pages", "pages/report.html"), ("a.html", "a.html")])
def test_a_folder_gets_report_html(study, tmp_path, monkeypatch, capsys, out, file):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pages").mkdir()
    assert run_command(["report", str(study), "--out", out]) == 0
    assert capsys.readouterr().out.strip() == file
    assert (tmp_path / file).read_text().startswith("<!DOCTYPE html>")
    assert not (study / "report.html").exists()


def test_the_default_is_the_folder_of_the_study(study, capsys):
    assert run_command(["report", str(study)]) == 0
    assert capsys.readouterr().out.strip() == str(study / "report.html")

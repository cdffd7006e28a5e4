"""Results can be read whatever was searched and whatever the objective returned."""

import sys

import numpy as np
import pytest

import rbt_ray as rbt
from rbt_ray.cli.main import run_command
from rbt_ray.errors import SettingError, SpaceError
from rbt_ray.study.space import Space

LARGEST = sys.float_info.max


def run(objective, folder, space, **settings):
    config = rbt.TuneConfig(
        metric="m", seed=1, **{"mode": "max", "search_alg": "random", "num_samples": 40, **settings}
    )
    run_config = rbt.RunConfig(name="study", storage_path=folder, num_workers=1, verbose=0)
    return rbt.Tuner(objective, param_space=space, tune_config=config, run_config=run_config).fit()


def single(x):
    return float(x)


def double(x):
    return 2.0 * x


def apply(params, data):
    return params["f"](params["n"])


def test_functions_as_options_are_shown_by_name(tmp_path, capsys):
    """Another process has no `param_space`, and reads the study's folder only."""
    space = {"f": rbt.choice([single, double]), "n": rbt.randint(0, 5)}
    here = run(apply, tmp_path, space, search_alg="grid", num_samples=None)
    there = rbt.ResultGrid(tmp_path / "study")
    assert there.table_hash() == here.table_hash()
    names = there.get_dataframe()["config/f"].map(repr)
    assert {name.rpartition(".")[2] for name in names} == {"single", "double"}
    assert there.report(tmp_path / "report.html").exists()
    assert run_command(["show", str(tmp_path / "study"), "--json"]) == 0
    assert "double" in capsys.readouterr().out
    with pytest.raises(SpaceError, match="pass the same `param_space` again"):
        rbt.Tuner.restore(tmp_path / "study", apply)
    assert rbt.Tuner.restore(tmp_path / "study", apply, param_space=space).fit().table_hash() == here.table_hash()


def test_a_file_name_that_is_not_utf_8_is_an_option_like_others(tmp_path):
    name = b"caf\xe9.csv".decode("utf-8", "surrogateescape")
    results = run(lambda params, data: {"m": 1.0, "read": params["file"]}, tmp_path, {"file": rbt.choice([name, "b"])})
    assert {result.config["file"] for result in results} == {name, "b"}
    assert set(results.get_dataframe()["config/file"]) == {"caf\\udce9.csv", "b"}
    assert results.report(tmp_path / "report.html").exists()


@pytest.mark.parametrize("mode", ["max", "min"])
@pytest.mark.parametrize("search_alg", ["random", "auto"])
def test_penalties_as_large_as_floats_are(mode, search_alg, tmp_path, capsys):
    def penalized(params, data):
        return {0: -LARGEST, 1: LARGEST}.get(params["n"], params["x"])

    space = {"n": rbt.randint(0, 6), "x": rbt.uniform(-1.0, 1.0), "c": rbt.choice([-LARGEST, 0.0, LARGEST])}
    with np.errstate(all="raise"):
        results = run(penalized, tmp_path, space, mode=mode, search_alg=search_alg)
        assert results.get_best_result().metrics["m"] == (LARGEST if mode == "max" else -LARGEST)
        assert results.report(tmp_path / "report.html").exists()
    assert run_command(["show", str(tmp_path / "study")]) == 0
    capsys.readouterr()


def test_a_warm_start_without_results_is_an_error(tmp_path):
    def fails(params, data):
        raise ValueError("no data")

    space = {"n": rbt.randint(0, 6)}
    failed = run(fails, tmp_path / "a", space)
    with pytest.raises(SettingError, match="no result with a finite 'm': no trial completed"):
        run(apply, tmp_path / "b", space, search_alg="tpe", warm_start=failed)
    other = run(lambda params, data: params["k"], tmp_path / "c", {"k": rbt.randint(0, 6)})
    with pytest.raises(SettingError, match="the same names and domains"):
        run(apply, tmp_path / "d", space, search_alg="tpe", warm_start=other)


@pytest.mark.parametrize(
    "option", [{"k": rbt.randint(0, 9)}, [1, rbt.uniform(0.0, 1.0)], {"a": {"b": rbt.choice([1])}}]
)
def test_a_domain_within_an_option_is_refused(option):
    for domain in (rbt.choice(["x", option]), {"grid_search": ["x", option]}):
        with pytest.raises(SpaceError, match="`p` has an option that is not a value: it holds a domain"):
            Space.of({"p": domain})


@pytest.mark.parametrize(("metric", "hint"), [("sharpe", True), ("m", False)])
def test_only_errors_about_ratios_mention_trades(metric, hint, tmp_path):
    results = rbt.Tuner(
        lambda params, data: float("nan"),
        param_space={"n": rbt.randint(0, 3)},
        tune_config=rbt.TuneConfig(metric=metric, mode="max", num_samples=2),
        run_config=rbt.RunConfig(name="nan", storage_path=tmp_path, num_workers=1, verbose=0),
    ).fit()
    assert all(("never trades" in error) == hint for error in results.errors)

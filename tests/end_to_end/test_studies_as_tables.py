"""Trials as Arrow and Parquet, many studies as one table, and two studies side by side."""

import json
import multiprocessing
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import rbt_ray as rbt
from rbt_ray.cli.comparison import differences
from rbt_ray.cli.main import run_command
from rbt_ray.errors import SettingError, StudyNotFoundError
from rbt_ray.export import arrow_table
from rbt_ray.file_lock import FileLock, is_held
from rbt_ray.tuner import studies

PAGE = Path(__file__).parents[2] / "docs" / "studies.md"
SPACE = {"x": rbt.uniform(0, 10), "n": rbt.randint(0, 5), "odd": rbt.choice([1, "one", None])}


def objective(params, data):
    if params["x"] > 8:
        raise ValueError("too large")
    return {
        "m": params["x"],
        "count": params["n"],
        "even": params["n"] % 2 == 0,
        "many": 2.5 if params["n"] > 2 else "few",
    }


def crossover(params, data):
    fast, slow = data.sma("close", params["fast"]), data.sma("close", params["slow"])
    return rbt.backtest(data, (fast > slow) / data.n_symbols)


def fit(function, folder, name="study", space=SPACE, bundle=None, **tune):
    return rbt.Tuner(
        function,
        param_space=space,
        bundle=bundle,
        tune_config=rbt.TuneConfig(
            **{"metric": "m", "mode": "max", "seed": 3, "num_samples": 40, "search_alg": "random"} | tune
        ),
        run_config=rbt.RunConfig(name=name, storage_path=folder, num_workers=1, verbose=0),
    ).fit()


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Two studies at different depths."""
    top = tmp_path_factory.mktemp("studies")
    fit(objective, top, "one", constraints=["count <= 3"])
    fit(objective, top / "below", "two", num_samples=60, seed=4)
    return top


def column_of(results, name):
    """What each trial has, trial by trial."""
    return [result.metrics.get(name) if result.status == "COMPLETED" else None for result in results]


def test_arrow_holds_what_each_result_says(home, monkeypatch, tmp_path):
    results = rbt.ResultGrid(home / "one")
    monkeypatch.setattr(arrow_table, "N_ROWS", 7)  # several batches, the last one short
    table = results.to_arrow()
    assert table.column_names == list(results.get_dataframe().columns)
    assert table["trial_id"].to_pylist() == [result.trial_id for result in results]
    for name in ("x", "n"):
        assert table[f"config/{name}"].to_pylist() == [result.config[name] for result in results]
    options = [result.config["odd"] for result in results]
    assert table["config/odd"].to_pylist() == [None if value is None else str(value) for value in options]
    assert [table.schema.field(name).type for name in ("m", "count", "even", "many")] == [
        pa.float64(), pa.int64(), pa.bool_(), pa.string(),
    ]  # fmt: skip
    for name in ("m", "count", "even"):
        assert table[name].to_pylist() == column_of(results, name)
    assert table["many"].to_pylist() == [value and str(value) for value in column_of(results, "many")]
    completed = [result.status == "COMPLETED" for result in results]
    assert table["error"].is_null().to_pylist() == completed
    assert not all(completed)
    feasible = [value if value is None else value <= 3 for value in column_of(results, "count")]
    assert table["feasible"].to_pylist() == feasible
    assert {True, False, None} == set(feasible)
    assert pq.read_table(results.to_parquet(tmp_path / "trials.parquet")).equals(table)


def test_only_full_fidelity_is_ranked(tmp_path):
    space = {"fast": rbt.randint(5, 60), "slow": rbt.randint(61, 250)}
    results = fit(crossover, tmp_path, space=space, bundle="sample", metric="sharpe", search_alg="bohb", num_samples=20)
    every, full = results.get_dataframe(), results.get_dataframe(fidelity="full")
    assert set(every["fidelity"]) > {1.0}
    pd.testing.assert_frame_equal(full, every[every["fidelity"] == 1].reset_index(drop=True))
    assert full["sharpe"].max() == results.get_best_result().metrics["sharpe"]
    assert results.to_arrow("full")["sharpe"].to_pylist() == full["sharpe"].tolist()
    with pytest.raises(SettingError, match="'all' or 'full'; got 'half'"):
        results.get_dataframe(fidelity="half")


def test_a_parquet_file_needs_a_folder(home, tmp_path):
    results = rbt.ResultGrid(home / "one")
    with pytest.raises(SettingError, match="there is no folder"):
        results.to_parquet(tmp_path / "none" / "trials.parquet")
    with pytest.raises(SettingError, match="is a folder: name a file in it"):
        results.to_parquet(tmp_path)


@pytest.mark.parametrize("read_whole", [studies.READ_WHOLE, 10])
def test_one_row_says_what_the_results_say(home, read_whole, monkeypatch):
    monkeypatch.setattr(studies, "READ_WHOLE", read_whole)
    frame = rbt.studies(home)
    assert frame["name"].tolist() == ["two", "one"]  # the latest first
    for row in frame.itertuples():
        results = rbt.ResultGrid(row.path)
        assert (row.state, row.n_trials, row.metric, row.mode) == ("done", len(results), "m", "max")
        assert row.started <= row.ended
        if read_whole == 10:  # without a hold-out, the review has nothing to add
            assert pd.isna(row.n_failed)
            assert "counted and not read" in row.note
            continue
        trials = results.get_dataframe()
        good = trials[trials["feasible"].eq(True)] if "feasible" in trials else trials
        assert row.best == good["m"].max()
        assert row.config == results.get_best_result().config
        assert row.n_failed == results.num_errors > 0
        assert row.verdict == results.verdict().word


def test_a_large_study_shows_the_best_of_its_review(tmp_path, monkeypatch):
    space = {"fast": rbt.randint(5, 60), "slow": rbt.randint(61, 250)}
    results = fit(crossover, tmp_path, space=space, bundle="sample", metric="sharpe", num_samples=12, holdout=0.2)
    monkeypatch.setattr(studies, "READ_WHOLE", 10)
    [found] = studies.summaries(tmp_path)
    best = results.get_best_result()
    assert (found.best, found.config, found.verdict) == (best.metrics["sharpe"], best.config, None)


def hold(path, held, stop):
    lock = FileLock(path, wait=True)
    held.set()
    stop.wait(60)
    lock.release()


def test_a_running_a_killed_and_a_damaged_study_are_lines(home, tmp_path, capsys):
    killed = tmp_path / "killed"
    code = f"""
import os
import rbt_ray as rbt
def die(params, data):
    return {{"m": params["x"]}}
class Kill:
    def on_trial_complete(self, result):
        if result.trial_id >= 5:
            os._exit(9)
rbt.Tuner(die, param_space={{"x": rbt.uniform(0, 1)}},
    tune_config=rbt.TuneConfig(metric="m", mode="max", num_samples=400, search_alg="random", seed=1),
    run_config=rbt.RunConfig(name="killed", storage_path={str(tmp_path)!r}, num_workers=1, verbose=0,
        callbacks=[Kill()])).fit()
"""
    assert subprocess.run([sys.executable, "-c", code], timeout=60, capture_output=True).returncode == 9
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    content = (home / "one" / "journal.sqlite").read_bytes()
    (damaged / "journal.sqlite").write_bytes(content[: len(content) // 2])
    state = {one.name: one for one in studies.summaries(tmp_path)}
    assert (state["killed"].state, state["killed"].verdict) == ("killed", None)
    assert state["killed"].best == rbt.ResultGrid(killed).get_dataframe()["m"].max()
    assert state["damaged"].state == "unreadable"

    assert run_command(["ls", str(tmp_path)]) == 1
    shown = capsys.readouterr().out
    assert re.search(r"^killed +killed +\d+ +m 0\.", shown, re.MULTILINE)
    assert re.search(r"^damaged: the journal .* is damaged", shown, re.MULTILINE)

    context = multiprocessing.get_context("spawn")
    held, stop = context.Event(), context.Event()
    driver = context.Process(target=hold, args=(killed / "lock", held, stop))
    driver.start()
    assert held.wait(60)
    assert studies.summary_of(killed).state == "running"
    stop.set()
    driver.join()
    assert studies.summary_of(killed).state == "killed"


def test_asking_for_a_lock_neither_takes_nor_releases_it(tmp_path):
    path = tmp_path / "lock"
    assert not is_held(path)
    assert not path.exists()
    lock = FileLock(path, wait=False)
    assert is_held(path)
    code = f"from pathlib import Path; from rbt_ray.file_lock import is_held; print(is_held(Path({str(path)!r})))"
    ask = [sys.executable, "-c", code]
    assert subprocess.check_output(ask, text=True) == "True\n"  # `is_held` here has not released it
    lock.release()
    assert not is_held(path)


def test_what_cannot_be_listed_is_a_sentence(tmp_path, capsys):
    for path, said in ((tmp_path, "there are no studies below"), (tmp_path / "no", "there is no folder")):
        assert run_command(["ls", str(path)]) == 2
        assert said in capsys.readouterr().err
    with pytest.raises(SettingError, match="this is a URI"):
        rbt.studies("s3://bucket/studies")
    with pytest.raises(StudyNotFoundError):
        rbt.studies(tmp_path)


@pytest.mark.parametrize("width", [40, 80, 140])
def test_no_figure_of_the_list_is_cut_short(home, width, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(width))
    assert run_command(["ls", str(home)]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= width
    assert "…" not in shown
    assert "60" in shown
    assert ("last trial" in shown) == (width > 40)
    assert run_command(["ls", str(home), "--json"]) == 0
    assert [one["n_trials"] for one in json.loads(capsys.readouterr().out)] == [60, 40]


def test_a_comparison_shows_the_settings_that_differ(home, capsys):
    paths = [str(home / "one"), str(home / "below" / "two")]
    one, two = (rbt.ResultGrid(path) for path in paths)
    found = differences([one.study, two.study])
    assert (found["seed"], found["num_samples"], found["constraints"]) == ([3, 4], [40, 60], [["count <= 3"], []])
    assert "metric" not in found
    assert run_command(["compare", *paths, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert [study["best"] for study in shown["studies"]] == [g.get_best_result().metrics["m"] for g in (one, two)]
    assert run_command(["compare", *paths]) == 0
    assert re.search(r"^setting seed +3 +4 *$", capsys.readouterr().out, re.MULTILINE)
    assert run_command(["compare", paths[0]]) == 2
    assert "takes two studies or more" in capsys.readouterr().err


@pytest.mark.slow
def test_the_example_runs(tmp_path):
    [code] = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.stdout == "True\n", done.stderr
    assert len(pq.read_table(tmp_path / "trials.parquet")) > 20

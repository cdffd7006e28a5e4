"""The verdict in the terminal and in JSON: the same after a run, and when the finished study is shown again."""

import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stdout

import pytest

import rbt_ray as rbt
from rbt_ray.cli import tables
from rbt_ray.cli.main import run_command
from rbt_ray.tuner.result_grid import ResultGrid

STUDY = """
objective = "sma_cross"
bundle = "sample"
[space]
fast = { randint = [5, 50] }
slow = { randint = [51, 300] }
[search]
search_alg = "random"
num_samples = 40
seed = 3
holdout = 0.25
[run]
num_workers = 1
"""


def command(folder, *words, columns=200):
    done = subprocess.run(
        [sys.executable, "-m", "rbt_ray.cli", *words],
        cwd=folder, capture_output=True, text=True, timeout=120, check=True, env={**os.environ, "COLUMNS": str(columns)},
    )  # fmt: skip
    return done.stdout


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The folder of a finished study, and what the command that ran it printed."""
    folder = tmp_path_factory.mktemp("verdict")
    (folder / "study.toml").write_text(STUDY)
    printed = command(folder, "run", "study.toml")
    return folder, printed


def said(text):
    """The words of what is printed between the table and the line of counts."""
    lines = text.splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith(WORDS))
    last = next(number for number, line in enumerate(lines) if line.startswith("study: "))
    return lines[first:last]


WORDS = ("HOLDS UP SO FAR", "NOT SHOWN", "LUCK EXPLAINS IT", "TOO LITTLE TO SAY")


@pytest.fixture
def show(ran, monkeypatch, capsys):
    """Shows the study again in this process; returns what is printed."""

    def shown(*words, columns=200):
        monkeypatch.setenv("COLUMNS", str(columns))
        assert run_command(["show", str(ran[0] / "studies" / "study"), *words]) == 0
        return capsys.readouterr().out

    return shown


def test_a_run_and_show_print_the_same_word_and_sentence(ran, show):
    folder, printed = ran
    verdict = ResultGrid(folder / "studies" / "study").verdict()
    narrow = said(show(columns=60))
    assert " ".join(said(printed)) == " ".join(narrow) == f"{verdict.word}. {verdict.sentence}"
    assert len(narrow) > len(said(printed)) > 0
    assert max(len(line) for line in narrow) <= 60
    rows = printed.splitlines()
    assert rows.index(said(printed)[0]) > next(number for number, line in enumerate(rows) if line.startswith(" 1 "))


def test_json_has_the_verdict(ran, show):
    folder, _ = ran
    found = json.loads(show("--json"))["verdict"]
    assert found == ResultGrid(folder / "studies" / "study").verdict().to_dict()
    assert found["word"] in WORDS
    assert [check["name"] for check in found["checks"]] == ["beats luck", "ranking carries over", "unseen bars"]
    assert found["checks"][2]["benchmark"] == pytest.approx(0.71, abs=0.01)


def test_too_little_is_said_in_one_line_and_loads_no_kernels(tmp_path):
    code = (
        "import sys, rbt_ray as rbt\n"
        "from rbt_ray.cli.tables import print_results\n"
        "tuner = rbt.Tuner(lambda params, data: params['x'] ** 2, param_space={'x': rbt.uniform(0, 1)},\n"
        "  tune_config=rbt.TuneConfig(search_alg='random', num_samples=5, seed=1),\n"
        f"  run_config=rbt.RunConfig(name='s', storage_path={str(tmp_path)!r}, num_workers=1, verbose=0))\n"
        "print_results(tuner.fit(), as_json=False, report=None)\n"
        "print([name for name in ('scipy', 'numba', 'pandas', 'plotly') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=90,
        check=True,
        env={**os.environ, "COLUMNS": "80"},
    )
    lines = done.stdout.splitlines()
    (line,) = [line for line in lines if line.startswith("TOO LITTLE TO SAY")]
    assert line.endswith("No returns are recorded, from a Backtest or as `returns`.")
    assert lines[-1] == "[]"


def test_the_names_in_a_sentence_do_not_control_the_terminal(tmp_path):
    def objective(params, data):
        return {"\x1b[2Jscore": params["x"], "returns": data.rng.normal(0, 0.01, data.n_bars)}

    results = rbt.Tuner(
        objective, param_space={"x": rbt.uniform(0, 1)}, bundle="sample",
        tune_config=rbt.TuneConfig(metric="\x1b[2Jscore", search_alg="random", num_samples=5, seed=1),
        run_config=rbt.RunConfig(name="s", storage_path=tmp_path, num_workers=1, verbose=0),
    ).fit()  # fmt: skip
    assert "\x1b" in results.verdict().sentence
    out = io.StringIO()
    with redirect_stdout(out):
        tables.print_results(results, as_json=False, report=None)
    assert "\x1b" not in out.getvalue()
    assert results.verdict().word in results._repr_html_()

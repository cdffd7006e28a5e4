"""The ranked table in terminals of any width, and text with control characters."""

import io
import sys
import unicodedata

import pytest
from rich.console import Console

import rbt_ray as rbt
from rbt_ray.cli import tables
from rbt_ray.cli.streams import visible


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    def objective(params, data):
        value = params["average"]["fast"] + params["average"]["slow"] / 1000
        return {"score": 1234567.0 + value, "another_metric": value, "a_third": -value, "a_fourth": value / 7}

    return rbt.Tuner(
        objective,
        param_space={"average": {"fast": rbt.randint(100, 900), "slow": rbt.randint(100, 900)}, "always": "the same"},
        tune_config=rbt.TuneConfig(metric="score", num_samples=20, seed=1),
        run_config=rbt.RunConfig(name="wide", storage_path=tmp_path_factory.mktemp("wide"), num_workers=1, verbose=0),
    ).fit()


def shown(results, width, monkeypatch):
    out = io.StringIO()
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr("sys.stdout", out)
    tables.print_results(results, as_json=False, report=None)
    return out.getvalue()


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_no_figure_is_cut_short(results, width, monkeypatch):
    text = shown(results, width, monkeypatch)
    best = results.get_best_result()
    assert Console(width=width).width == width
    assert "…" not in text
    assert f" {best.config['average']['fast']} " in text
    narrow = "not shown, as the terminal is narrow:"
    there_is_room = width >= 80
    assert (narrow in " ".join(text.split())) == (not there_is_room)
    assert ("fourth" in text.split("COMPLETED")[0].replace("a_fourth", "")) == there_is_room
    assert "a_fourth" in text or there_is_room


def test_what_is_the_same_in_every_config_has_no_column(results, monkeypatch):
    text = shown(results, 200, monkeypatch)
    assert "average/slow" in text
    assert "always" not in text


def test_no_character_that_a_terminal_obeys_is_printed():
    """Returns Unicode's control and format characters, and lone surrogates."""
    everything = "".join(map(chr, range(sys.maxunicode + 1)))
    printed = visible(everything)
    assert {unicodedata.category(letter) for letter in set(printed) - {"\n"}}.isdisjoint({"Cc", "Cf", "Cs", "Co"})
    assert visible("\x1b[31mred\u202e") == r"\x1b[31mred\u202e"

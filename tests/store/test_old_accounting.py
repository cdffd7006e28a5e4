"""A study of version 1 of the accounting rules can be read, and is continued only with `accept_changes`."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path

import pytest

import rbt_ray as rbt
from rbt_ray.errors import StudyMismatchError
from rbt_ray.objectives import sma_cross
from rbt_ray.store.events import renamed
from rbt_ray.tuner.result_grid import ResultGrid

OLD = Path(__file__).parent.parent / "data" / "journals" / "accounting-1"
METRICS = ("sharpe", "n_trades", "turnover")


@pytest.fixture
def study(tmp_path):
    """Returns the study at the moment when all of its trials were recorded."""
    folder = tmp_path / "accounting-1"
    shutil.copytree(OLD, folder)
    return folder


@pytest.fixture
def unfinished(study):
    """The same study, killed before its last trials were recorded."""
    journal = sqlite3.connect(study / "journal.sqlite")
    (last,) = journal.execute("SELECT max(number) FROM events WHERE kind = 'finished'").fetchone()
    journal.execute("DELETE FROM events WHERE number >= ?", (last,))
    journal.commit()
    journal.close()
    return study


def objective():
    return sma_cross(metrics=METRICS, rebalance="every_bar")


def local():
    return rbt.RunConfig(backend="local", num_workers=1, verbose=0, recheck=2)


def test_metrics_that_counted_fills_are_shown_as_fills(study):
    raw = sqlite3.connect(study / "journal.sqlite")
    headers = [json.loads(text) for (text,) in raw.execute("SELECT header FROM events WHERE kind = 'finished'")]
    raw.close()
    assert all("n_trades" in header["metrics"] for header in headers)
    results = ResultGrid(study)
    frame = results.get_dataframe()
    assert len(frame) == 6
    assert "n_trades" not in frame
    assert frame["n_fills"].min() > 0
    assert results.review is not None
    for row in results.review.rows:
        assert {"n_fills", "sharpe"} <= set(row["order_level"])
        assert "n_trades" not in row["order_level"]


def test_a_finished_one_gives_its_results(study):
    results = rbt.Tuner.restore(study, objective(), run_config=local()).fit()
    assert results.num_terminated == 6


def test_resuming_is_refused_unless_the_change_is_accepted(unfinished):
    before = len(ResultGrid(unfinished))
    assert before < 6
    tuner = rbt.Tuner.restore(unfinished, objective(), run_config=local())
    with pytest.raises(StudyMismatchError, match=r"version 1 of the accounting .* version 2.*accept_changes=True"):
        tuner.fit()
    assert len(ResultGrid(unfinished)) == before, "nothing was run"

    results = rbt.Tuner.restore(unfinished, objective(), run_config=local(), accept_changes=True).fit()
    frame = results.get_dataframe().set_index("trial_id")
    assert results.num_terminated == 6
    assert frame["n_fills"].notna().sum() == before, "later trials count round trips, and were asked for nothing else"
    assert frame["n_trades"].notna().sum() == 6 - before


def test_other_settings_are_another_objective_unless_accepted(study):
    assert objective() != sma_cross(metrics=METRICS, rebalance="on_change")
    with pytest.raises(StudyMismatchError, match="the option `rebalance`: 'every_bar' then, 'on_change' now"):
        rbt.Tuner.restore(study, sma_cross(metrics=METRICS, rebalance="on_change"))
    rbt.Tuner.restore(study, sma_cross(metrics=METRICS, rebalance="on_change"), accept_changes=True)


def test_a_new_study_records_the_version_it_runs_by(tmp_path):
    tuner = rbt.Tuner(
        objective(),
        param_space={"fast": rbt.grid_search([5, 20]), "slow": 50},
        bundle="sample",
        run_config=rbt.RunConfig(storage_path=tmp_path, name="new", backend="local", num_workers=1, verbose=0),
    )
    assert tuner.study.accounting == 2
    frame = tuner.fit().get_dataframe()
    assert "n_trades" in frame
    assert "n_fills" not in frame, "round trips keep their name"


@pytest.mark.parametrize(
    ("names", "accounting", "expected"),
    [
        (["sharpe", "n_trades"], 1, ["sharpe", "n_fills"]),
        (["turnover", "exposure", "n_trades", "mine"], 1, ["turnover", "exposure", "n_fills", "mine"]),
        (["sharpe", "n_trades", "n_orders"], 1, ["sharpe", "n_trades", "n_orders"]),
        (["sharpe", "n_trades"], 2, ["sharpe", "n_trades"]),
    ],
)
def test_only_metrics_of_rbt_backtest_are_renamed(names, accounting, expected):
    assert list(renamed(dict.fromkeys(names, 1), accounting)) == expected

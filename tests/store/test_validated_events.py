"""The record of a validation is read as it was written, and an invalid one is refused."""

from contextlib import closing

import numpy as np
import pytest

import rbt_ray as rbt
from rbt_ray.analysis.validation import validation_result
from rbt_ray.store.journal import Journal, Validated
from rbt_ray.study.space import Space
from rbt_ray.study.study import Address, Study

ROW = {
    "train": [[0, 4], [6, 8]],
    "test": [[4, 6]],
    "trial": 3,
    "config": {"n": 3},
    "in_sample": 1.5,
    "metrics": {"sharpe": float("nan"), "n_trades": 2},
    "error": None,
}
CURVES = {"time_ms": np.arange(10) * 864e5, "benchmark": np.linspace(0, 0.01, 10), "returns": np.array([0.1, -0.1])}


def test_a_record_is_read_as_it_was_written(tmp_path):
    settings = {"seed": 1, "max_pending": 2, "deterministic": True, "objective": Address("mine:f", {}, "", "f" * 64)}
    study = Study("s", Space.of({"n": rbt.randint(0, 9)}), "sharpe", "max", "random", 2, **settings)
    with closing(Journal.create(tmp_path, study.to_json())) as journal:
        journal.append(Validated([ROW], CURVES, 252.0))
    with closing(Journal(tmp_path)) as journal:
        (found,) = journal.read("validated")
    assert repr(found.rows) == repr([ROW])
    assert found.periods_per_year == 252.0
    for name, curve in CURVES.items():
        assert np.array_equal(found.curves[name], curve)
    result = validation_result(found, "mine", "sharpe")
    assert result.windows[0].train == ((0, 4), (6, 8))
    assert np.isnan(result.windows[0].out_of_sample)
    assert result.returns.tolist() == [0.1, -0.1]
    assert result.time.tolist() == np.array([4, 5]).astype("datetime64[D]").astype("datetime64[ms]").tolist()


@pytest.mark.parametrize(
    "change",
    [
        {"train": [[4, 0]]},
        {"train": []},
        {"train": [[0, 11]]},
        {"train": [[0, 4], [3, 5]]},
        {"test": [[0.5, 4]]},
        {"test": [[4, 5]]},
        {"trial": -1},
        {"trial": 1.5},
        {"config": 7},
        {"in_sample": float("nan")},
        {"in_sample": "1"},
        {"metrics": None},
        {"metrics": {"sharpe": [1]}},
        {"error": 3},
    ],
    ids=str,
)
def test_a_row_that_no_validation_has_is_refused(change):
    with pytest.raises((ValueError, TypeError)):
        Validated([{**ROW, **change}], CURVES, 252.0)


@pytest.mark.parametrize(
    ("curves", "periods"),
    [
        ({"returns": np.zeros(3)}, 252.0),
        ({"benchmark": np.zeros(9)}, 252.0),
        ({"time_ms": np.full(10, np.inf)}, 252.0),
        ({"returns": np.zeros((2, 1))}, 252.0),
        ({}, 0.0),
        ({}, float("nan")),
        ({}, "252"),
    ],
)
def test_curves_that_do_not_fit_are_refused(curves, periods):
    with pytest.raises((ValueError, TypeError)):
        Validated([ROW], {**CURVES, **curves}, periods)


def test_a_record_without_a_curve_is_refused():
    with pytest.raises(ValueError, match="curves"):
        Validated([ROW], {"returns": np.zeros(2)}, 252.0)

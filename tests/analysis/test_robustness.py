"""The figures of robustness checks, on small tables with known answers."""

import json

import numpy as np
import pytest

from rbt_ray.analysis.robustness import Plateau, Robustness, Values, drawdown_of, monte_carlo
from rbt_ray.analysis.sensitivity import Grid, Line, Sensitivity


def plateau(values, *, best=1.0, typical=0.0, mode="max"):
    configs = tuple({"x": at} for at in range(len(values)))
    return Plateau(mode, best, np.array(values, float), configs, typical)


@pytest.mark.parametrize(
    ("values", "score"),
    [([1, 1, 1], 1.0), ([0, 0, 5], 0.0), ([0.5, 0.7], 0.6), ([np.nan, 0.8, 0.9], 0.8), ([np.nan, np.nan, 1], -np.inf)],
)
def test_the_score_is_the_share_of_the_advantage_that_the_median_keeps(values, score):
    assert plateau(values).score == pytest.approx(score)
    mirrored = plateau([-value for value in values], best=-1.0, mode="min")
    assert mirrored.score == pytest.approx(score)
    json.dumps(mirrored.to_dict(), allow_nan=False)


def test_the_advantage_is_over_a_typical_config():
    assert plateau([0.7, 0.8, 0.9], best=1.0, typical=0.5).score == pytest.approx(0.6)
    assert plateau([0.3, 0.4, 0.4], best=1.0, typical=0.5).score == pytest.approx(-0.2)


def test_a_score_without_neighbours_or_advantage_is_not_a_number():
    assert np.isnan(plateau([]).score)
    assert "no neighbours" in plateau([]).summary()
    assert np.isnan(plateau([1.0], best=2.0, typical=2.0).score)


def test_the_worst_values_are_those_at_the_bad_end():
    values = np.arange(11.0)
    assert Values("max", 10.0, values).worst(0.1) == 1
    assert Values("min", 0.0, values).worst(0.1) == 9
    assert Values("max", 10.0, np.array([np.nan, *range(10)])).worst(0.05) == -np.inf
    assert Values("max", 10.0, np.array([np.nan, *range(10)])).median == 4
    assert Values("max", 1.0, np.array([np.nan, 1.0])).n_failed == 1


def test_the_drawdown_is_that_of_a_plain_loop():
    rng = np.random.default_rng(0)
    for _ in range(50):
        returns = rng.normal(0, 0.1, rng.integers(1, 30))
        equity = peak = 1.0
        deepest = 0.0
        for one in returns:
            equity *= 1 + one
            peak = max(peak, equity)
            deepest = min(deepest, equity / peak - 1)
        assert drawdown_of(returns) == pytest.approx(deepest, abs=1e-12)


def test_random_orders_keep_the_returns():
    found = monte_carlo(np.full(20, 0.01), 10, 0)
    assert found.drawdown == 0
    assert (found.drawdowns == 0).all()
    one_loss = monte_carlo(np.array([-0.2, *[0.01] * 9]), 10, 0)
    np.testing.assert_allclose(one_loss.drawdowns, -0.2)


def test_interaction_is_what_does_not_add_up():
    rows, columns = np.array([1.0, 5.0, 2.0]), np.array([0.0, 3.0])
    options = ((1, 2, 3), ("a", "b"))
    added = rows[:, None] + columns
    assert Grid(options, added).interaction == pytest.approx(0, abs=1e-12)
    assert Grid(((0, 1), (0, 1)), np.array([[1.0, -1.0], [-1.0, 1.0]])).interaction == pytest.approx(1)
    holed = added.copy()
    holed[0, 0] = np.nan
    assert Grid(options, holed).interaction == pytest.approx(0, abs=1e-12)
    assert np.isnan(Grid(((0, 1), (0, 1)), np.array([[1.0, np.nan], [2.0, 1.0]])).interaction)


def test_lines_without_a_value_have_no_spread():
    assert Line((1, 2), np.array([1.0, 4.0])).spread == 3
    assert np.isnan(Line((1,), np.array([np.nan])).spread)
    found = Sensitivity({"x": Line((1,), np.array([np.nan]))}, {})
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["lines"]["x"]["spread"] is None
    assert "`x`" in found.summary()


def test_checks_that_were_not_done_are_not_shown():
    found = Robustness("sharpe", "max", 3, {"x": 1}, 1.0, plateau=plateau([0.5]), left_out={"noise": "no prices."})
    assert set(found.to_dict()) == {"metric", "mode", "trial", "best", "config", "plateau", "left_out"}
    assert "noise: left out: no prices." in repr(found)
    assert "costs" not in repr(found)

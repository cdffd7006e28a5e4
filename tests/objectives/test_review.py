"""Reviews slice the bars of a window and keep every symbol, listed or not."""

from __future__ import annotations

import numpy as np
import pytest

import rbt_ray as rbt
from rbt_ray.errors import BundleError
from rbt_ray.objectives.review import buy_and_hold, review

NAN = np.nan
INDEX = np.datetime64("2020-01-01", "ns") + np.arange(6) * np.timedelta64(1, "D")
CLOSE = np.array(
    [[10.0, NAN, 5.0], [11.0, NAN, 6.0], [12.0, NAN, NAN], [13.0, NAN, NAN], [14.0, 20.0, NAN], [15.0, 30.0, NAN]]
)


@pytest.fixture(scope="module")
def bundle():
    return rbt.Bundle.from_arrays({"close": CLOSE}, INDEX, ["A", "LATE", "GONE"])


@pytest.mark.parametrize(("start", "stop"), [(0, 3), (2, 4), (4, 6)])
def test_a_window_may_hold_symbols_that_are_not_listed_in_it(bundle, start, stop):
    window = rbt.Bundle.from_arrays({"close": bundle.close[start:stop]}, INDEX[start:stop], bundle.symbols)
    assert window.symbols == bundle.symbols
    np.testing.assert_array_equal(window.close, CLOSE[start:stop])
    run = rbt.backtest(window, np.ones(window.close.shape) / 3, "close", missing="zero")
    assert np.isfinite(run.returns).all()


def test_a_window_in_which_no_symbol_has_a_price_is_refused(bundle):
    with pytest.raises(BundleError, match="no price of any symbol on any of the 2 bars"):
        rbt.Bundle.from_arrays({"close": bundle.close[2:4, 1:]}, INDEX[2:4], bundle.symbols[1:])


def test_the_hold_out_of_an_objective_without_a_backtest_has_all_symbols(bundle):
    def objective(params, data):
        return {"score": float(data.n_symbols), "bars": float(data.n_bars), "last": float(data.close[-1, 1])}

    found = review(objective, {}, "score", bundle, 4, 0)
    assert found.error is None
    assert found.holdout == {"score": 3.0, "bars": 2.0, "last": 30.0}


def test_buy_and_hold_keeps_the_share_of_a_symbol_that_is_never_listed_in_cash(bundle):
    window = rbt.Bundle.from_arrays({"close": CLOSE[:3]}, INDEX[:3], bundle.symbols)
    np.testing.assert_allclose(buy_and_hold(window), [1.0, (1.1 + 1 + 1.2) / 3, (1.2 + 1 + 1.2) / 3])

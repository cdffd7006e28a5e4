"""Returns of months and years, beside pandas."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rbt_ray.analysis.calendar_returns import calendar_returns


@given(st.integers(1, 300), st.integers(0, 2**32 - 1))
def test_months_and_years_are_those_of_pandas(n, seed):
    rng = np.random.default_rng(seed)
    index = pd.DatetimeIndex(np.sort(pd.Timestamp("2019-11-03") + pd.to_timedelta(rng.integers(0, 1_200, n), "D")))
    wealth = pd.Series(np.cumprod(1 + rng.normal(0, 0.02, n)), index)
    found = calendar_returns(index.as_unit("ms").asi8.astype(float), wealth.to_numpy())
    for frequency, shown in (("M", found.months.ravel()), ("Y", found.totals)):
        ends = wealth.groupby(index.to_period(frequency)).last()
        expected = ends / ends.shift(1, fill_value=1.0) - 1
        first = (
            pd.Period(f"{found.years[0]}-01", frequency) if frequency == "M" else pd.Period(str(found.years[0]), "Y")
        )
        at = [(period - first).n for period in ends.index]
        np.testing.assert_allclose(shown[at], expected, rtol=1e-12, atol=1e-15)
        assert np.isnan(np.delete(shown, at)).all()
    together = np.prod(1 + found.totals[~np.isnan(found.totals)]) - 1
    assert together == pytest.approx(wealth.iloc[-1] - 1)


def test_wealth_that_is_gone_has_no_returns_afterwards():
    index = pd.DatetimeIndex(["2020-01-31", "2020-02-28", "2020-03-31", "2020-04-30"]).as_unit("ms")
    found = calendar_returns(index.asi8.astype(float), np.array([1.1, 0.0, 0.0, np.nan]))
    np.testing.assert_allclose(found.months[0, :4], [0.1, -1.0, np.nan, np.nan])

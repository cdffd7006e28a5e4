from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rbt_ray as rbt
from rbt_ray.data import times
from rbt_ray.data.holdout import holdout_start
from rbt_ray.errors import BundleError, SettingError


def _session(days, start, minutes, step):
    return [day + pd.Timedelta(start) + pd.Timedelta(minutes=m) for day in days for m in range(0, minutes, step)]


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        (pd.bdate_range("2020-01-01", periods=300), 252),
        (pd.bdate_range("2020-01-01", periods=2), 252),
        (pd.DatetimeIndex(["2020-01-03", "2020-01-06"]), 252),
        (pd.DatetimeIndex(["2020-01-03"]), 252),
        (pd.bdate_range("2020-01-01", periods=300).delete([5, 6, 50, 100, 200]), 252),
        (pd.bdate_range("2020-01-01", periods=300, tz="Asia/Tokyo"), 252),
        (pd.bdate_range("2020-01-01", periods=300, tz="America/New_York"), 252),
        (
            pd.bdate_range("2020-01-01", periods=300)
            .append(pd.DatetimeIndex(["2020-05-02", "2020-06-06"]))
            .sort_values(),
            252,
        ),
        (pd.bdate_range("2020-01-05", periods=300, freq="C", weekmask="Sun Mon Tue Wed Thu"), 252),
        (pd.date_range("2020-01-01", periods=300), 365),
        (pd.date_range("2020-01-01", periods=300, freq="W"), 52),
        (pd.date_range("2020-01-01", periods=300, freq="W-FRI"), 52),
        (pd.date_range("2020-01-01", periods=60, freq="MS"), 12),
        (pd.date_range("2020-01-01", periods=60, freq="BME"), 12),
        (pd.date_range("2000-01-01", periods=30, freq="QS"), 4),
        (pd.date_range("2000-01-01", periods=20, freq="YS"), 1),
        (pd.DatetimeIndex(_session(pd.bdate_range("2020-01-01", periods=20), "14:30:00", 390, 1)), 390 * 252),
        (pd.DatetimeIndex(_session(pd.bdate_range("2020-01-01", periods=20), "14:30:00", 390, 60)), 7 * 252),
        (pd.DatetimeIndex(_session(pd.bdate_range("2020-01-01", periods=20), "23:00:00", 360, 60)), 6 * 252),
        (pd.date_range("2020-01-01", periods=24 * 40, freq="h"), 24 * 365),
        (pd.date_range("2020-01-01", periods=24, freq="h"), 24 * 252),
    ],
)
def test_periods_per_year(index, expected):
    closes = pd.DataFrame({"A": np.ones(len(index))}, index)
    assert rbt.Bundle.from_frame(closes).periods_per_year == expected
    assert rbt.Bundle.from_frame(closes, periods_per_year=7).periods_per_year == 7


def test_an_odd_spacing_counts_bars_over_years():
    index = pd.date_range("2000-01-01", "2020-01-01", freq="14D")
    assert times.periods_per_year(index.to_numpy()) == pytest.approx(365.25 / 14, rel=1e-3)


@pytest.mark.parametrize("wrong", [0, -1, float("nan"), float("inf"), "252", True, None.__class__])
def test_periods_per_year_must_be_a_number_above_zero(wrong):
    with pytest.raises(BundleError, match="`periods_per_year` is the number of bars in a year"):
        rbt.Bundle.from_frame(pd.DataFrame({"A": [1.0]}, pd.DatetimeIndex(["2020-01-01"])), periods_per_year=wrong)


def _daily(n, tz=None, start="2020-01-01"):
    return rbt.Bundle.from_frame(pd.DataFrame({"A": np.ones(n)}, pd.bdate_range(start, periods=n, tz=tz)))


@given(n=st.integers(2, 500), percent=st.integers(1, 99))
def test_a_share_holds_out_the_last_bars_rounded_up(n, percent):
    bundle = _daily(n)
    training = n * (100 - percent) // 100  # exact
    if training == 0:
        with pytest.raises(SettingError, match="leaves no training bars"):
            holdout_start(bundle, percent / 100)
    else:
        assert holdout_start(bundle, percent / 100) == training


@pytest.mark.parametrize(
    ("holdout", "first"),
    [
        ("2020-01-06", "2020-01-06"),
        ("2020-01-04", "2020-01-06"),  # a Saturday
        ("20200108", "2020-01-08"),
        ("2020-01-07T12:00", "2020-01-08"),
        (dt.date(2020, 1, 7), "2020-01-07"),
        (dt.datetime(2020, 1, 7, 0, 0, 1), "2020-01-08"),
        (dt.datetime(2020, 1, 7, 1, tzinfo=dt.timezone(dt.timedelta(hours=2))), "2020-01-07"),
        (pd.Timestamp("2020-01-07"), "2020-01-07"),
        (np.datetime64("2020-01-07"), "2020-01-07"),
    ],
)
def test_a_date_holds_out_the_bars_on_and_after_it(holdout, first):
    bundle = _daily(20)
    assert bundle.index[holdout_start(bundle, holdout)] == np.datetime64(first)


def test_a_date_is_one_of_the_bundles_time_zone():
    for tz in ("Asia/Tokyo", "America/New_York", "UTC", "Etc/GMT+5"):
        bundle = _daily(20, tz)
        assert holdout_start(bundle, "2020-01-07") == 4
        assert holdout_start(bundle, "2020-01-07T00:00:01") == 5
    fixed = rbt.Bundle.from_frame(
        pd.DataFrame({"A": [1.0, 2.0]}, pd.to_datetime(["2020-01-01T00:00-05:00", "2020-01-02T00:00-05:00"]))
    )
    assert fixed.tz == "UTC-05:00"
    assert holdout_start(fixed, "2020-01-02") == 1
    assert "2020-01-02" in repr(fixed)


def test_no_holdout_trains_on_everything():
    assert holdout_start(_daily(20), None) == 20


@pytest.mark.parametrize(
    ("holdout", "sentence"),
    [
        (0.0, "above 0 and below 1"),
        (1.0, "above 0 and below 1"),
        (-0.2, "above 0 and below 1"),
        (float("nan"), "above 0 and below 1"),
        (0.99, "`holdout` 0.99 leaves no training bars: the bundle has 20, from 2020-01-01 to 2020-01-28"),
        ("2019-05-01", "leaves no training bars"),
        ("2020-01-01", "leaves no training bars"),
        ("2030-01-01", "`holdout` '2030-01-01' leaves no hold-out bars"),
        ("next year", "got 'next year'"),
        ("03/04/2020", "is a share of the bars"),
        (250, "is a share of the bars"),
        (True, "is a share of the bars"),
        ([1], "is a share of the bars"),
        (pd.NaT, "is a share of the bars"),
        (np.datetime64("NaT"), "is a share of the bars"),
    ],
)
def test_other_holdouts_are_refused_with_a_sentence(holdout, sentence):
    with pytest.raises(SettingError, match=sentence.replace("(", r"\(")):
        holdout_start(_daily(20), holdout)


def test_moments_are_written_as_people_of_the_zone_do():
    assert times.text(np.datetime64("2020-01-02", "ns")) == "2020-01-02"
    assert times.text(np.datetime64("2020-01-02T09:30", "ns")) == "2020-01-02 09:30:00"
    assert times.text(np.datetime64("2020-01-02T05:00", "ns"), "America/New_York") == "2020-01-02"
    assert times.text(np.datetime64("2020-01-02T06:00", "ns"), "America/New_York") == "2020-01-02 01:00:00-05:00"

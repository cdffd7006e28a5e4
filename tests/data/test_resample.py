"""`data.resample`: equal to pandas' groups, and no value depends on a later price or on where a view ends."""

from __future__ import annotations

import re
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rbt_ray as rbt
from rbt_ray.data.content import MissingFieldError
from rbt_ray.errors import InputError, LookaheadError, ShapeError
from rbt_ray.simulate import indicators

ZONES = (None, "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "America/Havana")
"""Havana's clock changes at midnight, Lord Howe's by half an hour."""
RULES = ("5min", "45min", "1h", "4h", "5h", "1D", "1W", "1M")
STEPS = [pd.Timedelta(text) for text in ("1min", "5min", "30min", "1h", "6h", "1D", "3D")]
FIELDS = ("open", "high", "low", "close", "volume", "mood")


def bundle_of(index, tz, close, opens, present, volume):
    """Prices of two symbols, with holes where `present` is false."""
    values = {"close": close, "open": opens, "volume": volume, "mood": close - opens}
    values |= {"high": np.maximum(close, opens) + 1, "low": np.minimum(close, opens) - 1}
    holed = {name: np.where(present, table, np.nan) for name, table in values.items()}
    return rbt.Bundle.from_arrays(holed, index, ["A", "B"], tz=tz)


@st.composite
def bundles(draw):
    tz = draw(st.sampled_from(ZONES))
    start = pd.Timestamp(
        draw(st.sampled_from(["2024-03-08T21:07", "2024-04-05T13:00", "2023-12-29", "2024-11-02T23:30"]))
    )
    usual = draw(st.sampled_from(STEPS))
    steps = draw(st.lists(st.one_of(st.just(usual), st.sampled_from(STEPS)), min_size=1, max_size=60))
    index = pd.DatetimeIndex([start, *(start + np.cumsum(steps))])
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = (len(index), 2)
    close, opens, volume = rng.uniform(50, 150, shape), rng.uniform(50, 150, shape), rng.uniform(0, 9, shape)
    present = rng.random(shape) < draw(st.sampled_from([1.0, 0.7, 0.2]))
    present[0, 0] = True  # a bundle has a price
    return bundle_of(index, tz, close, opens, present, volume)


def is_too_short(rule, bundle):
    longest = pd.Timedelta({"1W": "7D", "1M": "31D"}.get(rule, rule))
    return bundle.n_bars > 1 and longest < np.diff(bundle.index).min()


def keys_of(times, tz, rule):
    """The frame of each time, by pandas: a local day, week or month, or a local day and a bin of elapsed time."""
    local = times.tz_localize("UTC").tz_convert(tz or "UTC")
    naive = local.tz_localize(None)
    if rule in ("1W", "1M"):
        return [str(period) for period in naive.to_period(rule[1])]
    if rule == "1D":
        return [str(day) for day in naive.normalize()]
    keys = []
    for day, own in pd.Series(times, naive).groupby(naive.date):
        midnight = pd.Timestamp(day).tz_localize(local.tz, ambiguous=True, nonexistent="shift_forward")
        bins = pd.Series(1, own.to_numpy()).resample(rule, origin=midnight.tz_convert("UTC").tz_localize(None))
        keys += [f"{day} {label}" for label, group in bins for _ in group]
    return keys


def by_pandas(bundle, rule):
    """The coarse bars, and the frame that has closed on each bar, or -1."""
    times = pd.DatetimeIndex(bundle.index)
    after = times[-1] + (np.diff(bundle.index).min() if bundle.n_bars > 1 else np.timedelta64(0))
    keys = keys_of(times.append(pd.DatetimeIndex([after])), bundle.tz, rule)
    coarse = {}
    for field in FIELDS:
        groups = pd.DataFrame(bundle[field]).groupby(keys[:-1], sort=False)
        how = {"open": "first", "high": "max", "low": "min", "volume": "sum"}.get(field, "last")
        coarse[field] = groups.agg(how, **({"min_count": 1} if field == "volume" else {})).to_numpy()
    closed = np.cumsum([one != other for one, other in pairwise(keys)]) - 1
    return coarse, closed


def held(values, closed):
    """Values of frames on the bars."""
    return np.where(closed[:, None] >= 0, values[np.maximum(closed, 0)], np.nan)


@given(bundle=bundles(), rule=st.sampled_from(RULES))
@settings(max_examples=40, deadline=None)
def test_it_equals_the_groups_of_pandas(bundle, rule):
    if is_too_short(rule, bundle):
        with pytest.raises(InputError, match="not shorter than the bars"):
            bundle.view().resample(rule)
        return
    coarse, closed = by_pandas(bundle, rule)
    frame = bundle.view().resample(rule)
    for field in FIELDS:
        np.testing.assert_allclose(frame[field], held(coarse[field], closed), rtol=1e-12, err_msg=field)
    assert frame.ends.tolist() == (np.diff(closed, prepend=-1) > 0).tolist()
    # What is still open has no part in an indicator.
    over = indicators.rolling_max(coarse["close"][: closed[-1] + 1], 2)
    np.testing.assert_array_equal(frame.rolling_max("close", 2), held(over, closed) if closed[-1] >= 0 else np.nan)


def values_of(view, rule):
    frame = view.resample(rule)
    tables = [frame[field] for field in FIELDS]
    tables += [frame.sma("close", 2), frame.ema("high", 3), frame.rolling_min(view.close - view.open, 2)]
    tables += [frame.memo(two_means, 2)["slow"], frame.ta("rsi", timeperiod=2), frame.memo(risen)]
    return [*tables, np.repeat(frame.ends[:, None], 2, axis=1)]


def two_means(bars, window):
    return {"fast": bars.close, "slow": indicators.sma(bars.close, window)}


def risen(bars):
    return bars.close > bars.open


@given(bundle=bundles(), rule=st.sampled_from(RULES), data=st.data())
@settings(max_examples=40, deadline=None)
def test_later_prices_and_bars_change_nothing(bundle, rule, data):
    if is_too_short(rule, bundle):
        return
    n = data.draw(st.integers(1, bundle.n_bars))
    rng = np.random.default_rng(0)
    factors = np.where(np.arange(bundle.n_bars)[:, None] < n, 1.0, rng.uniform(0.5, 2.0, (bundle.n_bars, 1)))
    fields = {field: bundle[field] * factors for field in FIELDS}
    changed = rbt.Bundle.from_arrays(fields, bundle.index, bundle.symbols, tz=bundle.tz)
    whole = values_of(bundle.view(), rule)
    for view in (changed.view(), bundle.view(n), bundle.view().window(0, n)):
        for truth, other in zip(whole, values_of(view, rule), strict=True):
            np.testing.assert_array_equal(truth[:n], other[:n])


@given(bundle=bundles(), rule=st.sampled_from(RULES), data=st.data())
@settings(max_examples=40, deadline=None)
def test_a_window_differs_only_until_its_first_whole_frame_has_closed(bundle, rule, data):
    if is_too_short(rule, bundle):
        return
    start = data.draw(st.integers(0, bundle.n_bars - 1))
    stop = data.draw(st.integers(start + 1, bundle.n_bars))
    view = bundle.view()
    whole, part = view.resample(rule), view.window(start, stop).resample(rule)
    assert part.ends.tolist() == whole.ends[start:stop].tolist()
    for first in np.flatnonzero(part.ends)[1:2]:  # the first frame may have begun before the window
        for field in FIELDS:
            np.testing.assert_array_equal(part[field][first:], whole[field][start + first : stop])


def hours(start, end, tz, step="1h"):
    return pd.date_range(start, end, freq=step, tz=tz, inclusive="left").tz_convert("UTC").tz_localize(None)


def rising(index, tz):
    count = np.arange(1.0, len(index) + 1)[:, None]
    return rbt.Bundle.from_arrays({"close": count, "volume": count * 0 + 1}, index, ["A"], tz=tz)


def ends_of(bundle, rule, tz, **settings):
    ends = bundle.view().resample(rule, **settings).ends
    local = pd.DatetimeIndex(bundle.index).tz_localize("UTC").tz_convert(tz)
    return [time.strftime("%d %H:%M") for time in local[ends]]


@pytest.mark.parametrize(
    ("first", "n_hours", "ends_of_4_hours"),
    [("2024-03-10", 23, [3, 7, 11, 15, 19, 22, 26]), ("2024-11-03", 25, [3, 7, 11, 15, 19, 23, 24, 28])],
)
def test_days_of_23_and_25_hours_end_at_midnight(first, n_hours, ends_of_4_hours):
    tz = "America/New_York"
    two_days = (first, pd.Timestamp(first) + pd.Timedelta("2D"), tz)
    view = rising(hours(*two_days), tz).view()
    day = view.resample("1D")
    assert np.flatnonzero(day.ends).tolist() == [n_hours - 1, n_hours + 23]
    assert day.volume[[n_hours - 2, n_hours - 1, -1], 0].tolist() == pytest.approx([np.nan, n_hours, 24], nan_ok=True)
    # The hour that the clock repeats is an hour of its own, and so is the one after the hour that it skips.
    halves = rising(hours(*two_days, "30min"), tz).view()
    assert halves.resample("1h").ends.tolist() == [False, True] * (n_hours + 24)
    assert np.flatnonzero(view.resample("4h").ends).tolist()[: len(ends_of_4_hours)] == ends_of_4_hours


def test_days_end_at_midnight_of_the_bundles_time_zone():
    index = hours("2024-01-01", "2024-01-03", "Asia/Tokyo", "3h")
    assert ends_of(rising(index, "Asia/Tokyo"), "1D", "Asia/Tokyo") == ["01 21:00", "02 21:00"]
    assert ends_of(rising(index, None), "1D", "UTC") == ["31 21:00", "01 21:00"]


def test_a_week_begins_on_monday_and_a_frame_closes_with_its_last_bar():
    """Good Friday 2024 is 29 March: that week closes on Thursday. The last week is open until a calendar says otherwise."""
    days = pd.bdate_range("2024-03-18", "2024-04-05").drop("2024-03-29")
    week = rising(days, None).view().resample("1W")
    assert days[week.ends].strftime("%m-%d").tolist() == ["03-22", "03-28"]
    assert week.close[:, 0].tolist() == pytest.approx([*[np.nan] * 4, *[5.0] * 4, *[9.0] * 6], nan_ok=True)
    assert days[rising(days, None).view().resample("1W", calendar="XNYS").ends][-1] == days[-1]
    until_thursday = rising(days[:9], None).view()
    assert until_thursday.resample("1W").ends.tolist() == [*[False] * 4, True, *[False] * 4]
    assert until_thursday.resample("1W", calendar="XNYS").ends.tolist() == [*[False] * 4, True, *[False] * 3, True]
    month = rising(days, None).view().resample("1M")
    assert days[month.ends].strftime("%m-%d").tolist() == ["03-28"]


def test_a_week_that_trades_on_every_day_ends_on_sunday():
    days = pd.date_range("2024-01-01", "2024-01-21")  # from a Monday to a Sunday
    week = rising(days, None).view().resample("1W")
    assert days[week.ends].day.tolist() == [7, 14, 21]
    assert week.volume[[6, 13, 20], 0].tolist() == [7, 7, 7]


def test_sessions_end_at_the_close_of_the_exchange_and_hours_count_from_its_open():
    """On 29 November 2024 New York closed at 13:00, and the day before was a holiday."""
    tz = "America/New_York"
    bundle = rising(hours("2024-11-27 04:00", "2024-12-03", tz, "30min"), tz)
    assert ends_of(bundle, "1D", tz, calendar="XNYS") == ["27 15:30", "29 12:30", "02 15:30"]
    trading = pd.DatetimeIndex(bundle.index).tz_localize("UTC").tz_convert(tz).indexer_between_time("9:30", "15:59")
    own = [
        bar for bar in trading if bundle.index[bar].astype("datetime64[D]").astype(str) in ("2024-11-27", "2024-11-29")
    ]
    session = rising(pd.DatetimeIndex(bundle.index)[own], tz)
    assert ends_of(session, "1h", tz, calendar="XNYS")[:8] == [
        *("27 10:00", "27 11:00", "27 12:00", "27 13:00", "27 14:00", "27 15:00", "27 15:30", "29 10:00")
    ]
    assert ends_of(session, "1h", tz)[:8] == [
        *("27 09:30", "27 10:30", "27 11:30", "27 12:30", "27 13:30", "27 14:30", "27 15:30", "29 09:30")
    ]
    by_end = rising(pd.DatetimeIndex(bundle.index)[own] + pd.Timedelta("30min"), tz)
    assert ends_of(by_end, "1D", tz, calendar="XNYS", closed="right")[0] == "27 16:00"


def test_a_session_that_begins_the_evening_before_is_one_day():
    tz = "America/Chicago"
    bundle = rising(hours("2024-01-07 17:00", "2024-01-10 00:00", tz), tz)
    assert ends_of(bundle, "1D", tz, calendar="CMES") == ["08 16:00", "09 16:00"]


def test_times_that_are_ends_of_bars_belong_to_the_frame_before():
    index = hours("2024-01-01 00:15", "2024-01-01 02:15", "UTC", "15min")
    assert ends_of(rising(index, None), "1h", "UTC", closed="right") == ["01 01:00", "01 02:00"]
    assert ends_of(rising(index, None), "1h", "UTC") == ["01 00:45", "01 01:45"]


def test_results_are_cached_and_read_only():
    view = rbt.load_bundle("sample").view(400)
    trial = view.for_trial(3)
    week = view.resample("1W")
    assert trial.resample("1W").sma("close", np.int64(4)) is week.sma("close", 4)
    assert week.sma("close", 4) is not view.resample("1M").sma("close", 4)
    assert week.ta("MACD") is view.resample("W").ta("MACD") or set(week.ta("MACD")) == {
        "macd",
        "macdsignal",
        "macdhist",
    }
    for values in (week.close, week.ends, week.sma(view.close, 4), week.ta("MACD")["macd"]):
        assert len(values) == 400
        with pytest.raises(ValueError, match="read-only"):
            values[0] = 1
    np.testing.assert_array_equal(week.sma(view.close, 4), week.sma("close", 4))
    seeds = []
    trial.resample("1W").memo(lambda bars: seeds.append(bars.seed) or bars.close)
    assert seeds == [None]


def average_inside(bars):
    return bars.sma("close", 2)


def test_bars_of_a_frame_share_no_cached_results_with_other_bars():
    days = pd.date_range("2024-01-01", "2024-01-28")
    view = rising(days, None).view()
    week, first_days = view.resample("1W"), view.window(0, 4)
    assert week.memo(average_inside)[-1, 0] == (21 + 28) / 2
    assert first_days.sma("close", 2)[-1, 0] == (3 + 4) / 2
    assert view.resample("1M").memo(average_inside).shape == (28, 1)


@pytest.mark.parametrize("rule", ["2D", "0h", "24h", "1440min", "1Y", "1m", "1s", "", None, 60, "1.5h"])
def test_other_frames_are_refused(rule):
    with pytest.raises(InputError, match=re.escape(f"'1M' (a calendar month); got {rule!r}")):
        rbt.load_bundle("sample").view().resample(rule)


def test_what_does_not_fit_is_refused():
    view = rbt.load_bundle("sample").view()
    with pytest.raises(InputError, match="not shorter than the bars: those of this bundle are at least 1 day"):
        view.resample("4h")
    with pytest.raises(InputError, match="got 'XNYZ': did you mean 'XN"):
        view.resample("1D", calendar="XNYZ")
    with pytest.raises(InputError, match="is the name of an exchange"):
        view.resample("1D", calendar=5)
    with pytest.raises(InputError, match="earliest date from which calendar XTKS"):
        rising(pd.date_range("1980-01-01", periods=9), None).view().resample("1W", calendar="XTKS")
    with pytest.raises(InputError, match="'left' if the times"):
        view.resample("1D", closed="both")
    week = view.resample("1W")
    with pytest.raises(MissingFieldError, match="did you mean 'close'"):
        week.sma("clos", 3)
    with pytest.raises(InputError, match=r"`data.memo\(two_means, ...\)`: arguments must be hashable"):
        week.memo(two_means, [3])
    with pytest.raises(ShapeError, match="`scalar` returns an array with a row for each bar of the frame"):
        week.memo(scalar)
    with pytest.raises(ShapeError, match=r"on the [\d,]+ bars of `data`"):
        week.sma(np.ones((3, 5)), 2)
    with pytest.raises(InputError, match=r"use `data.resample` outside of this function"):
        week.memo(nested)


def scalar(bars):
    return float(np.nanmax(bars.close))


def nested(bars):
    return bars.resample("1M").close


def with_frames(params, data):
    """Held while the day is above its average of 20 days and the week above that of 10 weeks."""
    week = data.resample("1W")
    rises = (data.close > data.sma("close", 20)) & (week.close > week.sma("close", 10))
    return rbt.backtest(data, np.where(np.isnan(data.close), 0.0, rises) / data.n_symbols)


def week_known_from_monday(params, data):
    """Looks ahead: every day of a week has the week's last close."""
    weeks = pd.DatetimeIndex(data.index).to_period("W").to_numpy()
    last = pd.DataFrame(data.close).groupby(weeks).transform("last").to_numpy()
    return rbt.backtest(data, np.where(np.isnan(data.close), 0.0, data.close < last) / data.n_symbols)


def week_so_far(params, data):
    """Looks ahead: on the last bars of a view, the week's high is that of the bars so far; before, that of all its bars."""
    weeks = pd.DatetimeIndex(data.index).to_period("W").to_numpy()
    high = pd.DataFrame(data.high).groupby(weeks).transform("max").to_numpy()
    return rbt.backtest(data, np.where(np.isnan(data.close), 0.0, data.close > 0.99 * high) / data.n_symbols)


def test_check_lookahead_passes_frames_and_catches_a_leak_made_by_hand():
    bundle = rbt.load_bundle("sample")
    assert "No look-ahead found" in str(rbt.check_lookahead(with_frames, bundle, {}, n_cuts=5))
    for leak in (week_known_from_monday, week_so_far):
        with pytest.raises(LookaheadError, match="the weight of"):
            rbt.check_lookahead(leak, bundle, {}, n_cuts=5)

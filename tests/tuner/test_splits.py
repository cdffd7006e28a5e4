"""How WalkForward, CPCV and splitters of other packages divide the training bars."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import TimeSeriesSplit

import rbt_ray as rbt
from rbt_ray.errors import SettingError
from rbt_ray.tuner.splits import resolve


def bundle_of(index):
    rng = np.random.default_rng(1)
    closes = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, (len(index), 2)), axis=0))
    return rbt.Bundle.from_arrays({"close": closes}, index, ["A", "B"])


DAYS = pd.bdate_range("2001-03-14", "2009-08-20")
BUNDLE = bundle_of(DAYS)
N = len(DAYS)


def bars(window):
    return window.train_bars, window.test_bars


def test_blocks_are_those_of_array_split():
    windows = resolve(rbt.WalkForward(train=8, test=3), BUNDLE, N).windows
    blocks = np.array_split(np.arange(N), 16)
    assert len(windows) == 3  # the last one tests on the two blocks that are left
    for number, window in enumerate(windows):
        first = 3 * number
        train, test = bars(window)
        assert train.tolist() == np.concatenate(blocks[first : first + 8]).tolist()
        assert test.tolist() == np.concatenate(blocks[first + 8 : first + 11]).tolist()


def test_an_anchored_walk_forward_begins_at_the_first_bar():
    windows = resolve(rbt.WalkForward(train=8, test=1, anchored=True), BUNDLE, N).windows
    assert {int(window.train_bars[0]) for window in windows} == {0}
    assert [window.train_stop for window in windows] == [window.test[0][0] for window in windows]


def test_gap_and_purge_end_the_period_to_choose_on_earlier():
    for settings_ in ({"gap": 7}, {"purge": 7}, {"gap": 7, "purge": 3}, {"gap": 3, "purge": 7}):
        for window in resolve(rbt.WalkForward(8, 1, **settings_), BUNDLE, N).windows:
            assert window.test[0][0] - window.train_stop == 7


def test_calendar_windows_are_those_of_pandas():
    """Six months that end with a month; the four years before them to choose on."""
    windows = resolve(rbt.WalkForward(train="4y", test="6ME"), BUNDLE, N).windows
    first = DAYS[0].normalize() + pd.DateOffset(years=4)
    starts = pd.date_range(first, DAYS[-1], freq="MS")[::6]
    assert len(windows) == len(starts)
    for window, start in zip(windows, starts, strict=True):
        train, test = bars(window)
        assert DAYS[test].equals(DAYS[(start <= DAYS) & (start + pd.DateOffset(months=6) > DAYS)])
        assert DAYS[train].equals(DAYS[(start - pd.DateOffset(years=4) <= DAYS) & (start > DAYS)])


@pytest.mark.parametrize(
    ("train", "test", "offset"),
    [("3Y", "2Q", {"months": 6}), ("30M", "26w", {"weeks": 26}), ("900D", "1Y", {"years": 1})],
)
def test_calendar_spans_without_alignment_begin_after_the_first_bar(train, test, offset):
    windows = resolve(rbt.WalkForward(train=train, test=test, min_bars=5), BUNDLE, N).windows
    unit = {"Y": "years", "M": "months", "D": "days"}[train[-1]]
    start = DAYS[0] + pd.DateOffset(**{unit: int(train[:-1])})
    for number, window in enumerate(windows):
        begin = start + pd.DateOffset(**{name: n * number for name, n in offset.items()})
        end = start + pd.DateOffset(**{name: n * (number + 1) for name, n in offset.items()})
        assert DAYS[window.test_bars].equals(DAYS[(begin <= DAYS) & (end > DAYS)])
    covered = np.concatenate([window.test_bars for window in windows])
    assert covered.tolist() == list(range(covered[0], covered[0] + len(covered)))
    assert N - 1 - covered[-1] < 5  # a last period is left out only if it is shorter than `min_bars`


def test_days_are_those_of_the_bundles_time_zone():
    index = pd.date_range("2020-01-01", periods=24 * 400, freq="h", tz="America/New_York")
    windows = resolve(rbt.WalkForward("6M", "1ME"), bundle_of(index), len(index)).windows
    for window in windows:
        assert index[window.test_bars[0]].day == 1
        assert index[window.test_bars[0]].hour == 0


def test_cpcv_tests_each_combination_of_blocks():
    windows = resolve(rbt.CPCV(6, 2), BUNDLE, N).windows
    blocks = np.array_split(np.arange(N), 6)
    for window, chosen in zip(windows, itertools.combinations(range(6), 2), strict=True):
        train, test = bars(window)
        assert test.tolist() == np.concatenate([blocks[number] for number in chosen]).tolist()
        assert sorted([*train, *test]) == list(range(N))
    assert len(resolve(rbt.CPCV(), BUNDLE, N).windows) == 120


@settings(max_examples=40, deadline=None)
@given(
    st.one_of(
        st.builds(
            lambda train, test, **kw: rbt.WalkForward(train, min(test, 16 - train), **kw),
            st.integers(1, 12), st.integers(1, 4), anchored=st.booleans(), gap=st.integers(0, 20),
            purge=st.integers(0, 20), embargo=st.integers(0, 20),
        ),
        st.builds(rbt.CPCV, st.integers(4, 9), st.integers(1, 3), purge=st.integers(0, 20), embargo=st.integers(0, 20)),
    ),
    st.integers(800, N),
)  # fmt: skip
def test_every_window_keeps_its_distance(validation, n_bars):
    for window in resolve(validation, BUNDLE, n_bars).windows:
        train, test = bars(window)
        assert train.max() < n_bars
        assert test.max() < n_bars
        assert np.abs(train[:, None] - test).min() > validation.purge
        if isinstance(validation, rbt.WalkForward):
            assert test.min() - train.max() > validation.gap
        for _, stop in window.test:
            assert not ((train >= stop) & (train < stop + validation.embargo)).any()


@settings(max_examples=40, deadline=None)
@given(
    st.one_of(
        st.builds(
            lambda train, test, **kw: rbt.WalkForward(train, min(test, 16 - train), **kw),
            st.integers(1, 12), st.integers(1, 4), anchored=st.booleans(), gap=st.integers(0, 9), purge=st.integers(0, 25),
        ),
        st.builds(
            rbt.WalkForward, st.sampled_from(["1Y", "14M", "300D"]), st.sampled_from(["1QE", "6M", "11W"]),
            anchored=st.booleans(), purge=st.integers(0, 25), min_bars=st.just(5),
        ),
        st.builds(rbt.CPCV, st.integers(4, 9), st.integers(1, 3), purge=st.integers(0, 25), embargo=st.integers(0, 9)),
    ),
    st.integers(900, N),
    st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_no_bar_to_choose_on_belongs_to_a_position_that_is_open_on_a_test_bar(validation, n_bars, seed):
    """Positions begin on random bars and are held for up to `purge` bars."""
    rng = np.random.default_rng(seed)
    entries = rng.integers(0, n_bars, 400)
    exits = np.minimum(entries + rng.integers(0, validation.purge + 1, 400), n_bars - 1)
    for window in resolve(validation, BUNDLE, n_bars).windows:
        is_train, is_test = np.zeros((2, n_bars + 1), np.int64)
        is_train[window.train_bars + 1], is_test[window.test_bars + 1] = 1, 1
        n_train, n_test = is_train.cumsum(), is_test.cumsum()
        spans = [(n[np.minimum(exits + 1, n_bars)] - n[entries]) > 0 for n in (n_train, n_test)]
        assert not (spans[0] & spans[1]).any()


def test_a_splitter_of_scikit_learn_gives_its_windows():
    splitter = TimeSeriesSplit(n_splits=5, gap=3, test_size=100)
    plan = resolve(splitter, BUNDLE, 1500)
    expected = list(splitter.split(np.empty((1500, 1))))
    assert [[part.tolist() for part in bars(window)] for window in plan.windows] == [
        [part.tolist() for part in pair] for pair in expected
    ]
    assert "TimeSeriesSplit" in plan.name


def test_a_splitter_may_yield_several_test_sets_and_read_dates():
    class Splitter:
        """Like skfolio's CombinatorialPurgedCV, whose test is a list of arrays; it gets a frame with dates."""

        def split(self, X, y=None, groups=None):
            years = X.index.year
            yield np.flatnonzero(years == 2003), [np.flatnonzero(years == 2002), np.flatnonzero(years == 2004)]

    (window,) = resolve(Splitter(), BUNDLE, N).windows
    assert DAYS[window.train_bars].year.unique().tolist() == [2003]
    assert DAYS[window.test_bars].year.unique().tolist() == [2002, 2004]
    assert len(window.test) == 2


def splitting(*pairs):
    class Splitter:
        def split(self, X):
            return iter(pairs)

    return Splitter()


@pytest.mark.parametrize(
    ("validation", "words"),
    [
        (splitting(), "none"),
        (splitting(([0, 1], [1, 2])), "bar 1 both"),
        (splitting(([0, 1], [N])), "bar numbers from 0"),
        (splitting(([0.5, 1], [4, 5])), "bar numbers from 0"),
        (splitting(([0, 1], [4])), "window 0 has 1 bars to test on"),
        (rbt.WalkForward(1, 1, gap=200), "window 0 has 0 bars to train on"),
        (rbt.WalkForward("20Y", "1Y"), "none"),
        (rbt.WalkForward("1Y", "2D"), "window 0 has 2 bars to test on"),
        (rbt.CPCV(50, 1, purge=3000), "to train on"),
    ],
)
def test_windows_that_cannot_be_used_are_refused(validation, words):
    with pytest.raises(SettingError, match=words):
        resolve(validation, BUNDLE, N)


@pytest.mark.parametrize(
    "make",
    [
        lambda: rbt.WalkForward(8, 0),
        lambda: rbt.WalkForward(9, 8),
        lambda: rbt.WalkForward("4y", 1),
        lambda: rbt.WalkForward("4 fortnights", "1y"),
        lambda: rbt.WalkForward("0y", "1y"),
        lambda: rbt.WalkForward(True, 1),
        lambda: rbt.WalkForward(8, 1, gap=-1),
        lambda: rbt.WalkForward(8, 1, purge=1.5),
        lambda: rbt.CPCV(16, 16),
        lambda: rbt.CPCV(101, 2),
        lambda: rbt.CPCV(1, 1),
        lambda: rbt.TuneConfig(validation=8),
        lambda: rbt.TuneConfig(validation=rbt.CPCV),
    ],
)
def test_settings_that_make_no_sense_are_refused(make):
    with pytest.raises(SettingError):
        make()


def test_a_validation_is_named_by_its_sizes_and_what_differs_from_the_defaults():
    assert repr(rbt.WalkForward()) == "WalkForward(train=8, test=1)"
    assert repr(rbt.WalkForward(4, 2, gap=5)) == "WalkForward(train=4, test=2, gap=5)"
    assert repr(rbt.CPCV(16, 2, embargo=3)) == "CPCV(n_blocks=16, n_test=2, embargo=3)"

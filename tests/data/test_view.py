from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import talib

import rbt_ray as rbt
from rbt_ray.data.content import MissingFieldError
from rbt_ray.errors import InputError


@pytest.mark.parametrize("n", [1, 7, 20, None, np.int64(5)])
def test_a_view_is_the_first_bars(small, n):
    view = small.view(n)
    stop = small.n_bars if n is None else int(n)
    assert (view.n_bars, view.n_symbols) == (stop, 3)
    assert (view.symbols, view.fields, view.tz, view.version) == (small.symbols, small.fields, None, small.version)
    assert view.periods_per_year == small.periods_per_year
    np.testing.assert_array_equal(view.index, small.index[:stop])
    for values, whole in ((view.close, small.close), (view["mood"], small["mood"])):
        np.testing.assert_array_equal(values, whole[:stop])
        assert np.shares_memory(values, whole)
        assert values.flags.c_contiguous
        with pytest.raises(ValueError, match="read-only"):
            values[0, 0] = 1


def test_all_usual_fields_are_attributes(sample):
    view = sample.view(100)
    for field in ("open", "high", "low", "close", "volume"):
        assert getattr(view, field) is view[field]
        np.testing.assert_array_equal(view[field], getattr(sample, field)[:100])


def test_a_trials_random_numbers_are_its_seeds(small):
    view = small.view()
    trial = view.for_trial(42)
    assert (view.seed, trial.seed) == (None, 42)
    drawn = trial.rng.random(3)
    np.testing.assert_array_equal(drawn, np.random.default_rng(42).random(3))
    np.testing.assert_array_equal(
        trial.rng.random(2), np.random.default_rng(42).random(5)[3:]
    )  # one generator for each trial
    np.testing.assert_array_equal(view.for_trial(42).rng.random(3), drawn)
    assert trial.for_trial(43).rng.random() != drawn[0]
    with pytest.raises(InputError, match="belongs to no trial"):
        view.rng
    assert "seed 42" in repr(trial)


@pytest.mark.parametrize(
    ("name", "of_pandas"),
    [
        ("sma", lambda f, n: f.rolling(n).mean()),
        ("rolling_mean", lambda f, n: f.rolling(n).mean()),
        ("rolling_std", lambda f, n: f.rolling(n).std()),
        ("rolling_max", lambda f, n: f.rolling(n).max()),
        ("rolling_min", lambda f, n: f.rolling(n).min()),
    ],
)
def test_indicators_are_kept_and_equal_pandas(sample, name, of_pandas):
    view = sample.view(400)
    result = getattr(view, name)("close", 20)
    np.testing.assert_allclose(result, of_pandas(pd.DataFrame(view.close), 20).to_numpy(), rtol=1e-9)
    assert getattr(view, name)("close", 20) is result
    assert getattr(view, name)("close", np.int64(20)) is result
    with pytest.raises(ValueError, match="read-only"):
        result[0] = 1
    of_array = getattr(view, name)(view.close, 20)
    np.testing.assert_array_equal(of_array, result)
    assert of_array is not result
    assert not of_array.flags.writeable
    with pytest.raises(MissingFieldError, match="did you mean 'close'"):
        getattr(view, name)("clos", 20)


def test_ema_is_kept(sample):
    view = sample.view(400)
    result = view.ema("close", 20)
    assert view.ema("close", 20) is result
    assert result.shape == (400, 5)


def test_ta_of_a_full_column_is_ta_lib(sample):
    view = sample.view()
    position = view.symbols.index("IBM")
    high, low, close, volume = (view[field][:, position].copy() for field in ("high", "low", "close", "volume"))
    np.testing.assert_array_equal(view.ta("RSI", timeperiod=9)[:, position], talib.RSI(close, timeperiod=9))
    np.testing.assert_array_equal(view.ta("rsi")[:, position], talib.RSI(close))
    np.testing.assert_array_equal(view.ta("ATR")[:, position], talib.ATR(high, low, close))
    np.testing.assert_array_equal(view.ta("OBV")[:, position], talib.OBV(close, volume))
    np.testing.assert_array_equal(view.ta("MFI", timeperiod=5)[:, position], talib.MFI(high, low, close, volume, 5))
    macd = view.ta("MACD", fastperiod=5, slowperiod=9)
    for name, values in zip(macd, talib.MACD(close, 5, 9), strict=True):
        np.testing.assert_array_equal(macd[name][:, position], values)
    assert list(macd) == ["macd", "macdsignal", "macdhist"]
    assert view.ta("RSI", timeperiod=9) is view.ta("RSI", timeperiod=9)
    assert view.ta("MACD", slowperiod=9, fastperiod=5) is macd
    assert not macd["macd"].flags.writeable


def test_ta_begins_where_a_symbol_is_listed_and_passes_over_gaps(sample):
    view = sample.view()
    position = view.symbols.index("GOOG")
    listed = int(np.argmax(~np.isnan(view.close[:, position])))
    result = view.ta("RSI")[:, position]
    assert listed > 1000
    assert np.isnan(result[: listed + 14]).all()
    np.testing.assert_array_equal(result[listed:], talib.RSI(view.close[listed:, position].copy()))

    gap = view.close.copy()
    gap[[1500, 1501, 3000]] = np.nan
    holed = rbt.Bundle.from_arrays({"close": gap}, sample.index, sample.symbols).view().ta("RSI")[:, 0]
    kept = ~np.isnan(gap[:, 0])
    np.testing.assert_array_equal(holed[kept], talib.RSI(gap[kept, 0]))
    assert (holed[~kept] == holed[[1499, 1499, 3000 - 1]]).all(), "a gap keeps the value of the bar before"


def test_ta_looks_at_the_past_only_and_survives_unlisted_symbols(sample):
    early = sample.view(300)
    assert np.isnan(early.close[:, early.symbols.index("FB")]).all()
    for name in ("RSI", "ADX", "CDLDOJI", "BBANDS"):
        whole, part = sample.view().ta(name), early.ta(name)
        if name == "BBANDS":
            whole, part = whole["upperband"], part["upperband"]
        np.testing.assert_array_equal(part, whole[:300])
        assert np.isnan(part[:, early.symbols.index("FB")]).all()
        assert part.dtype == np.float64


@pytest.mark.parametrize(
    ("name", "parameters", "sentence"),
    [
        ("STOCHASTIC", {}, "TA-Lib has no function 'STOCHASTIC'; the nearest: STOCHRSI, STOCH, STOCHF"),
        ("RSI", {"timeperoid": 5}, "RSI has no parameter 'timeperoid'; the nearest: timeperiod."),
        ("OBV", {"x": 5}, "OBV has no parameter 'x'; it has none."),
        ("RSI", {"timeperiod": -1}, "`data.ta('RSI', timeperiod=-1)`: TA-Lib refuses these parameters: "),
        ("RSI", {"timeperiod": [5]}, "arguments must be hashable"),
    ],
)
def test_ta_refuses_with_a_sentence(sample, name, parameters, sentence):
    with pytest.raises(InputError, match=re.escape(sentence)):
        sample.view(50).ta(name, **parameters)


def test_ta_says_which_field_it_lacks():
    with pytest.raises(MissingFieldError, match="no field 'high'; its fields are close"):
        rbt.load_bundle("fx").view(50).ta("ATR")


def test_ta_says_how_to_install_ta_lib():
    code = """
import sys
sys.modules["talib"] = None  # Python's mark of a module that cannot be imported
import rbt_ray as rbt
try:
    rbt.load_bundle("sample").view().ta("RSI")
except rbt.errors.InputError as error:
    print(error)
""".replace("rbt.errors", "__import__('rbt_ray.errors').errors")
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said == "`data.ta('RSI')` needs TA-Lib, which is not installed: pip install 'rbt-ray[ta]'.\n"

"""Numbers of every numpy type as arguments: a real number is taken for what it is, anything else is refused in a sentence."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import rbt_ray as rbt
from rbt_ray.errors import RbtError

CODES = "?bBhHiIlLqQefdgFDGSUVMm"
DAYS = np.datetime64("2020-01-01", "ns") + np.arange(60) * np.timedelta64(1, "D")
BUNDLE = rbt.Bundle.from_arrays({"close": np.linspace([1.0], [2.0], 60)}, DAYS, ["A"])
WEIGHTS = np.zeros(BUNDLE.close.shape)


def value_of(code):
    special = {"M": np.datetime64("2020-01-01", "ns"), "m": np.timedelta64(4, "s"), "V": np.void(b"ab")}
    return special[code] if code in special else np.array(["4" if code in "SU" else 4]).astype(code)[0]


REALS = {
    "costs": lambda x: rbt.Costs(turnover_bps=x).turnover_bps,
    "initial cash": lambda x: rbt.backtest(BUNDLE, WEIGHTS, initial_cash=x) and 4.0,
    "periods_per_year": lambda x: (
        rbt.Bundle.from_arrays({"close": [[1.0]]}, ["2020-01-01"], ["A"], periods_per_year=x).periods_per_year
    ),
    "lower of uniform": lambda x: rbt.uniform(x, 100).lower,
    "upper of uniform": lambda x: rbt.uniform(-100, x).upper,
    "lower of loguniform": lambda x: rbt.loguniform(x, 100).lower,
    "q of quniform": lambda x: rbt.quniform(0, 40, x) and 4.0,
    "mean of normal": lambda x: rbt.normal(x, 1.0).mean,
}
INTEGERS = {
    "bars of a view": lambda x: BUNDLE.view(x).n_bars,
    "window": lambda x: np.isnan(BUNDLE.view(10).sma("close", x)[:, 0]).sum() + 1,
    "window of a built-in": lambda x: rbt.objectives.sma_cross()({"fast": x, "slow": 50}, BUNDLE.view()) and 4,
    "lower of randint": lambda x: rbt.randint(x, 100) and 4,
    "q of qrandint": lambda x: rbt.qrandint(0, 40, x) and 4,
}


@pytest.mark.parametrize("place", [*REALS, *INTEGERS])
def test_a_number_of_any_numpy_type(place):
    kinds = "iu" if place in INTEGERS and place != "window of a built-in" else "iuf"
    take = (REALS | INTEGERS)[place]
    for code in CODES:
        value = value_of(code)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            if value.dtype.kind in kinds:
                assert take(value) == 4, code
            else:
                with pytest.raises(RbtError) as refused:
                    take(value)
                assert "\n" not in str(refused.value)

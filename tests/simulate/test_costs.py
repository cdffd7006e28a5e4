"""Costs: valid arguments, and messages for others."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest

from rbt_ray import Costs
from rbt_ray.errors import SettingError


def test_rates_by_symbol():
    symbols = ("A", "B")
    assert Costs(turnover_bps=5).turnover_rates(symbols).tolist() == [0.0005, 0.0005]
    assert Costs(turnover_bps=[5, 10]).turnover_rates(symbols).tolist() == [0.0005, 0.001]
    assert Costs(turnover_bps=np.array([5, 10])).turnover_rates(symbols).tolist() == [0.0005, 0.001]
    assert Costs(turnover_bps={"B": 10, "A": 5}).turnover_rates(symbols).tolist() == [0.0005, 0.001]


def test_equal_and_picklable():
    costs = Costs(turnover_bps=(5, 10), slippage_bps=1)
    assert pickle.loads(pickle.dumps(costs)) == costs == Costs(turnover_bps=[5.0, 10.0], slippage_bps=1.0)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"turnover_bps": -1}, r"`turnover_bps` is a cost in basis points .* got -1\."),
        ({"turnover_bps": "5"}, r"`turnover_bps` .* got '5'\."),
        ({"turnover_bps": None}, r"`turnover_bps` .* got None\."),
        ({"turnover_bps": True}, r"`turnover_bps` .* got True\."),
        ({"turnover_bps": 10_000}, r"below 10000, which would be everything; got 10000\."),
        ({"turnover_bps": [5, math.nan]}, r"`turnover_bps\[1\]` .* got nan\."),
        ({"turnover_bps": {"A": -2}}, r"`turnover_bps\['A'\]` .* got -2\."),
        ({"slippage_bps": math.inf}, r"`slippage_bps` .* got inf\."),
        ({"borrow_bps": -50}, r"`borrow_bps` .* at least 0; got -50\."),
        ({"margin_bps": math.nan}, r"`margin_bps` .* got nan\."),
    ],
)
def test_refused(arguments, sentence):
    with pytest.raises(SettingError, match=sentence):
        Costs(**arguments)


def test_other_symbols_than_the_bundle():
    with pytest.raises(SettingError, match=r"\(A, B\); it lacks 'B'; the bundle lacks 'C'\."):
        Costs(turnover_bps={"A": 1, "C": 2}).turnover_rates(("A", "B"))
    with pytest.raises(SettingError, match=r"each of the bundle's 2 symbols \(A, B\); got 3\."):
        Costs(turnover_bps=[1, 2, 3]).turnover_rates(("A", "B"))

"""What every adapter of another backtester promises: repeatable runs, no look-ahead, early refusals, an identity."""

import re
from pathlib import Path

import cloudpickle
import numpy as np
import pytest
from backtesting import Strategy

import rbt_ray as rbt
from rbt_ray.adapters import backtesting, pandas
from rbt_ray.adapters import bt as bt_adapter
from rbt_ray.errors import ObjectiveError
from rbt_ray.objectives.address import address_of

PAGE = Path(__file__).parents[2] / "docs" / "extending" / "adapter.md"


class Rising(Strategy):
    """Also writes to the prices it is given."""

    window = 20

    def init(self):
        self.data.df["seen"] = 1.0

    def next(self):
        if len(self.data) > self.window and self.data.Close[-1] > self.data.Close[-self.window]:
            if not self.position:
                self.buy(size=0.5)
        else:
            self.position.close()


def rising(close, window):
    assert "seen" not in close
    close["seen"] = 1.0
    return (close["IBM"] > close["IBM"].shift(window)).astype(float).to_frame("IBM")


def rising_algos(close, window):
    import bt  # takes seconds

    weights = rising(close, window)
    return bt.Strategy("rising", [bt.algos.WeighTarget(weights), bt.algos.Rebalance()])


def of_the_page(**settings):
    adapter = {}
    exec(re.search(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)[1], adapter)
    return adapter["objective"](lambda close, window: (close > close.shift(window)) * 1, symbol="IBM", **settings)


ADAPTERS = {
    "backtesting": (lambda **settings: backtesting.objective(Rising, symbol="IBM", **settings), {"cash": 50_000}),
    "bt": (lambda **settings: bt_adapter.objective(rising_algos, **settings), {"initial_capital": 50_000.0}),
    "pandas": (lambda **settings: pandas.objective(rising, gives="weights", **settings), {"execution": "close"}),
    "the documentation's": (of_the_page, {"cash": 50_000.0}),
}
"""How to make each adapter's objective of one param, `window`; and a setting with another value than its default."""


@pytest.fixture(params=ADAPTERS)
def make(request):
    return ADAPTERS[request.param][0]


@pytest.fixture(scope="module")
def sample():
    return rbt.load_bundle("sample")


def test_a_config_gives_the_same_run_after_any_other_run(make, sample):
    objective, view = make(), sample.view(600)
    first = objective({"window": 10}, view).metrics()
    assert objective({"window": 60}, view).metrics() != first
    assert objective({"window": 10}, view).metrics() == make()({"window": 10}, view).metrics() == first


def test_fewer_bars_give_the_first_of_the_returns(make, sample):
    part, whole = (make()({"window": 20}, sample.view(n_bars)).returns for n_bars in (400, 900))
    assert np.count_nonzero(part) > 50
    np.testing.assert_allclose(part, whole[:400], rtol=0, atol=1e-12)


def test_the_objective_pickles(make, sample):
    objective = make()
    there = cloudpickle.loads(cloudpickle.dumps(objective))
    assert there({"window": 20}, sample.view(500)).metrics() == objective({"window": 20}, sample.view(500)).metrics()


@pytest.mark.parametrize("name", ADAPTERS)
def test_another_setting_is_another_objective(name):
    make, changed = ADAPTERS[name]
    assert address_of(make()).fingerprint == address_of(make()).fingerprint != address_of(make(**changed)).fingerprint


def test_what_would_fail_every_trial_is_refused_before_the_first(make, sample):
    objective = make()
    objective.check({"window"}, sample)
    with pytest.raises(ObjectiveError, match="windoww"):
        objective.check({"window", "windoww"}, sample)
    with pytest.raises(ObjectiveError, match="`bundle` is missing"):
        objective.check({"window"}, None)

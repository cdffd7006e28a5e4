"""Costs of adapters: those that are settings are multiplied, others are refused."""

import numpy as np
import pandas as pd
import pytest
from backtesting import Strategy

import rbt_ray as rbt
from rbt_ray.adapters import backtesting, pandas
from rbt_ray.data.file_tree import FileTree
from rbt_ray.errors import SettingError

RNG = np.random.default_rng(2)
CLOSE = 50 * np.exp(np.cumsum(RNG.normal(0, 0.01, (150, 1)), axis=0))
BUNDLE = rbt.Bundle.from_arrays({"close": CLOSE}, pd.bdate_range("2020-01-01", periods=150), ["A"])


class Momentum(Strategy):
    lag = 3

    def init(self):
        pass

    def next(self):
        if len(self.data) > self.lag:
            if self.data.Close[-1] > self.data.Close[-self.lag]:
                self.buy() if not self.position else None
            else:
                self.position.close()


def fee(size, price):
    return 0.001 * abs(size) * price


def double_fee(size, price):
    return 0.002 * abs(size) * price


def fit(folder, objective, bundle=BUNDLE):
    return rbt.Tuner(
        objective,
        param_space={"lag": rbt.grid_search([2, 3])},
        bundle=bundle,
        tune_config=rbt.TuneConfig(metric="total_return", seed=1),
        run_config=rbt.RunConfig(name="s", storage_path=folder, verbose=0, num_workers=1, backend="local"),
    ).fit()


@pytest.mark.parametrize(
    ("commission", "double"),
    [(0.001, 0.002), ((0.5, 0.001), (1.0, 0.002)), (fee, double_fee)],
    ids=["share", "pair", "fee"],
)
def test_spread_and_commission_of_backtesting_are_multiplied(tmp_path, commission, double):
    results = fit(tmp_path, backtesting.objective(Momentum, commission=commission, spread=0.0005))
    found = results.robustness(["costs"]).costs
    config = results.get_best_result().config
    expected = backtesting.objective(Momentum, commission=double, spread=0.001)(config, BUNDLE.view())
    assert found.values[0] == pytest.approx(expected.metrics()["total_return"], rel=1e-12)
    assert found.values[0] < found.best


def weights(close, lag):
    return (close > close.shift(lag)).astype(float)


def test_costs_of_a_function_of_frames_are_those_of_rbt_backtest(tmp_path):
    results = fit(tmp_path, pandas.objective(weights, gives="weights", costs=rbt.Costs(turnover_bps=5)))
    found = results.robustness(["costs"]).costs
    double = pandas.objective(weights, gives="weights", costs=rbt.Costs(turnover_bps=10))
    assert found.values[0] == double(results.get_best_result().config, BUNDLE.view()).metrics()["total_return"]


class OwnPrices:
    """An objective that brings its own data, as algorithms of RustyBT and zipline do."""

    def __init__(self, folder):
        self.files = FileTree.of(folder)

    @property
    def bundle(self):
        return BUNDLE

    def open(self, folder):
        self.close = np.load(folder / "close.npy")

    def __call__(self, params, data=None):
        index = (BUNDLE if data is None else data).index
        first = int(np.searchsorted(BUNDLE.index, index[0]))
        part = self.close[first : first + len(index), 0]
        return {"total_return": float(part[-1] / part[params["lag"]] - 1)}


def test_an_objective_with_its_own_prices_starts_later_and_refuses_noise_and_costs(tmp_path):
    (tmp_path / "files").mkdir()
    np.save(tmp_path / "files" / "close.npy", CLOSE)
    results = fit(tmp_path, OwnPrices(tmp_path / "files"), None)
    lag = results.get_best_result().config["lag"]
    found = results.robustness(n=5)
    assert set(found.left_out) == {"noise", "costs", "monte_carlo"}
    np.testing.assert_allclose(found.start.values, CLOSE[-1, 0] / CLOSE[found.start.bars + lag, 0] - 1)
    with pytest.raises(SettingError, match="prices of its own"):
        results.robustness(["noise"])
    with pytest.raises(SettingError, match="has its costs elsewhere"):
        results.robustness(["costs"])

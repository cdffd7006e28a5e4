"""Optimizes a strategy of backtesting.py on persistent workers.

pip install 'rbt-ray[backtesting]'
python from_backtesting.py
"""

import pandas as pd
from backtesting import Strategy
from backtesting.lib import crossover

import rbt_ray as rbt
from rbt_ray.adapters import backtesting


def sma(values, n):
    return pd.Series(values).rolling(n).mean()


class SmaCross(Strategy):  # unchanged
    fast = 10
    slow = 50

    def init(self):
        self.fast_line = self.I(sma, self.data.Close, self.fast)
        self.slow_line = self.I(sma, self.data.Close, self.slow)

    def next(self):
        if crossover(self.fast_line, self.slow_line):
            self.buy()
        elif crossover(self.slow_line, self.fast_line):
            self.sell()


objective = backtesting.objective(
    SmaCross, symbol="IBM", cash=10_000, commission=0.001, exclusive_orders=True, finalize_trades=True
)
results = rbt.Tuner(
    objective,
    param_space={
        "fast": rbt.grid_search([5, 10, 15, 20, 30]),
        "slow": rbt.grid_search([40, 60, 90, 120, 160, 200]),
    },
    bundle="sample",
    tune_config=rbt.TuneConfig(metric="sqn", mode="max", holdout="2010-01-01"),
    run_config=rbt.RunConfig(name="from_backtesting", storage_path="studies"),
).fit()
best = results.get_best_result()
print(best.config, f"SQN {best.metrics['sqn']:.2f}, equity {best.metrics['equity_final']:,.2f}")

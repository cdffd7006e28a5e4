"""Optimizes a function that returns a bt.Strategy, on persistent workers.

pip install 'rbt-ray[bt]'
python from_bt.py
"""

import bt
import pandas as pd

import rbt_ray as rbt
from rbt_ray.adapters import bt as adapter


def momentum(months, n):
    """Holds, each month, the n symbols that rose most over some months, in equal parts."""
    return bt.Strategy(
        "momentum",
        [
            bt.algos.RunMonthly(),
            bt.algos.SelectAll(),
            bt.algos.SelectMomentum(n, lookback=pd.DateOffset(months=months)),
            bt.algos.WeighEqually(),
            bt.algos.Rebalance(),
        ],
    )


def commission(quantity, price):
    return max(1.0, 0.001 * abs(quantity) * price)


results = rbt.Tuner(
    adapter.objective(momentum, initial_capital=100_000, commissions=commission),
    param_space={
        "months": rbt.grid_search([1, 2, 3, 4, 6, 8, 10, 12]),
        "n": rbt.grid_search([1, 2, 3]),
    },
    bundle="sample",
    tune_config=rbt.TuneConfig(metric="sharpe", mode="max", holdout="2004-01-01"),
    run_config=rbt.RunConfig(name="from_bt", storage_path="studies", recheck=1),
).fit()
best = results.get_best_result()
print(best.config, f"Sharpe {best.metrics['sharpe']:.2f}, value {best.metrics['final_value']:,.2f}")

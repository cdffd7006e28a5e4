"""Optimizes pandas functions on persistent workers: one gives returns, the other positions.

pip install rbt-ray
python from_pandas.py
"""

import rbt_ray as rbt
from rbt_ray.adapters import pandas


def trend(df, window, band):
    """Long while the close is above its average by a band, from the next day; each trade costs 5 basis points."""
    close = df["close"]
    held = (close > close.rolling(window).mean() * (1 + band)).astype(float).shift(1)
    returns = held * close.pct_change() - 0.0005 * held.diff().abs()
    return returns.dropna()


def crossover(close, fast, slow):
    """Long while the fast average is above the slow one, for each symbol; rbt.backtest handles fills and costs."""
    return (close.rolling(fast).mean() > close.rolling(slow).mean()).astype(int)


def sweep(objective, space, name):
    return rbt.Tuner(
        objective,
        param_space=space,
        bundle="sample",
        tune_config=rbt.TuneConfig(metric="sharpe", mode="max"),
        run_config=rbt.RunConfig(name=name, storage_path="studies"),
    ).fit()


by_returns = sweep(
    pandas.objective(trend, gives="returns", symbol="IBM"),
    {"window": rbt.grid_search([20, 40, 60, 90, 120, 200]), "band": rbt.grid_search([0.0, 0.01, 0.02, 0.05])},
    "from_pandas_returns",
)
by_positions = sweep(
    pandas.objective(crossover, gives="positions", costs=rbt.Costs(turnover_bps=5)),
    {"fast": rbt.grid_search([5, 10, 15, 20, 30]), "slow": rbt.grid_search([40, 60, 90, 120, 160, 200])},
    "from_pandas_positions",
)
for results in (by_returns, by_positions):
    best = results.get_best_result()
    print(best.config, f"Sharpe {best.metrics['sharpe']:.2f}, total return {best.metrics['total_return']:.1%}")

"""Optimizes a function that returns a vectorbt Portfolio, on persistent workers.

pip install 'rbt-ray[vectorbt]'
python from_vectorbt.py
"""

import vectorbt as vbt

import rbt_ray as rbt
from rbt_ray.adapters import vectorbt


def crossover(close, open, fast, slow):
    """Long while the fast average is above the slow one, filled at the next open; params are numbers or arrays of them."""
    fast_line = vbt.MA.run(close, fast, short_name="fast")
    slow_line = vbt.MA.run(close, slow, short_name="slow")
    entries = fast_line.ma_crossed_above(slow_line).vbt.fshift(1)
    exits = fast_line.ma_crossed_below(slow_line).vbt.fshift(1)
    return vbt.Portfolio.from_signals(close, entries, exits, price=open, fees=0.001)


results = rbt.Tuner(
    vectorbt.objective(
        crossover, symbol="IBM"
    ),  # with batched=True, one portfolio has a column for each of many configs
    param_space={
        "fast": rbt.grid_search([5, 10, 15, 20, 30]),
        "slow": rbt.grid_search([40, 60, 90, 120, 160, 200]),
    },
    bundle="sample",
    tune_config=rbt.TuneConfig(metric="sharpe", mode="max"),
    run_config=rbt.RunConfig(name="from_vectorbt", storage_path="studies"),
).fit()
best = results.get_best_result()
print(best.config, f"Sharpe {best.metrics['sharpe']:.2f}, value {best.metrics['final_value']:,.2f}")

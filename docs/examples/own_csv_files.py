"""Makes a bundle of a folder of CSV files, one per symbol, and sweeps a strategy over it.

The files here are written from the embedded prices. Yours need a column with dates, and at least a column with closes.
"""

from pathlib import Path

import pandas as pd

import rbt_ray as rbt

folder = Path("prices")
folder.mkdir(exist_ok=True)
embedded = rbt.load_bundle("sample")
for column, symbol in enumerate(embedded.symbols):
    fields = {field: embedded[field][:, column] for field in ("open", "high", "low", "close", "volume")}
    pd.DataFrame(fields, index=pd.Index(embedded.index, name="date")).dropna().to_csv(folder / f"{symbol}.csv")

bundle = rbt.ingest("mine", folder)
print(bundle)

results = rbt.Tuner(
    rbt.objectives.rsi(),
    param_space={"window": rbt.randint(2, 30), "low": rbt.randint(10, 45), "high": rbt.randint(50, 90)},
    bundle="mine",
    tune_config=rbt.TuneConfig(metric="sharpe", num_samples=500, seed=1, holdout=0.25),
).fit()
best = results.get_best_result()
print(best.config, f"Sharpe {best.metrics['sharpe']:.2f}")
print(results.verdict())

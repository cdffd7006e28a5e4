"""Runs a zipline algorithm on an ingested bundle with warm workers; needs zipline-reloaded.

`initialize` takes its parameters as keywords; the bundle stays where `zipline ingest` put it. This example first ingests
one from the prices that come with rbt_ray.
"""

import os
import tempfile

import pandas as pd
from zipline.api import order_target_percent, symbol
from zipline.data import bundles

import rbt_ray as rbt
import rbt_ray.adapters.zipline


def initialize(context, fast, slow):
    context.asset = symbol("AAPL")
    context.fast, context.slow = fast, slow


def handle_data(context, data):
    prices = data.history(context.asset, "price", context.slow, "1d")
    order_target_percent(context.asset, float(prices.iloc[-context.fast :].mean() > prices.mean()))


def ingest(environ, assets, minutes, days, adjustments, *rest):
    """Writes the bundle; `zipline ingest` calls it."""
    prices = rbt.load_bundle("sample")
    column, sessions = prices.symbols.index("AAPL"), pd.DatetimeIndex(prices.index)
    fields = ("open", "high", "low", "close", "volume")
    days.write([(0, pd.DataFrame({name: prices[name][:, column] for name in fields}, index=sessions))])
    span = {"start_date": sessions[:1], "end_date": sessions[-1:]}
    assets.write(equities=pd.DataFrame({"symbol": ["AAPL"], **span, "exchange": "NYSE"}))
    adjustments.write()


if __name__ == "__main__":
    os.environ["ZIPLINE_ROOT"] = tempfile.mkdtemp()
    sessions = pd.DatetimeIndex(rbt.load_bundle("sample").index)
    bundles.register("apple", ingest, calendar_name="XNYS", start_session=sessions[0], end_session=sessions[-1])
    bundles.ingest("apple", show_progress=False)

    tuner = rbt.Tuner(
        rbt_ray.adapters.zipline.objective(
            initialize=initialize, handle_data=handle_data, bundle="apple", start="2002-01-02", end="2005-12-30"
        ),
        param_space={"fast": rbt.randint(3, 20), "slow": rbt.randint(25, 90)},
        # Trials at a low fidelity end earlier: an event loop's time is proportional to the number of sessions.
        tune_config=rbt.TuneConfig(
            metric="sharpe", num_samples=9, search_alg="random", scheduler="hyperband", min_fidelity=1 / 3, seed=7
        ),
        run_config=rbt.RunConfig(name="crossover", storage_path=tempfile.mkdtemp(), num_workers=2),
    )
    results = tuner.fit()
    best = results.get_best_result()
    print(best.config, best.metrics)
    assert results.num_errors == 0

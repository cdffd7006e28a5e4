"""Runs a RustyBT algorithm on an ingested bundle with warm workers; needs rustybt.

The class's `initialize` takes its parameters as keywords; the bundle stays where it was ingested. This example first
ingests one from the prices that come with rbt_ray.
"""

import os
import tempfile

import pandas as pd
from rustybt.algorithm import TradingAlgorithm
from rustybt.data import bundles

import rbt_ray as rbt
import rbt_ray.adapters.rustybt


class Crossover(TradingAlgorithm):
    def initialize(self, fast, slow):
        self.asset = self.symbol("AAPL")
        self.fast, self.slow = fast, slow

    def handle_data(self, data):
        prices = data.history(self.asset, "price", self.slow, "1d")
        self.order_target_percent(self.asset, float(prices.iloc[-self.fast :].mean() > prices.mean()))


def ingest(environ, assets, minutes, days, adjustments, *rest):
    """Writes the bundle; RustyBT calls it to ingest."""
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
        rbt_ray.adapters.rustybt.objective(Crossover, bundle="apple", start="2002-01-02", end="2003-12-31"),
        param_space={"fast": rbt.randint(3, 20), "slow": rbt.randint(25, 90)},
        tune_config=rbt.TuneConfig(metric="sharpe", num_samples=8, search_alg="random", holdout=0.25, seed=7),
        run_config=rbt.RunConfig(name="crossover", storage_path=tempfile.mkdtemp(), num_workers=2),
    )
    results = tuner.fit()
    best = results.get_best_result()
    print(best.config, best.metrics)
    assert results.num_errors == 0

"""Trades daily dips in the direction of the weekly trend; a week is visible once it has closed."""

import numpy as np

import rbt_ray as rbt


def weekly_trend(params, data):
    """Long while the last closed week is above its average and the close is below its highest of some days."""
    week = data.resample("1W")
    rises = week.close > week.sma("close", params["weeks"])
    low = data.close < data.rolling_max("close", params["days"]) * (1 - params["below"])
    weights = np.where(np.isnan(data.close), 0.0, rises & low) / data.n_symbols
    return rbt.backtest(data, weights, costs=rbt.Costs(turnover_bps=5))


if __name__ == "__main__":
    results = rbt.Tuner(
        weekly_trend,
        param_space={"weeks": rbt.randint(5, 60), "days": rbt.randint(2, 20), "below": rbt.uniform(0.0, 0.1)},
        bundle="sample",
        tune_config=rbt.TuneConfig(metric="sharpe", num_samples=300, seed=1, holdout=0.25),
    ).fit()
    print(rbt.check_lookahead(weekly_trend, "sample", results.get_best_result().config))
    print(results.verdict())

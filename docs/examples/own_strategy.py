"""Optimizes a strategy of your own: target weights on each bar, with costs, constraints and a hold-out."""

import numpy as np

import rbt_ray as rbt


def dip_in_a_trend(params, data):
    """Buys what fell for some days while its long average rises; sizes each symbol by its volatility."""
    trend = data.sma("close", params["trend"])
    rises = trend > np.vstack([trend[:1], trend[:-1]])
    fell = data.close < data.sma("close", params["dip"])
    moves = data.rolling_std("close", 60) / data.close
    size = np.minimum(params["risk"] / moves, 1.0) / data.n_symbols
    weights = np.where(rises & fell, size, 0.0)
    return rbt.backtest(data, np.nan_to_num(weights), costs=rbt.Costs(turnover_bps=5))


if __name__ == "__main__":
    space = {"trend": rbt.randint(50, 250), "dip": rbt.randint(3, 20), "risk": rbt.loguniform(0.01, 0.1)}
    print(rbt.check_lookahead(dip_in_a_trend, "sample", {"trend": 100, "dip": 5, "risk": 0.05}))
    results = rbt.Tuner(
        dip_in_a_trend,
        param_space=space,
        bundle="sample",
        tune_config=rbt.TuneConfig(
            metric="sharpe",
            num_samples=300,
            seed=1,
            holdout=0.25,
            constraints=["max_drawdown > -0.4", "n_trades >= 50"],
        ),
    ).fit()
    best = results.get_best_result()
    print(best.config, f"Sharpe {best.metrics['sharpe']:.2f}, drawdown {best.metrics['max_drawdown']:.1%}")
    print(results.verdict())

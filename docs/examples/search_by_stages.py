"""Searches with BOHB: most configurations first run on a part of the bars, if that ranks them as all bars do."""

import rbt_ray as rbt


def calm_trend(params, data):
    """Holds the symbols above their average of some months, unless their volatility is high."""
    rises = data.close > data.sma("close", params["months"] * 21)
    calm = data.rolling_std("close", params["window"]) / data.close < params["most"]
    return rbt.backtest(data, (rises & calm) / data.n_symbols, costs=rbt.Costs(turnover_bps=10))


if __name__ == "__main__":
    results = rbt.Tuner(
        calm_trend,
        param_space={"months": rbt.randint(1, 13), "window": rbt.randint(10, 120), "most": rbt.loguniform(0.02, 0.3)},
        bundle="sample",
        tune_config=rbt.TuneConfig(metric="sharpe", search_alg="bohb", max_cost=100, seed=1),
    ).fit()
    print(f"{len(results)} trials at the cost of {results.cost:.0f} full ones: {results.get_best_result().config}")
    for rung in results.rungs:
        print(f"{rung.n_trials} trials on {rung.fidelity:.0%} of the bars")

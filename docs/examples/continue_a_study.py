"""Runs a search in parts of two seconds, as if somebody stopped it again and again. Run the script twice: then it only reads."""

import rbt_ray as rbt


def reversion(params, data):
    """Long below a band under the average."""
    average, width = data.sma("close", params["window"]), data.rolling_std("close", params["window"])
    return rbt.backtest(data, (data.close < average - params["width"] * width) / data.n_symbols)


def tuner():
    return rbt.Tuner(
        reversion,
        param_space={"window": rbt.randint(5, 120), "width": rbt.uniform(0.0, 3.0)},
        bundle="sample",
        tune_config=rbt.TuneConfig(metric="sharpe", search_alg="random", num_samples=2_000, seed=7, time_budget_s=2),
        run_config=rbt.RunConfig(name="continued", storage_path="studies", exist="resume", verbose=0),
    )


if __name__ == "__main__":
    results = tuner().fit()
    while not results.is_done:
        print(f"{len(results)} trials so far")
        results = tuner().fit()
    best = results.get_best_result()
    print(f"{len(results)} trials in {len(results.runs)} runs: {best.config}, Sharpe {best.metrics['sharpe']:.3f}")

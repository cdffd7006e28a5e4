"""Optimizes return and drawdown together: the Pareto front instead of one best configuration."""

import rbt_ray as rbt

if __name__ == "__main__":
    results = rbt.Tuner(
        rbt.objectives.momentum(),
        param_space={"lookback": rbt.randint(10, 250), "threshold": rbt.uniform(0.0, 0.3)},
        bundle="sample",
        tune_config=rbt.TuneConfig(metric=["cagr", "max_drawdown"], mode=["max", "max"], num_samples=300, seed=1),
    ).fit()
    for result in results.pareto_front():
        print(result.config, f"{result.metrics['cagr']:.1%} a year, drawdown {result.metrics['max_drawdown']:.1%}")

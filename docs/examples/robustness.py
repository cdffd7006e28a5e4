"""Tests the best configuration with noise in prices, higher costs and later starts, and prefers a plateau to a peak."""

import rbt_ray as rbt

if __name__ == "__main__":
    results = rbt.Tuner(
        rbt.objectives.breakout(),
        param_space={"entry": rbt.randint(10, 120), "exit": rbt.randint(5, 60)},
        bundle="sample",
        tune_config=rbt.TuneConfig(metric="sharpe", search_alg="random", num_samples=300, seed=1),
    ).fit()
    print(results.get_best_result().config)
    print(results.robustness(["plateau", "noise", "costs", "start"], n=20))
    print(results.get_best_result(select="robust").config)

"""Sweeps a built-in strategy over the embedded prices and says whether the best configuration is likely to be real."""

import rbt_ray as rbt

results = rbt.Tuner(
    rbt.objectives.sma_cross(), param_space={"fast": rbt.randint(5, 60), "slow": rbt.randint(60, 250)}, bundle="sample"
).fit()
print(results.get_best_result().config)
print(results.verdict())

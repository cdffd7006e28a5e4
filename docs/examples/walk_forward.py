"""Chooses parameters again on each window of history, and trades the window that follows."""

import rbt_ray as rbt

if __name__ == "__main__":
    results = rbt.Tuner(
        rbt.objectives.sma_cross(),
        param_space={"fast": rbt.randint(5, 60), "slow": rbt.randint(60, 250)},
        bundle="sample",
        tune_config=rbt.TuneConfig(
            metric="sharpe", search_alg="grid", validation=rbt.WalkForward(train="4y", test="1y")
        ),
    ).fit()
    found = results.walk_forward()
    print(found)
    print(found.get_dataframe()[["config/fast", "config/slow", "in_sample", "out_of_sample"]])

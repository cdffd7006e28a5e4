"""A Ray Tune script on rbt_ray: only its imports have changed.

Before: `from ray import tune` and `from ray.tune.schedulers import ASHAScheduler`.

Run it: `python docs/examples/from_ray_tune.py`. Interrupt it, even by `kill -9`, and run it again: it continues.
"""

import sys
from pathlib import Path

import numpy as np

import rbt_ray as rbt
from rbt_ray import tune
from rbt_ray.tune.schedulers import ASHAScheduler

YEAR = 252


def crossover(config, close):
    """Reports the annual Sharpe ratio so far after each year, so that ASHA can stop bad configs early."""
    fast, slow = (moving_average(close, config[name]) for name in ("fast", "slow"))
    held = (fast > slow * (1 + 1e-9))[:-1]  # decided on a bar's close, held over the next bar
    returns = (held * (close[1:] / close[:-1] - 1)).mean(axis=1)
    for end in range(YEAR, len(returns) + 1, YEAR):
        spread = returns[:end].std(ddof=1)
        tune.report({"sharpe": float(returns[:end].mean() / spread * YEAR**0.5) if spread else 0.0})


def moving_average(close, n):
    """Returns the average of the last `n` bars; NaN, which is never above anything, before bar `n`."""
    sums = np.cumsum(close, axis=0)
    average = np.full(close.shape, np.nan)
    average[n - 1 :] = np.concatenate([sums[n - 1 : n], sums[n:] - sums[:-n]]) / n
    return average


def main(storage):
    """Starts the study, or resumes it."""
    close = rbt.load_bundle("sample").view().close
    close = close[:, ~np.isnan(close).any(axis=0)]  # symbols that were listed all the time
    trainable = tune.with_parameters(crossover, close=close)  # all workers share one copy in memory
    path = Path(storage, "from_ray_tune")
    if tune.Tuner.can_restore(path):
        tuner = tune.Tuner.restore(path, trainable)
    else:
        tuner = tune.Tuner(
            trainable,
            param_space={
                "fast": tune.randint(5, 60),
                "ratio": tune.choice([2, 3, 4, 5]),
                "slow": tune.sample_from(lambda spec: spec.config.fast * spec.config.ratio),
            },
            tune_config=tune.TuneConfig(
                metric="sharpe",
                mode="max",
                num_samples=40,
                scheduler=ASHAScheduler(max_t=12, grace_period=3, reduction_factor=2),
                seed=7,
            ),
            run_config=tune.RunConfig(name="from_ray_tune", storage_path=storage),
        )
    results = tuner.fit()
    best = results.get_best_result()
    years = [result.metrics["training_iteration"] for result in results]
    print(f"{len(results)} configs, {sum(years)} of {12 * len(results)} years run")
    print(f"best {dict(best.config)}: sharpe {best.metrics['sharpe']:.3f}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "studies")

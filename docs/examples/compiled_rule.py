"""Sweeps a rule of one bar, compiled by numba, with a stop-loss that is swept as well."""

import rbt_ray as rbt


def step(bar, params):
    """Enters when the fast average crosses above the slow one, and leaves when it falls below."""
    if bar.fast > bar.slow * (1 + params.band):
        return 1.0 / bar.n_symbols
    if bar.fast < bar.slow:
        return 0.0
    return bar.target


objective = rbt.objectives.rule(
    step,
    params={"fast": 10, "slow": 50, "band": 0.01, "stop": 0.1},
    indicators={
        "fast": lambda data, p: data.sma("close", p["fast"]),
        "slow": lambda data, p: data.sma("close", p["slow"]),
    },
    costs=rbt.Costs(turnover_bps=5),
    stop_loss="stop",
)

if __name__ == "__main__":
    results = rbt.Tuner(
        objective,
        param_space={
            "fast": rbt.randint(3, 50),
            "slow": rbt.randint(50, 250),
            "band": rbt.quniform(0.0, 0.05, 0.005),
            "stop": rbt.quniform(0.02, 0.3, 0.01),
        },
        bundle="sample",
        tune_config=rbt.TuneConfig(metric="sharpe", num_samples=2_000, seed=1, holdout=0.25),
    ).fit()
    print(results.get_best_result().config)
    print(results.verdict())

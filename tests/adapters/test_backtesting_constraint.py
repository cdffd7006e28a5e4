"""`constraint` of backtesting.py's `optimize` cuts the same configs from a study."""

import numpy as np
import pandas as pd
import pytest
from backtesting import Backtest, Strategy

import rbt_ray as rbt
from rbt_ray.adapters import backtesting
from rbt_ray.objectives.address import address_of


class Buys(Strategy):
    fast = 2
    slow = 3

    def init(self):
        pass

    def next(self):
        if len(self.data) % self.slow == self.fast % self.slow:
            self.buy(size=0.1)
        elif self.position and len(self.data) % self.fast == 0:
            self.position.close()


def constraint(p):
    return p.fast + 1 < p.slow and p.slow % p.fast != 0


@pytest.mark.slow
def test_the_same_configs_as_optimize(tmp_path):
    close = 100 + np.cumsum(np.random.default_rng(1).normal(0, 1, 60))
    index = pd.date_range("2020-01-01", periods=60, freq="D")
    frame = pd.DataFrame(dict.fromkeys(("Open", "High", "Low", "Close"), close), index=index)
    ranges = {"fast": range(1, 6), "slow": range(1, 9)}
    _, heat = Backtest(frame, Buys, finalize_trades=True).optimize(
        **ranges, maximize="# Trades", constraint=constraint, return_heatmap=True, method="grid"
    )
    bundle = rbt.Bundle.from_frame(frame[["Close"]].rename(columns={"Close": "A"}))
    objective = backtesting.objective(Buys, finalize_trades=True, constraint=constraint)
    results = rbt.Tuner(
        objective,
        param_space={name: rbt.grid_search(list(values)) for name, values in ranges.items()},
        bundle=bundle,
        tune_config=rbt.TuneConfig(metric="n_trades", mode="max", constraints=["n_trades <= 10"]),
        run_config=rbt.RunConfig("study", tmp_path, backend="local", num_workers=1, verbose=0),
    ).fit()
    ours = {(result.config["fast"], result.config["slow"]): result.metrics["n_trades"] for result in results}
    assert ours == dict(heat.dropna())
    assert [one.text for one in results.study.space.constraints] == ["fast + 1 < slow", "slow % fast != 0"]
    assert results.get_best_result().metrics["n_trades"] == max(n for n in ours.values() if n <= 10)


def test_a_constraint_is_the_studys_and_not_part_of_the_objectives_identity():
    plain, constrained = backtesting.objective(Buys), backtesting.objective(Buys, constraint=constraint)
    assert address_of(plain).fingerprint == address_of(constrained).fingerprint

"""The demo's winner and top ten, hold-out included, equal a brute-force computation with pandas."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import rbt_ray as rbt

COST = 5 / 1e4


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    place = tmp_path_factory.mktemp("demo")
    done = subprocess.run(
        [sys.executable, "-m", "rbt_ray.cli", "demo", "--json"],
        cwd=place,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return place, json.loads(done.stdout)


def frames():
    bundle = rbt.load_bundle("sample")
    index = pd.DatetimeIndex(bundle.index)
    return tuple(pd.DataFrame(bundle[field], index, bundle.symbols) for field in ("open", "close"))


class Pandas:
    """The same strategy as a quant types it: rolling means, weights, shifts."""

    def __init__(self):
        self.open, self.close = frames()
        self.overnight = (self.open / self.close.shift(1) - 1).fillna(0.0)
        self.day = (self.close / self.open - 1).fillna(0.0)
        self.means = {}

    def mean(self, window):
        if window not in self.means:
            self.means[window] = self.close.rolling(window).mean()
        return self.means[window]

    def returns(self, fast, slow):
        weights = (self.mean(fast) > self.mean(slow) * (1 + 1e-9)) / self.close.shape[1]
        new = weights.shift(1).fillna(0.0)
        old = weights.shift(2).fillna(0.0)
        cost = COST * (new - old).abs().sum(axis=1)
        return (old * self.overnight).sum(axis=1) + (new * self.day).sum(axis=1) - cost


def test_the_top_ten_are_those_of_a_brute_force_in_pandas(demo):
    _, told = demo
    pandas = Pandas()
    train = int(0.75 * len(pandas.close))
    scores = {}
    for fast in range(5, 50):
        for slow in range(50, 300):
            returns = pandas.returns(fast, slow).to_numpy()
            scores[fast, slow] = sharpe_of(returns[:train]), sharpe_of(returns[train:])
    assert told["n_trials"] == len(scores) == 45 * 250
    best = sorted(scores, key=lambda pair: -scores[pair][0])[:10]
    assert [(row["config"]["fast"], row["config"]["slow"]) for row in told["top"]] == best
    for row, pair in zip(told["top"], best, strict=True):
        assert row["sweep"]["sharpe"] == pytest.approx(scores[pair][0], rel=1e-9)
        assert row["holdout"]["sharpe"] == pytest.approx(scores[pair][1], rel=1e-9)
    assert told["best"]["config"] == {"fast": best[0][0], "slow": best[0][1]}


def sharpe_of(returns):
    return returns.mean() / returns.std(ddof=1) * np.sqrt(252)


def test_the_other_figures_of_the_winner(demo):
    _, told = demo
    pandas = Pandas()
    config = told["best"]["config"]
    train = int(0.75 * len(pandas.close))
    returns = pandas.returns(config["fast"], config["slow"]).iloc[:train]
    equity = (1 + returns).cumprod()
    assert told["best"]["metrics"]["total_return"] == pytest.approx(equity.iloc[-1] - 1, rel=1e-9)
    drawdown = (equity / np.maximum(equity.cummax(), 1.0) - 1).min()
    assert abs(told["best"]["metrics"]["max_drawdown"]) == pytest.approx(-drawdown, rel=1e-9)


def test_json_has_the_promised_keys_and_the_report_is_there(demo):
    place, told = demo
    keys = {"best", "table_hash", "n_trials", "n_failed", "wall_s", "trials_per_s", "backend", "report"}
    assert keys <= told.keys()
    assert told["backend"] == "local"
    assert told["n_failed"] == 0
    assert (place / told["report"]).stat().st_size > 1e6
    assert Path(place / told["study"]).is_dir()


def test_order_level_figures_stand_beside_the_sweeps(demo):
    _, told = demo
    assert len(told["top"]) == 10
    for row in told["top"]:
        # Holdings that drift between orders and weights reset every bar are two strategies, but near ones.
        assert row["order_level"]["sharpe"] == pytest.approx(row["sweep"]["sharpe"], abs=0.15)
        assert row["order_level"]["sharpe"] != row["sweep"]["sharpe"]
        assert row["error"] is None

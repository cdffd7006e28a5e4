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


PAIRS = [(fast, slow) for fast in range(5, 50) for slow in range(50, 300)]


@pytest.fixture(scope="module")
def equities():
    """Returns ``(n_bars, n_pairs)`` of the same strategy with rolling means and a broker for all pairs at once.

    Orders are filled at the open after the close they were decided on, sells before buys, and buys in the order of the
    symbols with the cash there is.
    """
    opens, closes = frames()
    means = np.stack([closes.rolling(window).mean().to_numpy() for window in range(5, 300)], axis=2)
    n_symbols, priced = closes.shape[1], closes.notna().to_numpy()
    opens, closes = opens.fillna(1.0).to_numpy(), closes.fillna(1.0).to_numpy()
    cash = np.ones(len(PAIRS))
    units, held = np.zeros((n_symbols, len(PAIRS))), np.zeros((n_symbols, len(PAIRS)), bool)
    equity = np.ones((len(closes), len(PAIRS)))
    for bar in range(1, len(closes)):
        fast, slow = means[bar - 1, :, :45, None], means[bar - 1, :, None, 45:]
        wanted = (fast > slow * (1 + 1e-9)).reshape(n_symbols, -1) & (priced[bar - 1] & priced[bar])[:, None]
        value = cash + opens[bar] @ units
        sold, bought = held & ~wanted, wanted & ~held
        for symbol in np.flatnonzero(sold.any(axis=1)):
            cash += units[symbol] * sold[symbol] * opens[bar, symbol] * (1 - COST)
            units[symbol, sold[symbol]] = 0.0
        for symbol in np.flatnonzero(bought.any(axis=1)):
            money = np.minimum(value / n_symbols, cash / (1 + COST)) * bought[symbol]
            cash -= money * (1 + COST)
            units[symbol, bought[symbol]] = money[bought[symbol]] / opens[bar, symbol]
        held = wanted
        equity[bar] = cash + closes[bar] @ units
    return equity


def test_the_top_ten_are_those_of_a_brute_force_in_numpy(demo, equities):
    _, told = demo
    returns = np.diff(equities, axis=0, prepend=1.0) / np.vstack([np.ones(len(PAIRS)), equities[:-1]])
    train = int(0.75 * len(returns))
    seen, unseen = sharpe_of(returns[:train]), sharpe_of(returns[train:])
    assert told["n_trials"] == len(PAIRS) == 45 * 250
    best = np.argsort(-seen, kind="stable")[:10]
    assert [(row["config"]["fast"], row["config"]["slow"]) for row in told["top"]] == [PAIRS[place] for place in best]
    for row, place in zip(told["top"], best, strict=True):
        assert row["sweep"]["sharpe"] == pytest.approx(seen[place], rel=1e-9)
        assert row["holdout"]["sharpe"] == pytest.approx(unseen[place], rel=1e-9)
    assert told["best"]["config"] == dict(zip(("fast", "slow"), PAIRS[best[0]], strict=True))


def sharpe_of(returns):
    return returns.mean(axis=0) / returns.std(axis=0, ddof=1) * np.sqrt(252)


def test_the_other_figures_of_the_winner(demo, equities):
    _, told = demo
    config = told["best"]["config"]
    equity = equities[: int(0.75 * len(equities)), PAIRS.index((config["fast"], config["slow"]))]
    assert told["best"]["metrics"]["total_return"] == pytest.approx(equity[-1] - 1, rel=1e-9)
    drawdown = (equity / np.maximum(np.maximum.accumulate(equity), 1.0) - 1).min()
    assert abs(told["best"]["metrics"]["max_drawdown"]) == pytest.approx(-drawdown, rel=1e-9)


def test_json_has_the_promised_keys_and_the_report_is_there(demo):
    place, told = demo
    keys = {"best", "table_hash", "n_trials", "n_failed", "wall_s", "trials_per_s", "backend", "report"}
    assert keys <= told.keys()
    assert told["backend"] == "local"
    assert told["n_failed"] == 0
    assert (place / told["report"]).stat().st_size > 1e6
    assert Path(place / told["study"]).is_dir()


def test_the_sweep_is_at_order_level_already(demo):
    _, told = demo
    assert len(told["top"]) == 10
    for row in told["top"]:
        assert row["order_level"] is None
        assert row["holdout"] is not None
        assert row["error"] is None

"""Objectives in a module, as a standard pool requires."""

import os
import signal
import time
from decimal import Decimal

import numpy as np

import rbt_ray as rbt

PARENT = os.getpid()


def hill(params):
    """Best at x = 0.7 and n = 4."""
    return Decimal(str(-((params["x"] - 0.7) ** 2) - (params["n"] - 4) ** 2))


def steps(params):
    """Best at n = 4; whole numbers only."""
    return -((params["n"] - 4) ** 2)


def perilous(params):
    """Steps, with every way to go wrong."""
    match params["n"]:
        case 0:
            raise LookupError("no such thing")
        case 1:
            return float("nan")
        case 2:
            os.kill(os.getpid(), signal.SIGKILL)
        case 3:
            time.sleep(3600)
        case 5:
            raise SystemExit(3)
    return steps(params)


def crossover(params, data):
    """Of the README."""
    fast, slow = data.sma("close", params["fast"]), data.sma("close", params["slow"])
    return rbt.backtest(data, (fast > slow * (1 + 1e-9)) / data.n_symbols, costs=rbt.Costs(turnover_bps=5))


def who(params, data):
    """Which process evaluates, and on which prices."""
    return {"sharpe": float(params["fast"]), "pid": os.getpid(), "version": data.version, "n_bars": data.n_bars}


class Crossover:
    """An algorithm made with its params."""

    def __init__(self, fast, slow):
        self.params = {"fast": fast, "slow": slow}

    def run(self, data):
        return crossover(self.params, data)


class Called:
    """The same, called."""

    def __init__(self, fast, slow):
        self.params = {"fast": fast, "slow": slow}

    def __call__(self, data):
        return crossover(self.params, data)


def rusty_backtest(params):
    """As RustyBT's backtests answer."""
    return {"performance_metrics": {"sharpe_ratio": steps(params), "max_drawdown": 0.1 * params["n"], "trades": [1, 2]}}


def serial_best(bundle, space):
    """The README's loop by hand."""
    found = {}
    for fast in space["fast"]:
        for slow in space["slow"]:
            view = rbt.load_bundle(bundle).view()
            found[fast, slow] = crossover({"fast": fast, "slow": slow}, view).metrics()["sharpe"]
    best = max(found, key=found.get)
    assert np.isfinite(found[best])
    return {"fast": best[0], "slow": best[1]}, found[best]

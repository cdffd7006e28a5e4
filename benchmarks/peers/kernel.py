"""What the scripts of the kernel comparison share: prices, pairs of windows, and what is told of each run."""

import json

import numpy as np

import rbt_ray as rbt

FAST, SLOW = tuple(range(5, 25)), tuple(range(30, 130, 5))
PAIRS = [(fast, slow) for fast in FAST for slow in SLOW]
COST_BPS = 5
CASH = 100_000.0
MARGIN = 1e-9
"""rbt_ray's tie rule, taken over by all: above is above by a part in 1e9, whatever the order of summation."""


def fx():
    """8 symbols x 5,124 days of closes: the size of the evaluation that rbt_ray re-opens."""
    bundle = rbt.load_bundle("fx")
    return rbt.Bundle.from_arrays({"close": np.array(bundle.close[:5124, :8])}, bundle.index[:5124], bundle.symbols[:8])


def figures(equity):
    """Of ``(n_bars, n_configs)`` equity, 1 at the start: what two runs must agree in, ``(3, n_configs)``."""
    peak = np.maximum.accumulate(equity, axis=0)
    return np.array([equity[-1], equity.mean(axis=0), (equity / peak).min(axis=0)])


def tell(seconds, n, found=None):
    """Prints the line of JSON that the driver reads: seconds of each run, configs a run, and figures to compare."""
    print()
    print(
        json.dumps({"seconds_each": seconds, "n": n, "figures": None if found is None else np.asarray(found).tolist()})
    )

"""The work of the old evaluation: a moving-average crossover as a user writes it in numpy, one config at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rbt_ray.types import FloatArray

if TYPE_CHECKING:
    from rbt_ray.data.bundle import Bundle

N_BARS, N_SYMBOLS = 5_124, 8
_COST = 5e-4


def old_bundle() -> Bundle:
    """8 exchange rates x 5,124 days, 40,992 rows: the size of the old evaluation's prices."""
    from rbt_ray.data.bundle import Bundle
    from rbt_ray.data.registry import load_bundle

    fx = load_bundle("fx")
    return Bundle.from_arrays(
        {"close": np.array(fx.close[:N_BARS, :N_SYMBOLS])}, fx.index[:N_BARS], fx.symbols[:N_SYMBOLS]
    )


def crossover(close: FloatArray, fast: int, slow: int) -> dict[str, float]:
    """Equal weights where one moving average is above another, filled at the next close, 5 basis points a unit of turnover.

    Turnover is the change of targets, as in the old evaluation: undoing the drift between them is not charged.

    Args:
        close: ``(n_bars, n_symbols)``.
        fast: bars of the shorter average.
        slow: bars of the longer one.
    """
    sums = np.vstack([np.zeros((1, close.shape[1])), np.cumsum(close, axis=0)])
    above = np.zeros(close.shape, dtype=bool)
    above[slow - 1 :] = (sums[slow:] - sums[:-slow]) / slow * (1 + 1e-9) < ((sums[fast:] - sums[:-fast]) / fast)[
        slow - fast :
    ]
    held = np.zeros(close.shape)
    held[1:] = above[:-1] / close.shape[1]
    returns = np.zeros(len(close))
    returns[1:] = (held[:-1] * (close[1:] / close[:-1] - 1)).sum(axis=1) - _COST * np.abs(np.diff(held, axis=0)).sum(
        axis=1
    )
    spread = returns.std(ddof=1)
    return {
        "sharpe": float(returns.mean() / spread * np.sqrt(252)) if spread > 0 else float("nan"),
        "total_return": float(np.prod(1 + returns) - 1),
    }

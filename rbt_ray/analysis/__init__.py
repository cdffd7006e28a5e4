"""Statistics of overfitting: how far to trust the best of many trials."""

from rbt_ray.analysis.overfitting import Cscv, cscv, pbo
from rbt_ray.analysis.sharpe import (
    deflated_sharpe_ratio,
    expected_max_sharpe,
    min_backtest_length,
    probabilistic_sharpe_ratio,
)

__all__ = [
    "Cscv",
    "cscv",
    "deflated_sharpe_ratio",
    "expected_max_sharpe",
    "min_backtest_length",
    "pbo",
    "probabilistic_sharpe_ratio",
]

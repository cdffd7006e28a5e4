"""Statistics of overfitting: how far to trust the best of many trials."""

from rbt_ray.analysis.overfitting import Cscv, cscv, pbo
from rbt_ray.analysis.sharpe import (
    deflated_sharpe_ratio,
    expected_max_sharpe,
    haircut_sharpe_ratio,
    min_backtest_length,
    min_track_record_length,
    probabilistic_sharpe_ratio,
)
from rbt_ray.analysis.verdict import Check, Verdict
from rbt_ray.analysis.walk_forward import WalkForwardResult, Window

__all__ = [
    "Check",
    "Cscv",
    "Verdict",
    "WalkForwardResult",
    "Window",
    "cscv",
    "deflated_sharpe_ratio",
    "expected_max_sharpe",
    "haircut_sharpe_ratio",
    "min_backtest_length",
    "min_track_record_length",
    "pbo",
    "probabilistic_sharpe_ratio",
]

"""zipline (zipline-reloaded) algorithms as objectives."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

from rbt_ray.adapters.trading_algorithm import AlgorithmObjective, Engine, make

ENGINE = Engine("zipline", "zipline-reloaded")


def objective(
    algorithm: type | None = None,
    *,
    initialize: Callable[..., Any] | None = None,
    handle_data: Callable[..., Any] | None = None,
    before_trading_start: Callable[..., Any] | None = None,
    bundle: str | Path,
    start: str | date | None = None,
    end: str | date | None = None,
    capital_base: float = 1e7,
) -> AlgorithmObjective:
    """An objective for `rbt.Tuner`, without a `bundle` there, that runs an algorithm on daily bars once a config.

    A config reaches the algorithm as keywords of `initialize`: ``initialize(context, fast=10, slow=50)``, in a class
    ``initialize(self, fast, slow)``. Metrics are `total_return, sharpe, sortino, max_drawdown, volatility, cagr`, as the
    performance frame has them. A fidelity below 1 ends earlier; a hold-out begins where the training sessions end.

    Args:
        algorithm: a subclass of TradingAlgorithm, in place of functions.
        initialize: as `run_algorithm` takes it, but for the keywords.
        handle_data: as `run_algorithm` takes it.
        before_trading_start: as `run_algorithm` takes it.
        bundle: the name of an ingested bundle, whose newest ingestion is read, or the path of its folder.
        start: the first day; None, or a day before the bundle's first: that.
        end: the last day; None, or a day after the bundle's last: that.
        capital_base: the money to begin with.

    Raises:
        ObjectiveError: there is no algorithm, or two, or zipline is not installed.
        BundleNotFoundError: there is no such bundle.
        SettingError: a date, or `capital_base`, cannot be used.
    """
    functions = {
        "initialize": initialize,
        "handle_data": handle_data,
        "before_trading_start": before_trading_start,
    }
    return make(ENGINE, algorithm, functions, bundle, start, end, capital_base)

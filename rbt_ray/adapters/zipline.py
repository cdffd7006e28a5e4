"""Makes objectives of zipline (zipline-reloaded) algorithms: `objective` is `Backtester.objective`."""

from __future__ import annotations

from rbt_ray.adapters.trading_algorithm import Backtester

__all__ = ["Backtester", "objective"]

objective = Backtester("zipline", "zipline-reloaded").objective

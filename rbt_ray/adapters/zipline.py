"""zipline (zipline-reloaded) algorithms as objectives: `objective` is `Engine.objective`."""

from __future__ import annotations

from rbt_ray.adapters.trading_algorithm import Engine

objective = Engine("zipline", "zipline-reloaded").objective

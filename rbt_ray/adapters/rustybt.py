"""RustyBT algorithms as objectives: `objective` is `Backtester.objective`."""

from __future__ import annotations

import logging

from rbt_ray.adapters.trading_algorithm import Backtester


def _quiet() -> None:
    """Leaves out what RustyBT logs of every order, unless the user has decided what is logged."""
    import structlog

    if not structlog.is_configured():
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))


# Or each run would leave a folder of its results, and copies of the strategy, below the working directory.
_NO_ARTIFACTS = {"backtest_output_enabled": False, "code_capture_enabled": False}
objective = Backtester("rustybt", "rustybt", _NO_ARTIFACTS, _quiet).objective

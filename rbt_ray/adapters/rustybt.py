"""Makes objectives of RustyBT algorithms: `objective` is `Backtester.objective`."""

from __future__ import annotations

import logging

from rbt_ray.adapters.trading_algorithm import Backtester


def _quiet() -> None:
    """Hides the log message of RustyBT for each order, unless the user has configured logging."""
    import structlog

    if not structlog.is_configured():
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))


# Otherwise each run leaves a folder with its results and copies of the strategy in the working directory.
_NO_ARTIFACTS = {"backtest_output_enabled": False, "code_capture_enabled": False}
__all__ = ["Backtester", "objective"]

objective = Backtester("rustybt", "rustybt", _NO_ARTIFACTS, _quiet).objective

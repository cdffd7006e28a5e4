"""Calls a user's function for many arguments, in this process or on workers, and summarises what it returns."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

import numpy as np

from rbt_ray.compat.rustybt.worker_pool import PersistentWorkerPool
from rbt_ray.errors import SettingError
from rbt_ray.types import FloatArray, is_real

LEAST_SIMULATIONS = 100


def results_of(function: Callable[[Any], Any], arguments: Iterable[Any], n_jobs: int) -> list[Any]:
    """Returns the result for each argument, in order.

    Args:
        function: called once for each argument.
        arguments: may be pickled.
        n_jobs: number of workers; 1: this process; -1: one per core.

    Raises:
        SettingError: `n_jobs` is not a number of workers.
    """
    if isinstance(n_jobs, bool) or not isinstance(n_jobs, int) or (n_jobs < 1 and n_jobs != -1):
        raise SettingError(f"`n_jobs` must be a whole number of at least 1, or -1; got {n_jobs!r}.")
    if n_jobs == 1:
        return [function(argument) for argument in arguments]
    with PersistentWorkerPool(None if n_jobs == -1 else n_jobs) as pool:
        found: list[Any] = pool.map(function, arguments)
        return found


def check_simulations(n_simulations: Any, confidence_level: Any) -> None:
    """Refuses fewer than 100 simulations, and a level outside (0, 1).

    Raises:
        SettingError: one of these.
    """
    if isinstance(n_simulations, bool) or not isinstance(n_simulations, int) or n_simulations < LEAST_SIMULATIONS:
        raise SettingError(
            f"`n_simulations` must be a whole number of at least {LEAST_SIMULATIONS}; got {n_simulations!r}."
        )
    if not is_real(confidence_level) or not 0 < confidence_level < 1:
        raise SettingError(f"`confidence_level` must be between 0 and 1; got {confidence_level!r}.")


def interval_of(values: FloatArray, level: float) -> tuple[Decimal, Decimal]:
    """Returns the quantiles between which the middle `level` of the values lies."""
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return decimal(low), decimal(high)


def decimal(value: Any) -> Decimal:
    """Returns a number as a Decimal with the digits that Python shows."""
    return Decimal(str(float(value)))

"""The lowest fidelity at which a study's trials still say something."""

from __future__ import annotations

from typing import Any

import numpy as np

from rbt_ray.data.bundle import Bundle
from rbt_ray.data.portions import share_of
from rbt_ray.errors import SettingError
from rbt_ray.objectives.builtin.strategy import METRICS
from rbt_ray.study.space import Space
from rbt_ray.tune.config import TuneConfig

_LEAST_BARS = 252
"""A year of days: on fewer a Sharpe ratio is hardly more than noise."""


def lowest_fidelity(
    settings: TuneConfig, objective: Any, space: Space, bundle: Bundle | None, train_bars: int
) -> float:
    """`min_fidelity`, raised by factors of eta until it says something; 1 where there is nothing to take a share of.

    A share of reports or symbols has to be more than one eta times lower. A share of the bars has to hold 252 of them and
    twice the objective's `warmup`, if the metric is one of a Backtest's.

    Args:
        settings: the study's.
        objective: its `warmup`, where it has one, is a number of bars or a function from a config to one.
        space: whose lowest and highest configs a `warmup` function is asked about.
        bundle: the prices.
        train_bars: how many of their bars the search may see.

    Raises:
        SettingError: a scheduler was asked for, and there is no fidelity for it to choose.
    """
    if settings.fidelity != "reports" and bundle is None:
        if settings.scheduler is not None:
            raise SettingError(
                "`scheduler` chooses fidelities, and without a `bundle` there are none to choose from: let the objective "
                "call `rbt.report`, and set `fidelity='reports'` and `max_reports`."
            )
        return 1.0
    least_bars = max(_LEAST_BARS, 2 * _warmup(objective, space)) if settings.metric in METRICS else 1

    def says_something(fidelity: float) -> bool:
        if settings.max_reports is not None:
            return share_of(fidelity * settings.eta, settings.max_reports) > share_of(fidelity, settings.max_reports)
        assert bundle is not None
        if settings.fidelity == "symbols":
            return share_of(fidelity * settings.eta, bundle.n_symbols) > share_of(fidelity, bundle.n_symbols)
        return share_of(fidelity, train_bars) >= least_bars

    fidelity = settings.min_fidelity
    while fidelity < 1 and not says_something(fidelity):
        fidelity *= settings.eta
    return min(fidelity, 1.0)


def _warmup(objective: Any, space: Space) -> int:
    warmup = getattr(objective, "warmup", 0)
    if not callable(warmup):
        return int(warmup)
    corners = space.from_unit(np.array([[0.0], [np.nextafter(1.0, 0.0)]]) * np.ones(space.n_params))
    return max(int(warmup(config)) for config in space.decode(space.canonical(corners)))

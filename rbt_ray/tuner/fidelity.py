"""The lowest fidelity at which a study's trials still say something."""

from __future__ import annotations

from typing import Any

import numpy as np

from rbt_ray.data.bundle import Bundle
from rbt_ray.data.fidelity import N_BLOCKS, share_of
from rbt_ray.errors import SettingError
from rbt_ray.search.fidelity_ladder import Ladder, ladder_from
from rbt_ray.simulate.metrics import METRIC_NAMES
from rbt_ray.study.space import Space
from rbt_ray.tuner.config import TuneConfig

_TRIED = 256
_LEAST_BARS = 252
"""A year of days: on fewer a Sharpe ratio is hardly more than noise."""


def lowest_fidelity(
    settings: TuneConfig, objective: Any, space: Space, bundle: Bundle | None, train_bars: int
) -> float:
    """`min_fidelity`, raised by factors of eta until it says something; 1 where there is nothing to take a share of.

    Every rung has to see more than the one below. A share of the bars has to hold 252 of them and twice the objective's
    `warmup`, if the metric is one of a Backtest's.

    Args:
        settings: the study's.
        objective: its `warmup`, where it has one, is a number of bars or a function from a config to one.
        space: whose configs a `warmup` function is asked about.
        bundle: the prices.
        train_bars: how many of their bars the search may see.

    Raises:
        SettingError: a scheduler was asked for, and there is no fidelity for it to choose; or `warmup` fails.
    """
    if settings.fidelity != "reports" and bundle is None:
        if settings.scheduler is not None:
            raise SettingError(
                "`scheduler` chooses fidelities, and without a `bundle` there are none to choose from: let the objective "
                "call `rbt.report`, and set `fidelity='reports'` and `max_reports`."
            )
        return 1.0
    counts_bars = settings.fidelity in ("prefix", "blocks") and settings.metric in METRIC_NAMES
    least_bars = max(_LEAST_BARS, 2 * _warmup(objective, space)) if counts_bars else 1

    def size(fidelity: float) -> int:
        if settings.max_reports is not None:
            return share_of(fidelity, settings.max_reports)
        assert bundle is not None
        if settings.fidelity == "symbols":
            return share_of(fidelity, bundle.n_symbols)
        if settings.fidelity == "blocks":
            return N_BLOCKS * share_of(fidelity, max(train_bars // N_BLOCKS, 1))
        return share_of(fidelity, train_bars)

    def says_something(ladder: Ladder) -> bool:
        sizes = [size(fidelity) for fidelity in ladder]
        return len(sizes) == 1 or (len(set(sizes)) == len(sizes) and sizes[0] >= least_bars)

    ladder = ladder_from(settings.min_fidelity, settings.eta)
    while not says_something(ladder):
        ladder = ladder[1:]
    return ladder[0]


def _warmup(objective: Any, space: Space) -> int:
    """The longest, of the lowest and the highest config and some between."""
    warmup = getattr(objective, "warmup", 0)
    corners = np.array([[0.0], [np.nextafter(1.0, 0.0)]]) * np.ones(space.n_params)
    tried = np.concatenate([corners, np.random.default_rng(0).random((_TRIED, space.n_params))])
    try:
        if not callable(warmup):
            return int(warmup)
        points = space.canonical(space.from_unit(tried))
        return max(int(warmup(config)) for config in space.decode(points))
    except Exception as error:  # a user's own code
        raise SettingError(
            f"`warmup` of the objective is a number of bars, or a function from any config of the space to one; it gave "
            f"{type(error).__name__}: {error}."
        ) from error

"""The lowest fidelity at which a study's trials are still informative."""

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
_MIN_BARS = 252
"""One year of days: on fewer bars a Sharpe ratio is mostly noise."""


def lowest_fidelity(
    settings: TuneConfig, objective: Any, space: Space, bundle: Bundle | None, train_bars: int
) -> float:
    """Returns `min_fidelity`, raised by factors of eta until it is informative; 1 if fidelity has no meaning.

    Every rung must use more bars, symbols or reports than the one below. If the metric is one of a Backtest, a share of the
    bars must hold 252 of them and twice the objective's `warmup`.

    Args:
        settings: the study's settings.
        objective: may have a `warmup`: a number of bars, or a function from a config to one.
        space: the study's space; a `warmup` function is called with some of its configs.
        bundle: the prices.
        train_bars: the number of bars that the search may use.

    Raises:
        SettingError: there is a scheduler but no fidelity for it to choose; or `warmup` fails.
    """
    if settings.fidelity != "reports" and bundle is None:
        if settings.scheduler is not None:
            raise SettingError(
                "`scheduler` chooses fidelities, and there are none without a `bundle`: pass a bundle, or let the objective "
                "call `rbt.report` and set `fidelity='reports'` and `max_reports`."
            )
        return 1.0
    counts_bars = settings.fidelity in ("prefix", "blocks") and settings.metric in METRIC_NAMES
    min_bars = max(_MIN_BARS, 2 * _warmup(objective, space)) if counts_bars else 1

    def size(fidelity: float) -> int:
        if settings.max_reports is not None:
            return share_of(fidelity, settings.max_reports)
        assert bundle is not None
        if settings.fidelity == "symbols":
            return share_of(fidelity, bundle.n_symbols)
        if settings.fidelity == "blocks":
            return N_BLOCKS * share_of(fidelity, max(train_bars // N_BLOCKS, 1))
        return share_of(fidelity, train_bars)

    def is_informative(ladder: Ladder) -> bool:
        sizes = [size(fidelity) for fidelity in ladder]
        return len(sizes) == 1 or (len(set(sizes)) == len(sizes) and sizes[0] >= min_bars)

    ladder = ladder_from(settings.min_fidelity, settings.eta)
    while not is_informative(ladder):
        ladder = ladder[1:]
    return ladder[0]


def _warmup(objective: Any, space: Space) -> int:
    """Returns the longest warm-up, in bars, of the lowest config, the highest and some between."""
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
            f"the objective's `warmup` is a number of bars, or a function that returns one for every config of the space; it "
            f"raised {type(error).__name__}: {error}."
        ) from error

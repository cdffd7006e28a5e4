"""Which searches and schedulers can optimize several metrics."""

from __future__ import annotations

from typing import Any

from rbt_ray.errors import SettingError
from rbt_ray.plugins import is_from
from rbt_ray.search.bohb import BOHB
from rbt_ray.search.front_races import FrontScheduler
from rbt_ray.search.scheduler_registry import scheduler_from_json, scheduler_to_json
from rbt_ray.search.searcher import LearnsLosses, Searcher


def check_several_metrics(search_alg: Any, scheduler: Any) -> None:
    """Checks that a user's `search_alg` and `scheduler` can optimize several metrics.

    Raises:
        SettingError: one of them compares configs by one metric.
    """
    if isinstance(search_alg, BOHB) and search_alg.engine == "hpbandster":
        raise SettingError(
            "`metric` names several metrics, and engine='hpbandster' learns from one: use engine='native', or name one metric."
        )
    if is_from(search_alg, "ray.tune.search"):
        raise SettingError(
            "`metric` names several metrics, and a searcher of Ray Tune's gets one here: use search_alg='auto' or a sampler of "
            "Optuna's, or name one metric."
        )
    if isinstance(search_alg, Searcher):
        check_searcher(search_alg)
    if (made := scheduler_from_json(scheduler_to_json(scheduler))) is not None:
        FrontScheduler(made)  # refuses one that compares by one metric


def check_searcher(searcher: Any) -> None:
    """Raises a SettingError if a searcher learns from `Result.loss`, which is that of one metric."""
    if getattr(searcher, "learns", True) and not getattr(searcher, "takes_losses", False):
        raise SettingError(
            f"`metric` names several metrics, and {type(searcher).__name__} learns from one: let it read `Result.losses` and set "
            f"its attribute `takes_losses = True`, or name one metric."
        )


def check_sampler(sampler: Any) -> None:
    """Raises a SettingError if a sampler learns from one metric only."""
    if not isinstance(sampler, LearnsLosses):
        raise SettingError(
            f"`metric` names several metrics, and {type(sampler).__name__} learns from one, as it has no method `learn_losses`: "
            f"use search_alg='auto', 'random' or a sampler of Optuna's, or name one metric."
        )

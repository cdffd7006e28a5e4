"""The best configs looked at in detail: at order level where the search was not, and on the bars it never saw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rbt_ray import recordable
from rbt_ray.objectives.objective import describe, is_batched
from rbt_ray.objectives.own_data import OwnData
from rbt_ray.objectives.returned_metrics import metrics_of
from rbt_ray.recordable import require
from rbt_ray.types import Config, FloatArray, Metrics

if TYPE_CHECKING:
    from rbt_ray.data.bundle import Bundle
    from rbt_ray.simulate.backtest import Backtest


@dataclass(frozen=True, slots=True, eq=False)
class Review:
    """What a second look at a config found.

    Args:
        order_level: the training bars again with drifting holdings and exact orders; None without a Backtest, and where
            the search itself ran them so.
        holdout: the hold-out bars; None where there are none.
        holdout_order_level: the same at order level.
        equity: ``(n_bars,)`` over training and hold-out bars, starting capital 1; None without a Backtest.
        error: why there is no review.
    """

    order_level: Metrics | None = None
    holdout: Metrics | None = None
    holdout_order_level: Metrics | None = None
    equity: FloatArray | None = None
    error: str | None = None

    @property
    def says_something(self) -> bool:
        """Whether there is anything to show; not for an objective without a Backtest in a study without a hold-out."""
        return (self.order_level or self.holdout or self.error) is not None

    def recordable(self) -> Review:
        """Returns the review as a journal can hold it.

        Raises:
            ValueError: a part is of another type.
        """
        equity = self.equity
        if equity is not None:
            equity = recordable.array(equity, np.float64, np.shape(equity)[:1], "equity")
        return Review(
            order_level=_recordable(self.order_level),
            holdout=_recordable(self.holdout),
            holdout_order_level=_recordable(self.holdout_order_level),
            equity=equity,
            error=None if self.error is None else recordable.text(self.error)[: recordable.LONGEST_ERROR],
        )


def review(objective: Any, config: Config, metric: str, bundle: Bundle | None, train_bars: int, seed: int) -> Review:
    """Runs a config again in detail.

    A Backtest is run over all bars at once, and its hold-out figures are those of its returns after the training
    bars: indicators enter the hold-out warm and positions are carried over. Any other objective is run on the
    hold-out bars alone.
    """
    if bundle is None:
        return Review()
    try:
        if isinstance(objective, OwnData):  # a backtester's answer has no order level, and may have cost minutes
            return Review(holdout=_alone(objective, config, metric, bundle, train_bars, seed))
        answer = _answer(objective, config, bundle, train_bars, seed)
        if not hasattr(answer, "at_order_level"):
            return Review(holdout=_alone(objective, config, metric, bundle, train_bars, seed))
        again = answer.rebalance != "on_change"
        order_level = metrics_of(answer.at_order_level(), metric) if again else None
        if train_bars == bundle.n_bars:
            return Review(order_level=order_level, equity=_curve(answer))
        whole: Backtest = _answer(objective, config, bundle, bundle.n_bars, seed)
        return Review(
            order_level=order_level,
            holdout=metrics_of(whole.since(train_bars), metric),
            holdout_order_level=metrics_of(whole.at_order_level().since(train_bars), metric) if again else None,
            equity=_curve(whole),
        )
    except BaseException as error:  # a second look that fails takes nothing from the first
        return Review(error=describe(error))


def buy_and_hold(bundle: Bundle) -> FloatArray:
    """``(n_bars,)`` wealth of one who puts an equal share into each symbol when it is listed and keeps it.

    A share waits as cash until its symbol has a first close, and stays at the last close after a delisting.
    """
    close = np.array(bundle.close)
    for bar in range(1, len(close)):
        missing = np.isnan(close[bar])
        close[bar, missing] = close[bar - 1, missing]
    listed = np.argmax(~np.isnan(close), axis=0)
    first = close[listed, np.arange(close.shape[1])]
    wealth: FloatArray = np.where(np.isnan(close), 1.0, close / first).mean(axis=1)
    return wealth


def _recordable(metrics: Any) -> Metrics | None:
    require(metrics is None or type(metrics) is dict, "metrics", metrics)
    if metrics is None:
        return None
    names = [recordable.text(name) for name in metrics]
    return dict(zip(names, recordable.plain_values(list(metrics.values())), strict=True))


def _curve(answer: Any) -> FloatArray:
    return np.asarray(answer.equity, np.float64)


def _answer(objective: Any, config: Config, bundle: Bundle, n_bars: int, seed: int) -> Any:
    data = bundle.view(n_bars).for_trial(seed)
    return objective([config], data)[0] if is_batched(objective) else objective(config, data)


def _alone(objective: Any, config: Config, metric: str, bundle: Bundle, train_bars: int, seed: int) -> Metrics | None:
    if train_bars == bundle.n_bars:
        return None
    rest = _since(bundle, train_bars)
    return metrics_of(_answer(objective, config, rest, rest.n_bars, seed), metric)


def _since(bundle: Bundle, start: int) -> Bundle:
    """The bars from `start`, with all symbols: a share of `1 / n_symbols` must not change, whoever is listed."""
    fields = {field: bundle[field][start:] for field in bundle.fields}
    return type(bundle).from_arrays(
        fields,
        bundle.index[start:],
        bundle.symbols,
        tz=bundle.tz,
        periods_per_year=bundle.periods_per_year,
        listed_until=bundle.listed_until,
    )

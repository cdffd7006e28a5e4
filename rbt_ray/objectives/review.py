"""Reviews a config: a run at order level if the search was not, and on the hold-out bars."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from rbt_ray import recordable
from rbt_ray.objectives.kind import kind_of
from rbt_ray.objectives.objective import describe
from rbt_ray.objectives.reports import ReportLimitReached, Reports
from rbt_ray.objectives.returned_metrics import metrics_of
from rbt_ray.recordable import require
from rbt_ray.types import Config, FloatArray, Metrics

if TYPE_CHECKING:
    from rbt_ray.data.bundle import Bundle
    from rbt_ray.simulate.backtest import Backtest

_LONGEST_BRIEF = 300


@dataclass(frozen=True, slots=True, eq=False)
class Review:
    """The results of a review.

    Args:
        order_level: metrics of the training bars with drifting holdings and exact orders; None without a Backtest, or if
            the search already ran at order level.
        holdout: metrics of the hold-out bars; None if there are none.
        holdout_order_level: metrics of the hold-out bars at order level.
        equity: ``(n_bars,)`` over training and hold-out bars, starting capital 1; None without a Backtest.
        error: why the review failed.
        note: a sentence on the hold-out, if the objective raised there or stopped early.
    """

    order_level: Metrics | None = None
    holdout: Metrics | None = None
    holdout_order_level: Metrics | None = None
    equity: FloatArray | None = None
    error: str | None = None
    note: str | None = None

    @property
    def has_findings(self) -> bool:
        """Whether there is anything to show."""
        return (self.order_level or self.holdout or self.error or self.note) is not None

    def recordable(self) -> Review:
        """Returns the review with the types that a journal can hold.

        Raises:
            ValueError: a part has another type.
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
            note=None if self.note is None else recordable.text(self.note)[: recordable.LONGEST_ERROR],
        )


def review(
    objective: Any,
    config: Config,
    metric: str,
    bundle: Bundle | None,
    train_bars: int,
    seed: int,
    max_reports: int | None = None,
) -> Review:
    """Runs a config again at order level and on the hold-out bars.

    An objective that returns a Backtest runs over all bars at once. Its hold-out metrics are those of the returns after the
    training bars, so that indicators are warm and positions carried over. Any other objective runs on the hold-out bars
    alone.

    Args:
        objective: the objective of the study.
        config: one that completed at full fidelity.
        metric: the metric of the study.
        bundle: training and hold-out bars.
        train_bars: number of training bars.
        seed: the seed of the trial.
        max_reports: number of reports at full fidelity; None: the objective ends by itself.
    """
    if bundle is None:
        return Review()
    from rbt_ray.simulate.backtest import (
        keeping,
    )  # here: it loads numba, which workers of studies without prices do not

    run = _Rerun(objective, config, metric, bundle, seed, max_reports)
    try:
        if kind_of(objective).provider is not None:  # another backtester has no order level, and a run may take minutes
            return run.on_holdout(train_bars)
        with keeping() as made:
            answer = run.answer(bundle, train_bars)[0]
        if not hasattr(answer, "at_order_level"):
            return run.on_holdout(train_bars)
        again = answer.rebalance != "on_change"
        order_level = metrics_of(answer.at_order_level(), metric) if again else None
        if train_bars == bundle.n_bars:
            return Review(order_level=order_level, equity=_curve(answer))
        whole, note = run.on_all_bars(makes_one=len(made) == 1 and made[0] is answer)
        if whole is None:
            alone = run.on_holdout(train_bars)
            note = (
                f"{note} {alone.note or 'Its hold-out figures are of the hold-out bars alone, without those before.'}"
            )
            return replace(alone, order_level=order_level, equity=_curve(answer), note=note)
        return Review(
            order_level=order_level,
            holdout=metrics_of(whole.since(train_bars), metric),
            holdout_order_level=metrics_of(whole.at_order_level().since(train_bars), metric) if again else None,
            equity=_curve(whole),
            note=note,
        )
    except BaseException as error:  # a failed review must not fail the study
        return Review(error=describe(error))


@dataclass(frozen=True, slots=True)
class _Rerun:
    """The arguments of `review`."""

    objective: Any
    config: Config
    metric: str
    bundle: Bundle
    seed: int
    max_reports: int | None

    def answer(self, bundle: Bundle, n_bars: int) -> tuple[Any, float]:
        """Returns the result of the objective for the first `n_bars` bars, and the share of them that it used."""
        data = bundle.view(n_bars).for_trial(self.seed)
        if kind_of(self.objective).takes == "configs":
            return self.objective([self.config], data)[0], 1.0
        with Reports(self.max_reports, None, n_bars=data.n_bars) as reports:
            try:
                found = self.objective(self.config, data)
            except ReportLimitReached:
                found = None
        return (reports.latest if found is None else found), reports.share

    def on_all_bars(self, *, makes_one: bool) -> tuple[Backtest | None, str | None]:
        """Returns the Backtest over training and hold-out bars, and a sentence if the objective raised or stopped.

        Objectives may raise to reject a config, which happens on the hold-out more often than on the training bars. The
        metrics there are useful nonetheless.

        Args:
            makes_one: whether a run makes a single Backtest and returns it, so that it is known even if the run raises.
        """
        from rbt_ray.simulate.backtest import keeping

        with keeping() as made:
            try:
                whole = self.answer(self.bundle, self.bundle.n_bars)[0]
            except BaseException as error:
                note = f"On the training and hold-out bars together the objective raised {_in_brief(error)}"
                if makes_one and len(made) == 1:
                    return made[0], f"{note} The figures are of the Backtest that it had made before."
                return None, note
        if (share := len(whole.returns) / self.bundle.n_bars) == 1:
            return whole, None
        return (
            None,
            f"On the training and hold-out bars together the objective stopped by itself after {share:.0%} of them.",
        )

    def on_holdout(self, train_bars: int) -> Review:
        """Returns the metrics of the hold-out bars alone, if there are any."""
        if train_bars == self.bundle.n_bars:
            return Review()
        rest = _since(self.bundle, train_bars)
        try:
            answer, share = self.answer(rest, rest.n_bars)
            metrics = metrics_of(answer, self.metric)
        except BaseException as error:
            return Review(note=f"On the hold-out bars the objective raised {_in_brief(error)}")
        stopped = (
            f"On the hold-out bars the objective stopped by itself after {share:.0%} of them; the figures are of these."
        )
        return Review(holdout=metrics, note=stopped if share < 1 else None)


def buy_and_hold(bundle: Bundle) -> FloatArray:
    """Returns ``(n_bars,)`` wealth of equal shares bought when each symbol is listed, and held.

    A share is cash until the first close of its symbol, and keeps the value of the last close after a delisting.
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
    return dict(zip(names, recordable.json_values(list(metrics.values())), strict=True))


def _curve(answer: Any) -> FloatArray:
    return np.asarray(answer.equity, np.float64)


def _in_brief(error: BaseException) -> str:
    """Returns the error on one line that ends as a sentence."""
    text = " ".join("".join(traceback.format_exception_only(error)).split())
    text = text if len(text) <= _LONGEST_BRIEF else f"{text[:_LONGEST_BRIEF]}..."
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _since(bundle: Bundle, start: int) -> Bundle:
    """Returns the bars from `start` with all symbols, since weights may depend on the number of symbols."""
    from rbt_ray.data.bundle import with_fields

    return with_fields(bundle, {field: bundle[field][start:] for field in bundle.fields}, bundle.index[start:])

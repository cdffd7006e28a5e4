"""ObjectiveFunction: the one number that is optimized, of all that a backtest tells."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from rbt_ray.errors import ObjectiveResultError, SettingError
from rbt_ray.objectives.returned_metrics import metrics_of

METRICS = {
    "sharpe_ratio": "sharpe",
    "sortino_ratio": "sortino",
    "calmar_ratio": "calmar",
    "total_return": "total_return",
    "max_drawdown": "max_drawdown",
    "win_rate": "win_rate",
    "profit_factor": "profit_factor",
}
"""RustyBT's names of metrics, and what a `Backtest` calls them."""


class ObjectiveFunction:
    """Takes a score out of a backtest's result; a higher one is better.

    Args:
        metric: one of `METRICS`, or "custom".
        custom_function: gets the result and returns the score, for "custom".
        higher_is_better: False turns the sign.

    Raises:
        SettingError: these do not go together.
    """

    def __init__(
        self, metric: str, custom_function: Callable[[Any], Any] | None = None, higher_is_better: bool = True
    ) -> None:
        if metric not in METRICS and metric != "custom":
            raise SettingError(f"`metric` is one of {', '.join(METRICS)} or custom; got {metric!r}.")
        if (metric == "custom") != callable(custom_function):
            raise SettingError(
                f"`custom_function` is a function for metric='custom', and None for others; got {custom_function!r} for "
                f"{metric!r}."
            )
        self.metric = metric
        self.custom_function = custom_function
        self.higher_is_better = higher_is_better

    def evaluate(self, backtest_result: Any) -> Decimal:
        """The score.

        Args:
            backtest_result: a dict with "performance_metrics", as RustyBT's backtests return; a dict of metrics by
                RustyBT's or rbt_ray's names; a `Backtest`; or the number itself.

        Raises:
            KeyError: it has no such metric.
            ObjectiveResultError: it is something else, or the metric is no number.
        """
        if self.custom_function is not None:
            value = self.custom_function(backtest_result)
        elif isinstance(backtest_result, (int, float, Decimal)):
            value = backtest_result
        else:
            value = self._find(backtest_result)
        try:
            score = Decimal(str(value))
        except ArithmeticError:
            raise ObjectiveResultError(f"the score is a number; {self!r} got {value!r}.") from None
        return score if self.higher_is_better else -score

    def _find(self, backtest_result: Any) -> Any:
        metrics = backtest_result.get("performance_metrics") if isinstance(backtest_result, Mapping) else None
        if metrics is None:
            metrics = metrics_of(backtest_result, self.metric)
        for name in (self.metric, METRICS[self.metric]):
            if name in metrics:
                return metrics[name]
        raise KeyError(f"the backtest has no metric {self.metric!r}; it has {sorted(metrics)}.")

    def __repr__(self) -> str:
        return f"ObjectiveFunction({self.metric!r}, higher_is_better={self.higher_is_better})"

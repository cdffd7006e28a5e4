"""RustyBT's Monte Carlo names: trades in random orders, or drawn again with replacement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

import numpy as np

from rbt_ray.compat.rustybt.run_calls import check_simulations, decimal, interval_of
from rbt_ray.compat.rustybt.search_algorithms import resolve_seed
from rbt_ray.errors import NotSupportedError, SettingError
from rbt_ray.types import FloatArray

_METRICS = ("sharpe_ratio", "total_return", "max_drawdown", "win_rate")
_NO_P_VALUE = (
    "is not supported: the order of trades has no effect on the Sharpe ratio, the total return and the win rate, so a p value "
    "from it says nothing about skill. `results.verdict()` and `results.permutation_test()` test that."
)


@dataclass(frozen=True)
class MonteCarloResult:
    """The metrics of all simulations.

    With `method="permutation"` only `max_drawdown` varies: the other metrics do not depend on the order of trades, and all
    simulations have the same value. `p_values`, `is_significant` and `is_robust` raise NotSupportedError for that reason;
    those of RustyBT test nothing.

    Args:
        observed_metrics: as given to `run`.
        simulated_metrics: the value of each simulation: "sharpe_ratio", of the returns of trades, times the root of 252 as in
            RustyBT; "total_return" and "max_drawdown", 0.2 for a fall of 20 % from the peak, of the equity that the "pnl"
            gives; "win_rate".
        confidence_intervals: the quantiles between which the middle `confidence_level` of the simulations lies.
        percentile_ranks: the percentage of simulations below the observed value, equal ones counted by half.
        n_simulations: their number.
        method: "permutation" or "bootstrap".
        seed: as given.
    """

    observed_metrics: dict[str, Decimal]
    simulated_metrics: dict[str, list[Decimal]]
    confidence_intervals: dict[str, tuple[Decimal, Decimal]]
    percentile_ranks: dict[str, Decimal]
    n_simulations: int
    method: Literal["permutation", "bootstrap"]
    seed: int | None

    @property
    def p_values(self) -> dict[str, Decimal]:
        """Raises NotSupportedError."""
        raise NotSupportedError(f"`p_values` {_NO_P_VALUE}")

    @property
    def is_significant(self) -> dict[str, bool]:
        """Raises NotSupportedError."""
        raise NotSupportedError(f"`is_significant` {_NO_P_VALUE}")

    @property
    def is_robust(self) -> dict[str, bool]:
        """Raises NotSupportedError."""
        raise NotSupportedError(f"`is_robust` {_NO_P_VALUE}")

    def get_summary(self, metric: str = "sharpe_ratio") -> str:
        """Returns the figures of a metric as text.

        Raises:
            SettingError: there is no such observed metric.
        """
        if metric not in self.observed_metrics or metric not in self.simulated_metrics:
            raise SettingError(f"`metric` must be one of {', '.join(self.percentile_ranks)}; got {metric!r}.")
        low, high = self.confidence_intervals[metric]
        return "\n".join(
            (
                f"{self.n_simulations} simulations, {self.method}",
                f"{metric}: {self.observed_metrics[metric]:.4f}",
                f"simulated: {low:.4f} to {high:.4f}",
                f"percentile: {self.percentile_ranks[metric]:.1f}",
            )
        )


class MonteCarloSimulator:
    """Simulates trades in random orders ("permutation"), or as many trades drawn with replacement ("bootstrap").

    `results.robustness(["monte_carlo"])` does this for the best trial of a study, with its returns per bar.

    Args:
        n_simulations: at least 100.
        method: "permutation" for the drawdowns of other orders; "bootstrap" for the spread of all metrics if trades are
            independent of each other.
        seed: the simulations follow from it; None: a random one. The global random state has no effect.
        confidence_level: of the intervals.

    Raises:
        SettingError: an argument cannot be used.
    """

    def __init__(
        self,
        n_simulations: int = 1000,
        method: Literal["permutation", "bootstrap"] = "permutation",
        seed: int | None = None,
        confidence_level: float = 0.95,
    ) -> None:
        check_simulations(n_simulations, confidence_level)
        if method not in ("permutation", "bootstrap"):
            raise SettingError(f"`method` must be 'permutation' or 'bootstrap'; got {method!r}.")
        self.n_simulations = n_simulations
        self.method: Literal["permutation", "bootstrap"] = method
        self.seed = seed
        self.confidence_level = confidence_level
        self._seed = resolve_seed(seed)

    def run(
        self, trades: Any, observed_metrics: Mapping[str, Any], initial_capital: Decimal = Decimal(100_000)
    ) -> MonteCarloResult:
        """Runs the simulations.

        Args:
            trades: a frame of polars or pandas, or a mapping, with the columns "return" (0.02 is 2 %) and "pnl" (money), a row
                per trade.
            observed_metrics: metrics of the backtest, by the names of the simulated ones.
            initial_capital: money at the start.

        Raises:
            SettingError: there are no trades, a column is missing or not numbers, or there are no observed metrics.
        """
        if not observed_metrics:
            raise SettingError("`observed_metrics` must name at least one metric.")
        returns, pnl = (_column(trades, name) for name in ("return", "pnl"))
        if not len(returns):
            raise SettingError("`trades` must have at least one row.")
        rng = np.random.default_rng(self._seed)
        n_trades = len(returns)
        draw = rng.permutation if self.method == "permutation" else lambda n: rng.integers(0, n, n)
        orders = [draw(n_trades) for _ in range(self.n_simulations)]
        rows = [_metrics(returns[order], pnl[order], float(initial_capital)) for order in orders]
        values = dict(zip(_METRICS, np.array(rows).T, strict=True))
        observed = {name: decimal(value) for name, value in observed_metrics.items()}
        return MonteCarloResult(
            observed_metrics=observed,
            simulated_metrics={name: [decimal(value) for value in column] for name, column in values.items()},
            confidence_intervals={name: interval_of(one, self.confidence_level) for name, one in values.items()},
            percentile_ranks={
                name: _percentile(values[name], float(value)) for name, value in observed.items() if name in values
            },
            n_simulations=self.n_simulations,
            method=self.method,
            seed=self.seed,
        )


def _column(trades: Any, name: str) -> FloatArray:
    try:
        column: FloatArray = np.asarray(trades[name], np.float64)
    except Exception as error:  # of polars, pandas or a mapping
        raise SettingError(f"`trades` must have a column {name!r} of numbers ({type(error).__name__}).") from None
    if not np.isfinite(column).all():
        raise SettingError(f"the column {name!r} of `trades` must have no missing values.")
    return column


def _metrics(returns: FloatArray, pnl: FloatArray, capital: float) -> tuple[float, float, float, float]:
    # The sum of permuted numbers differs in its last bits, so what does not depend on the order is of sorted values.
    ascending = np.sort(returns)
    mean, deviation = float(ascending.mean()), float(ascending.std(ddof=1)) if len(returns) > 1 else 0.0
    sharpe = mean / deviation * np.sqrt(252) if deviation > 0 else 0.0
    equity = capital + np.concatenate([[0.0], np.cumsum(pnl)])
    drawdown = float(np.max(1.0 - equity / np.maximum.accumulate(equity)))
    return float(sharpe), float(np.sort(pnl).sum() / capital), drawdown, float((returns > 0).mean())


def _percentile(values: FloatArray, observed: float) -> Decimal:
    return decimal(100 * (np.mean(values < observed) + np.mean(values == observed) / 2))

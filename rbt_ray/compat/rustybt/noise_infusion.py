"""RustyBT's noise infusion names: backtests on prices with random noise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any, Literal

import numpy as np

from rbt_ray.compat.rustybt.run_calls import check_simulations, decimal, interval_of, results_of
from rbt_ray.compat.rustybt.search_algorithms import resolve_seed
from rbt_ray.errors import SettingError
from rbt_ray.types import FloatArray, is_real

_PRICES = ("open", "high", "low", "close")
_WORST = 0.05
_ROBUST, _FRAGILE = 20, 50


@dataclass(frozen=True)
class NoiseInfusionResult:
    """The metrics of backtests on noisy prices, beside those on the prices.

    Args:
        original_metrics: on the prices.
        noisy_metrics: of each simulation.
        mean_metrics: their means.
        std_metrics: their sample deviations.
        degradation_pct: the fall from the original to the mean, in percent of the original's absolute value; NaN for an
            original of 0.
        worst_case_metrics: the value that 5 % of the simulations are below.
        confidence_intervals: the quantiles between which the middle `confidence_level` of the simulations lies.
        n_simulations: their number.
        noise_model: "gaussian" or "bootstrap".
        std_pct: the deviation of gaussian noise, as a share of the price.
        seed: as given.
    """

    original_metrics: dict[str, Decimal]
    noisy_metrics: dict[str, list[Decimal]]
    mean_metrics: dict[str, Decimal]
    std_metrics: dict[str, Decimal]
    degradation_pct: dict[str, Decimal]
    worst_case_metrics: dict[str, Decimal]
    confidence_intervals: dict[str, tuple[Decimal, Decimal]]
    n_simulations: int
    noise_model: Literal["gaussian", "bootstrap"]
    std_pct: Decimal
    seed: int | None

    @property
    def is_robust(self) -> dict[str, bool]:
        """Whether each metric falls by less than 20 %, RustyBT's rule of thumb."""
        return {name: bool(value < _ROBUST) for name, value in self._known()}

    @property
    def is_fragile(self) -> dict[str, bool]:
        """Whether each metric falls by more than 50 %, RustyBT's rule of thumb."""
        return {name: bool(value > _FRAGILE) for name, value in self._known()}

    def _known(self) -> list[tuple[str, Decimal]]:
        return [(name, value) for name, value in self.degradation_pct.items() if not value.is_nan()]

    def get_summary(self, metric: str = "sharpe_ratio") -> str:
        """Returns the figures of a metric as text.

        Raises:
            SettingError: there is no such metric.
        """
        if metric not in self.original_metrics or metric not in self.noisy_metrics:
            raise SettingError(f"`metric` must be one of {', '.join(self.original_metrics)}; got {metric!r}.")
        low, high = self.confidence_intervals[metric]
        return "\n".join(
            (
                f"{self.n_simulations} simulations, {self.noise_model} noise",
                f"{metric}: {self.original_metrics[metric]:.4f}",
                f"noisy: mean {self.mean_metrics[metric]:.4f}, {low:.4f} to {high:.4f}",
                f"worst 5 %: {self.worst_case_metrics[metric]:.4f}",
                f"degradation: {self.degradation_pct[metric]:.1f} %",
            )
        )


class NoiseInfusionSimulator:
    """Runs a backtest on copies of the prices with noise.

    `results.robustness(["noise"])` does this for the best trial of a study on a bundle.

    Args:
        n_simulations: at least 100.
        std_pct: the deviation of gaussian noise, as a share of the price: 0.01 is 1 %.
        noise_model: "gaussian"; or "bootstrap", which draws from the changes of the closes, less their mean.
        seed: the noise follows from it, whatever the number of workers; None: a random one.
        preserve_structure: False multiplies the prices of each bar with independent noise, which reverts on the next bar and
            so favours strategies that trade on reversals. True adds up the noise from bar to bar, so it does not revert.
        confidence_level: of the intervals.
        n_jobs: number of workers; -1: one per core. New here.

    Raises:
        SettingError: an argument cannot be used.
    """

    def __init__(
        self,
        n_simulations: int = 1000,
        std_pct: float = 0.01,
        noise_model: Literal["gaussian", "bootstrap"] = "gaussian",
        seed: int | None = None,
        preserve_structure: bool = False,
        confidence_level: float = 0.95,
        *,
        n_jobs: int = 1,
    ) -> None:
        check_simulations(n_simulations, confidence_level)
        if not is_real(std_pct) or not 0 < std_pct <= 0.5:
            raise SettingError(f"`std_pct` must be above 0 and at most 0.5 (0.01 is 1 %); got {std_pct!r}.")
        if noise_model not in ("gaussian", "bootstrap"):
            raise SettingError(f"`noise_model` must be 'gaussian' or 'bootstrap'; got {noise_model!r}.")
        self.n_simulations = n_simulations
        self.std_pct = decimal(std_pct)
        self.noise_model: Literal["gaussian", "bootstrap"] = noise_model
        self.seed = seed
        self.preserve_structure = preserve_structure
        self.confidence_level = confidence_level
        self._n_jobs = n_jobs
        self._seed = resolve_seed(seed)

    def run(self, data: Any, backtest_fn: Callable[[Any], Mapping[str, Any]]) -> NoiseInfusionResult:
        """Runs the backtest on the prices and on each noisy copy.

        Args:
            data: a frame of polars or pandas with the columns open, high, low, close and volume, for one asset.
            backtest_fn: returns metrics by name for such a frame.

        Raises:
            SettingError: a column is missing or invalid, or there are no metrics.
        """
        _check(data)
        original = backtest_fn(data)
        if not original:
            raise SettingError("`backtest_fn` must return metrics by name; it returned none.")
        seeds = [self._seed + number for number in range(self.n_simulations)]
        rows = results_of(partial(_on_noise, self.add_noise, backtest_fn, data), seeds, self._n_jobs)
        names = [name for name in original if all(name in row for row in rows)]
        noisy = {name: np.array([float(row[name]) for row in rows]) for name in names}
        means = {name: decimal(values.mean()) for name, values in noisy.items()}
        return NoiseInfusionResult(
            original_metrics={name: decimal(value) for name, value in original.items()},
            noisy_metrics={name: [decimal(value) for value in values] for name, values in noisy.items()},
            mean_metrics=means,
            std_metrics={name: decimal(values.std(ddof=1)) for name, values in noisy.items()},
            degradation_pct={name: _degradation(float(original[name]), float(means[name])) for name in names},
            worst_case_metrics={name: decimal(np.quantile(values, _WORST)) for name, values in noisy.items()},
            confidence_intervals={name: interval_of(values, self.confidence_level) for name, values in noisy.items()},
            n_simulations=self.n_simulations,
            noise_model=self.noise_model,
            std_pct=self.std_pct,
            seed=self.seed,
        )

    def add_noise(self, data: Any, sim_seed: int | None = None) -> Any:
        """Returns a copy of the frame with noise in its prices; the four prices of a bar keep their ratios.

        Args:
            data: as in `run`.
            sim_seed: of this copy; None: the simulator's.

        Raises:
            SettingError: a column is missing or invalid.
        """
        _check(data)
        rng = np.random.default_rng(self._seed if sim_seed is None else sim_seed)
        factor = self._factor(np.asarray(data["close"], np.float64), rng)
        columns = {name: np.asarray(data[name], np.float64) * factor for name in _PRICES}
        if hasattr(data, "with_columns"):  # polars
            import polars

            return data.with_columns(*(polars.Series(name, values) for name, values in columns.items()))
        return data.assign(**columns)

    def _factor(self, close: FloatArray, rng: np.random.Generator) -> FloatArray:
        """Returns ``(n_bars,)`` what the prices of each bar are multiplied with, above 0."""
        if self.noise_model == "bootstrap" and len(close) > 1:
            changes = np.diff(np.log(close))
            noise = rng.choice(changes - changes.mean(), len(close))
        else:
            noise = rng.normal(0.0, float(self.std_pct), len(close))
        return np.asarray(np.exp(np.cumsum(noise) if self.preserve_structure else noise), np.float64)


def _on_noise(
    add_noise: Callable[[Any, int], Any], backtest_fn: Callable[[Any], Mapping[str, Any]], data: Any, seed: int
) -> dict[str, Any]:
    return dict(backtest_fn(add_noise(data, seed)))


def _check(data: Any) -> None:
    missing = [name for name in (*_PRICES, "volume") if name not in data.columns]
    if missing:
        raise SettingError(f"`data` must have the columns open, high, low, close and volume; it lacks {missing[0]!r}.")
    values = {name: np.asarray(data[name], np.float64) for name in (*_PRICES, "volume")}
    if not len(data):
        raise SettingError("`data` must have at least one row.")
    for name, column in values.items():
        if not np.isfinite(column).all() or (name != "volume" and (column <= 0).any()):
            raise SettingError(f"the column {name!r} of `data` must have numbers, and prices above 0, in all rows.")
    inner = np.array([values["open"], values["close"]])
    wrong = (values["high"] < inner.max(axis=0)) | (values["low"] > inner.min(axis=0))
    if wrong.any():
        raise SettingError(f"row {int(np.argmax(wrong))} of `data` has an open or a close outside of low and high.")


def _degradation(original: float, mean: float) -> Decimal:
    return decimal((original - mean) / abs(original) * 100 if original else np.nan)

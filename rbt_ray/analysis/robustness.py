"""How the value of the best trial changes under small changes: of the config, the prices, the costs, the first bar.

These are caveats to the verdict and count for none of its checks. No result here is a p value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from rbt_ray.analysis.json_values import plain
from rbt_ray.analysis.sensitivity import Sensitivity
from rbt_ray.types import Config, FloatArray, IntArray, Mode

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = (0.5, 0.95, 0.99)


@dataclass(frozen=True, slots=True, eq=False)
class Values:
    """Values of the metric under some changes.

    Args:
        mode: whether a higher or a lower value is better.
        best: the value of the trial in the study.
        values: ``(n,)`` the value under each change; NaN where the run failed, or is infeasible.
    """

    mode: Mode
    best: float
    values: FloatArray

    @property
    def n_failed(self) -> int:
        """The number of runs without a value."""
        return int(np.isnan(self.values).sum())

    @property
    def median(self) -> float:
        """The median; a run without a value counts as worse than all others, so the median may be infinite."""
        return self.worst(0.5)

    def worst(self, share: float = 0.1) -> float:
        """Returns the value that this share of the runs do not exceed (``mode="min"``: are not below)."""
        sign = 1.0 if self.mode == "max" else -1.0
        signed = np.where(np.isnan(self.values), -np.inf, sign * self.values)
        if not len(signed):
            return np.nan
        if np.isfinite(signed).all():
            return sign * float(np.quantile(signed, share))
        return sign * float(np.quantile(signed, share, method="lower"))  # infinity cannot be interpolated

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yields what was changed and the value, a row per run."""
        for value in self.values.tolist():
            yield {"value": value}

    def summary(self) -> str:
        """Returns a line for the terminal."""
        return f"median {self.median:.4g}, worst tenth {self.worst():.4g} of {_runs(len(self.values), self.n_failed)}"

    def to_dict(self) -> dict[str, Any]:
        """Returns all of it as JSON values; NaN and infinity become None."""
        figures = {"median": self.median, "worst_tenth": self.worst(), "n_failed": self.n_failed}
        found: dict[str, Any] = plain({**figures, "runs": list(self.rows())})
        return found

    def to_frame(self) -> pd.DataFrame:
        """Returns a row per run: what was changed, and the value."""
        import pandas as pd

        return pd.DataFrame(list(self.rows()))


@dataclass(frozen=True, slots=True, eq=False)
class Plateau(Values):
    """Values of the configs near the best one.

    Args:
        configs: the neighbours.
        typical: the median of the trials of the study, or of its audit set if it has one.
    """

    configs: tuple[Config, ...]
    typical: float

    @property
    def score(self) -> float:
        """The share of the advantage over a typical config that the median neighbour keeps.

        ``(median - typical) / (best - typical)``: 1 on a plateau, 0 or less on a peak whose neighbours are no better than a
        typical config, minus infinity if most neighbours have no value. NaN if the best trial has no advantage, or has no
        neighbours.
        """
        edge = self.best - self.typical
        return (self.median - self.typical) / edge if edge else np.nan

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yields the parameters and the value of each neighbour."""
        for config, value in zip(self.configs, self.values.tolist(), strict=True):
            yield {**{f"config/{name}": option for name, option in config.items()}, "value": value}

    def summary(self) -> str:
        """Returns a line for the terminal."""
        if not len(self.values):
            return "the config has no neighbours"
        return f"score {self.score:.2f}; neighbours: {Values.summary(self)}; a typical config {self.typical:.4g}"

    def to_dict(self) -> dict[str, Any]:
        """Returns all of it as JSON values; NaN and infinity become None."""
        found: dict[str, Any] = plain({"score": self.score, "typical": self.typical})
        return found | Values.to_dict(self)


@dataclass(frozen=True, slots=True, eq=False)
class Noise(Values):
    """Values on prices with noise; see `rbt_ray.data.surrogates.noisy_prices`.

    Args:
        share: the deviation of the noise, as a share of the deviation of each symbol's returns.
        seeds: the seed of each run's noise.
    """

    share: float
    seeds: tuple[int, ...]

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yields the seed and the value of each run."""
        for seed, value in zip(self.seeds, self.values.tolist(), strict=True):
            yield {"seed": seed, "value": value}


@dataclass(frozen=True, slots=True, eq=False)
class CostFactors(Values):
    """Values with all costs multiplied.

    Args:
        factors: the factor of each run.
    """

    factors: tuple[float, ...]

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yields the factor and the value of each run."""
        for factor, value in zip(self.factors, self.values.tolist(), strict=True):
            yield {"factor": factor, "value": value}

    def summary(self) -> str:
        """Returns a line for the terminal."""
        shown = (f"x{factor:g} {value:.4g}" for factor, value in zip(self.factors, self.values.tolist(), strict=True))
        return ", ".join(shown)


@dataclass(frozen=True, slots=True, eq=False)
class Starts(Values):
    """Values of runs that begin on a later bar.

    Args:
        bars: the first bar of each run.
        times: its time.
    """

    bars: IntArray
    times: NDArray[np.datetime64]

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yields the first bar, its time, and the value of each run."""
        texts = np.datetime_as_string(self.times, unit="s").tolist()
        for bar, time, value in zip(self.bars.tolist(), texts, self.values.tolist(), strict=True):
            yield {"bar": bar, "time": time, "value": value}


@dataclass(frozen=True, slots=True, eq=False)
class MonteCarlo:
    """Maximum drawdowns of the returns of the best trial in random orders.

    The returns are those per bar, not per trade, and an order is a permutation: the total return is the same in all. So
    runs of losses that the strategy has in reality are broken up, and only the drawdown is of interest.

    Args:
        drawdown: the maximum drawdown in the real order, 0 or negative: -0.35 is a fall of 35 % from the peak.
        drawdowns: ``(n_orders,)`` that in each random order.
    """

    drawdown: float
    drawdowns: FloatArray

    def exceeded_by(self, share: float) -> float:
        """Returns the drawdown that this share of the orders do not reach; 0.95 gives a bad case."""
        return float(np.quantile(self.drawdowns, 1.0 - share))

    def summary(self) -> str:
        """Returns a line for the terminal."""
        half, bad, worse = (f"{-self.exceeded_by(share):.1%}" for share in _SHOWN)
        return (
            f"drawdown {-self.drawdown:.1%}; in random orders of its bars at most {half} in half of them, {bad} in 95 %, "
            f"{worse} in 99 %"
        )

    def to_dict(self) -> dict[str, Any]:
        """Returns all of it as JSON values."""
        quantiles = {f"{share:.0%}": self.exceeded_by(share) for share in _SHOWN}
        found: dict[str, Any] = plain({"drawdown": self.drawdown, "quantiles": quantiles, "drawdowns": self.drawdowns})
        return found

    def to_frame(self) -> pd.DataFrame:
        """Returns the drawdown of each order."""
        import pandas as pd

        return pd.DataFrame({"drawdown": self.drawdowns})


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Robustness:
    """The checks of a trial; None for a check that was not asked for, or that cannot be done.

    Args:
        metric: of the study.
        mode: whether a higher or a lower value is better.
        trial: the number of the best trial.
        config: its config.
        best: its value.
        plateau: values of the configs near it.
        noise: values on prices with noise.
        costs: values with higher costs.
        start: values from later first bars.
        sensitivity: values along each parameter and each pair of parameters.
        monte_carlo: drawdowns of its returns in random orders.
        left_out: why a check could not be done, by its name.
    """

    CHECKS: ClassVar[tuple[str, ...]] = ("plateau", "noise", "costs", "start", "sensitivity", "monte_carlo")

    metric: str
    mode: Mode
    trial: int
    config: Config
    best: float
    plateau: Plateau | None = None
    noise: Noise | None = None
    costs: CostFactors | None = None
    start: Starts | None = None
    sensitivity: Sensitivity | None = None
    monte_carlo: MonteCarlo | None = None
    left_out: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        lines = [f"Robustness of trial {self.trial:,}, {self.metric} {self.best:.4g} at {dict(self.config)}"]
        lines += [f"  {name}: {found.summary()}" for name, found in self._found()]
        return "\n".join([*lines, *(f"  {name}: left out: {why}" for name, why in self.left_out.items())])

    def to_dict(self) -> dict[str, Any]:
        """Returns all of it as JSON values; NaN and infinity become None."""
        checks = {name: found.to_dict() for name, found in self._found()}
        found = {name: getattr(self, name) for name in ("metric", "mode", "trial", "best", "config")}
        whole: dict[str, Any] = plain({**found, **checks, "left_out": self.left_out})
        return whole

    def to_frame(self) -> pd.DataFrame:
        """Returns a row per check: check, n_runs, n_failed, median, worst_tenth; without sensitivity and Monte Carlo."""
        import pandas as pd

        rows = [
            {
                "check": name,
                "n_runs": len(found.values),
                "n_failed": found.n_failed,
                "median": found.median,
                "worst_tenth": found.worst(),
            }
            for name, found in self._found()
            if isinstance(found, Values)
        ]
        return pd.DataFrame(rows, columns=["check", "n_runs", "n_failed", "median", "worst_tenth"])

    def _found(self) -> Iterator[tuple[str, Any]]:
        for name in self.CHECKS:
            if (found := getattr(self, name)) is not None:
                yield name, found


def drawdown_of(returns: FloatArray) -> float:
    """Returns the maximum drawdown of ``(n_bars,)`` simple returns, as `rbt_ray.simulate.metrics` defines it: 0 or negative."""
    equity = np.cumprod(1.0 + returns)
    return float(min(0.0, np.min(equity / np.maximum(np.maximum.accumulate(equity), 1.0) - 1.0)))


def monte_carlo(returns: FloatArray, n_orders: int, seed: int) -> MonteCarlo:
    """Returns the maximum drawdowns of ``(n_bars,)`` simple returns in random orders.

    Args:
        returns: 0.01 is one percent.
        n_orders: the number of orders.
        seed: of the orders.
    """
    rng = np.random.default_rng(seed)
    found = [drawdown_of(rng.permutation(returns)) for _ in range(n_orders)]
    return MonteCarlo(drawdown_of(returns), np.array(found))


def _runs(n: int, n_failed: int) -> str:
    return f"{n:,} runs" + (f", {n_failed:,} without a value" if n_failed else "")

"""Priors of domains: distributions on the unit interval and their inverses."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist
from typing import Any, TypeAlias

import numpy as np

from rbt_ray.errors import SpaceError
from rbt_ray.types import FloatArray

UNDER_ONE = math.nextafter(1.0, 0.0)
_STANDARD = NormalDist()
_KNOTS = np.sin(np.linspace(0.0, np.pi / 2, 4097)) ** 2  # dense at the ends, where a density may be steep


def normal_quantile(u: FloatArray) -> FloatArray:
    """Returns standard normal quantiles of `u`, ``(n,)`` within [0, 1]; the ends give about -8.2 and 8.2.

    Source:
        `statistics.NormalDist.inv_cdf`: Wichura (1988), "Algorithm AS 241", Applied Statistics 37(3), 477-484.
    """
    inside = np.clip(u, 2.0**-53, 1 - 2.0**-53)
    return np.array([_STANDARD.inv_cdf(p) for p in inside.tolist()], dtype=np.float64)


def normal_share(z: FloatArray) -> FloatArray:
    """Returns the standard normal distribution function at `z`, ``(n,)``; NaN where `z` is."""
    return np.array([0.5 * math.erfc(-x / math.sqrt(2)) for x in z.tolist()], dtype=np.float64)


@dataclass(frozen=True)
class NormalPrior:
    """A normal distribution truncated to [0, 1].

    Raises:
        SpaceError: almost none of the distribution lies in [0, 1].
    """

    mean: float
    sd: float

    def __post_init__(self) -> None:
        low, high = self._ends()
        if not high - low > 1e-12:
            raise SpaceError(
                f"a normal distribution with mean {self.mean:g} and deviation {self.sd:g}, on a scale from 0 at the lower bound "
                f"to 1 at the upper, has nothing between the bounds; move the mean or widen the bounds."
            )

    def _ends(self) -> tuple[float, float]:
        low, high = normal_share(np.array([-self.mean, 1 - self.mean]) / self.sd).tolist()
        return low, high

    def spread(self, u: FloatArray) -> FloatArray:
        """Maps uniform draws to draws of this distribution."""
        low, high = self._ends()
        z = normal_quantile(low + u * (high - low))
        return np.clip(self.mean + self.sd * z, 0.0, UNDER_ONE)

    def level(self, x: FloatArray) -> FloatArray:
        """Returns the inverse of `spread`: the distribution function at each `x`."""
        low, high = self._ends()
        return np.clip((normal_share((x - self.mean) / self.sd) - low) / (high - low), 0.0, UNDER_ONE)

    def to_json(self) -> dict[str, Any]:
        """Returns the prior as JSON values."""
        return {"kind": "normal", "mean": self.mean, "sd": self.sd}


@dataclass(frozen=True)
class BetaPrior:
    """A beta distribution on [0, 1], with a piecewise linear distribution function.

    Both parameters are at least 1, so that the density is finite. The error of the distribution function is below 1e-5 for
    parameters up to about 100.
    """

    alpha: float
    beta: float

    @cached_property
    def _shares(self) -> FloatArray:
        # 0 * log(0) is NaN where a parameter is 1; the density there is 1
        with np.errstate(divide="ignore", invalid="ignore"):
            low, high = (self.alpha - 1) * np.log(_KNOTS), (self.beta - 1) * np.log1p(-_KNOTS)
        log_density = np.nan_to_num(low, nan=0.0, neginf=-np.inf) + np.nan_to_num(high, nan=0.0, neginf=-np.inf)
        density = np.exp(log_density - log_density.max())
        shares: FloatArray = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) * np.diff(_KNOTS))])
        shares /= shares[-1]
        return shares

    def spread(self, u: FloatArray) -> FloatArray:
        """Maps uniform draws to draws of this distribution."""
        draws: FloatArray = np.minimum(np.interp(u, self._shares, _KNOTS), UNDER_ONE)
        return draws

    def level(self, x: FloatArray) -> FloatArray:
        """Returns the inverse of `spread`: the distribution function at each `x`."""
        shares: FloatArray = np.minimum(np.interp(x, _KNOTS, self._shares), UNDER_ONE)
        return shares

    def to_json(self) -> dict[str, Any]:
        """Returns the prior as JSON values."""
        return {"kind": "beta", "alpha": self.alpha, "beta": self.beta}


Prior: TypeAlias = NormalPrior | BetaPrior


def prior_from_json(held: dict[str, Any] | None) -> Prior | None:
    """Returns the prior that `to_json` was called on, or None."""
    if held is None:
        return None
    parameters = {name: value for name, value in held.items() if name != "kind"}
    return NormalPrior(**parameters) if held["kind"] == "normal" else BetaPrior(**parameters)

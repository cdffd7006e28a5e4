"""RustyBT's sensitivity names: the objective along each parameter, and on grids of two."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from rbt_ray.compat.rustybt.run_calls import results_of
from rbt_ray.errors import SettingError
from rbt_ray.types import FloatArray, is_real

_ROBUST, _MODERATE = 0.8, 0.5


@dataclass(frozen=True)
class SensitivityResult:
    """The objective along one parameter.

    `variance`, `max_gradient` and `max_curvature` have units of the objective and of the parameter, and the score adds them
    up as in RustyBT. So it changes if a parameter is given in other units: compare values of one parameter only.
    `results.robustness(["sensitivity"])` has figures in units of the metric.

    Args:
        parameter_name: its name.
        param_values: evenly spaced values.
        objective_values: the objective at each.
        base_value: the value in `base_params`.
        base_objective: the objective of `base_params`.
        variance: the variance of `objective_values`, with divisor n.
        max_gradient: the largest absolute slope.
        max_curvature: the largest absolute change of the slope.
        stability_score: ``1 / (1 + variance + max_gradient + max_curvature)``.
        classification: "robust" above 0.8, "moderate" above 0.5, else "sensitive".
        confidence_lower: None: RustyBT resamples the objective's values, which assigns them to other parameter values.
        confidence_upper: None.
    """

    parameter_name: str
    param_values: list[float]
    objective_values: list[float]
    base_value: float
    base_objective: float
    variance: float
    max_gradient: float
    max_curvature: float
    stability_score: float
    classification: str
    confidence_lower: float | None = None
    confidence_upper: float | None = None


@dataclass(frozen=True)
class InteractionResult:
    """The objective on a grid of two parameters.

    Args:
        param1_name: the first parameter.
        param2_name: the second.
        param1_values: evenly spaced values of the first.
        param2_values: of the second.
        objective_matrix: ``(n_points, n_points)`` the objective; a row for each value of the first.
        interaction_strength: the mean absolute cross difference, per step of both.
        has_interaction: whether that is above `interaction_threshold`.
    """

    param1_name: str
    param2_name: str
    param1_values: list[float]
    param2_values: list[float]
    objective_matrix: FloatArray
    interaction_strength: float
    has_interaction: bool


class SensitivityAnalyzer:
    """Evaluates an objective around a config, along each parameter and on grids of two.

    Args:
        base_params: the config.
        n_points: values per parameter, at least 3.
        perturbation_pct: how far a parameter moves, as a share of its base value, to each side; by 1 from a base of 0.
        n_bootstrap: has no effect; see `SensitivityResult.confidence_lower`.
        interaction_threshold: the strength above which two parameters interact.
        random_seed: has no effect, as nothing is random.
        n_jobs: number of workers; -1: one per core. New here.

    Raises:
        SettingError: an argument cannot be used.
    """

    def __init__(
        self,
        base_params: Mapping[str, float],
        n_points: int = 20,
        perturbation_pct: float = 0.5,
        n_bootstrap: int = 100,
        interaction_threshold: float = 0.1,
        random_seed: int | None = None,
        *,
        n_jobs: int = 1,
    ) -> None:
        if isinstance(n_points, bool) or not isinstance(n_points, int) or n_points < 3:
            raise SettingError(f"`n_points` must be a whole number of at least 3; got {n_points!r}.")
        if not is_real(perturbation_pct) or not 0 < perturbation_pct < np.inf:
            raise SettingError(f"`perturbation_pct` must be a number above 0; got {perturbation_pct!r}.")
        for name, value in base_params.items():
            if not is_real(value) or not np.isfinite(value):
                raise SettingError(f"`base_params` must have numbers; got {value!r} for {name!r}.")
        self.base_params = dict(base_params)
        self.n_points = n_points
        self.perturbation_pct = perturbation_pct
        self.n_bootstrap = n_bootstrap
        self.interaction_threshold = interaction_threshold
        self.random_seed = random_seed
        self._n_jobs = n_jobs
        self._found: dict[str, SensitivityResult] = {}
        self._interactions: dict[tuple[str, str], InteractionResult] = {}

    def analyze(
        self,
        objective: Callable[[dict[str, float]], Any],
        param_ranges: Mapping[str, tuple[float, float]] | None = None,
        calculate_ci: bool = True,  # noqa: ARG002 - a name of RustyBT
    ) -> dict[str, SensitivityResult]:
        """Returns the result for each parameter.

        Args:
            objective: returns a number for a dict of params.
            param_ranges: the lowest and the highest value of each parameter to analyze; None: `perturbation_pct` around the
                base values.
            calculate_ci: has no effect; see `SensitivityResult.confidence_lower`.

        Raises:
            SettingError: a parameter is unknown, or its range is empty.
        """
        ranges = self._ranges(param_ranges)
        grids = {name: np.linspace(*ends, self.n_points) for name, ends in ranges.items()}
        moved = [{**self.base_params, name: value} for name, grid in grids.items() for value in grid.tolist()]
        base, *values = map(float, results_of(objective, [dict(self.base_params), *moved], self._n_jobs))
        for number, (name, grid) in enumerate(grids.items()):
            part = np.array(values[number * self.n_points : (number + 1) * self.n_points])
            self._found[name] = self._result(name, grid, part, base)
        return dict(self._found)

    def analyze_interaction(
        self,
        param1: str,
        param2: str,
        objective: Callable[[dict[str, float]], Any],
        param_ranges: Mapping[str, tuple[float, float]] | None = None,
    ) -> InteractionResult:
        """Returns the objective on the grid of two parameters.

        Args:
            param1: the first.
            param2: the second.
            objective: as in `analyze`.
            param_ranges: as in `analyze`.

        Raises:
            SettingError: a parameter is unknown, or its range is empty.
        """
        ranges = self._ranges(param_ranges)
        for name in (param1, param2):
            if name not in ranges:
                raise SettingError(f"`param_ranges` must have {name!r}; it has {', '.join(ranges) or 'none'}.")
        first, second = (np.linspace(*ranges[name], self.n_points) for name in (param1, param2))
        moved = [
            {**self.base_params, param1: one, param2: other} for one in first.tolist() for other in second.tolist()
        ]
        values = np.array([float(value) for value in results_of(objective, moved, self._n_jobs)])
        matrix = values.reshape(self.n_points, self.n_points)
        strength = float(np.abs(np.gradient(np.gradient(matrix, axis=0), axis=1)).mean())
        found = InteractionResult(
            param1, param2, first.tolist(), second.tolist(), matrix, strength, strength > self.interaction_threshold
        )
        self._interactions[param1, param2] = found
        return found

    def generate_report(self) -> str:
        """Returns a table of all results so far, as Markdown."""
        lines = [
            "# Sensitivity",
            "",
            "| parameter | base value | objective | stability score | classification |",
            "|---|---|---|---|---|",
        ]
        lines += [
            f"| {name} | {one.base_value:.4g} | {one.base_objective:.4g} | {one.stability_score:.3f} | {one.classification} |"
            for name, one in sorted(self._found.items())
        ]
        if self._interactions:
            lines += ["", "| parameters | interaction |", "|---|---|"]
            lines += [
                f"| {first}, {second} | {one.interaction_strength:.4g} |"
                for (first, second), one in sorted(self._interactions.items())
            ]
        return "\n".join(lines)

    def _ranges(self, given: Mapping[str, tuple[float, float]] | None) -> dict[str, tuple[float, float]]:
        if given is None:
            reach = {name: abs(base * self.perturbation_pct) or 1.0 for name, base in self.base_params.items()}
            return {name: (base - reach[name], base + reach[name]) for name, base in self.base_params.items()}
        for name, (low, high) in given.items():
            if name not in self.base_params:
                raise SettingError(f"`param_ranges` has {name!r}, which is not in `base_params`.")
            if not low < high:
                raise SettingError(f"`param_ranges` has a range from {low!r} to {high!r} for {name!r}, which is empty.")
        return dict(given)

    def _result(self, name: str, grid: FloatArray, values: FloatArray, base: float) -> SensitivityResult:
        slope = np.gradient(values, grid)
        variance, gradient = float(values.var()), float(np.abs(slope).max())
        curvature = float(np.abs(np.gradient(slope, grid)).max())
        score = calculate_stability_score(variance, gradient, curvature)
        kind = "robust" if score > _ROBUST else "moderate" if score > _MODERATE else "sensitive"
        return SensitivityResult(
            name,
            grid.tolist(),
            values.tolist(),
            self.base_params[name],
            base,
            variance,
            gradient,
            curvature,
            score,
            kind,
        )


def calculate_stability_score(variance: float, gradient: float, curvature: float = 0.0) -> float:
    """Returns ``1 / (1 + variance + gradient + curvature)``; see `SensitivityResult`."""
    return float(1 / (1 + variance + gradient + curvature))

"""How the value of a config changes with one parameter, and with two together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rbt_ray.analysis.json_values import plain
from rbt_ray.types import FloatArray

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """Values along one parameter, with all others as in the best config.

    Args:
        options: the parameter's values, ascending.
        values: ``(n_options,)`` the metric; NaN where the run failed, or the config is not allowed.
    """

    options: tuple[Any, ...]
    values: FloatArray

    @property
    def spread(self) -> float:
        """The highest less the lowest value; NaN if there are none."""
        return float(np.nanmax(self.values) - np.nanmin(self.values)) if np.isfinite(self.values).any() else np.nan


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """Values on a grid of two parameters, with all others as in the best config.

    Args:
        options: the values of the first parameter and of the second.
        values: ``(n_options, n_options_of_second)`` the metric; NaN where the run failed, or the config is not allowed.
    """

    options: tuple[tuple[Any, ...], tuple[Any, ...]]
    values: FloatArray

    @property
    def interaction(self) -> float:
        """The root mean square of what the two parameters do not add up to, in units of the metric.

        It is 0 if the metric is a sum of a function of each. Cells without a value are left out; NaN if there are too few.

        Source:
            The interaction in a two-way analysis of variance with one observation per cell.
        """
        known = np.isfinite(self.values)
        rows, columns = np.nonzero(known)
        n_rows, n_columns = self.values.shape
        if len(rows) < n_rows + n_columns:
            return np.nan
        effects = np.hstack([np.eye(n_rows)[rows], np.eye(n_columns)[columns]])
        sums = effects @ np.linalg.lstsq(effects, self.values[known], rcond=None)[0]
        return float(np.sqrt(np.mean((self.values[known] - sums) ** 2)))


@dataclass(frozen=True, slots=True, eq=False)
class Sensitivity:
    """The value of the best config along each parameter and each pair of parameters, over their domains.

    Args:
        lines: the values along each parameter, by its name.
        grids: the values on the grid of each pair, by both names.
    """

    lines: Mapping[str, Line]
    grids: Mapping[tuple[str, str], Grid]

    def summary(self) -> str:
        """Returns a line for the terminal."""
        if not self.lines:
            return "the config has no parameters"
        spreads = sorted(((line.spread, name) for name, line in self.lines.items()), key=lambda one: -_or_zero(one[0]))
        text = f"spread {', '.join(f'`{name}` {spread:.4g}' for spread, name in spreads)}"
        known = [(grid.interaction, pair) for pair, grid in self.grids.items() if np.isfinite(grid.interaction)]
        if not known:
            return text
        interaction, (first, second) = max(known)
        return f"{text}; strongest interaction `{first}` and `{second}` {interaction:.4g}"

    def to_dict(self) -> dict[str, Any]:
        """Returns all of it as JSON values; NaN becomes None."""
        lines = {
            name: {"options": line.options, "values": line.values, "spread": line.spread}
            for name, line in self.lines.items()
        }
        grids = [
            {"parameters": pair, "options": grid.options, "values": grid.values, "interaction": grid.interaction}
            for pair, grid in self.grids.items()
        ]
        found: dict[str, Any] = plain({"lines": lines, "grids": grids})
        return found

    def to_frame(self) -> pd.DataFrame:
        """Returns a row per run along one parameter: parameter, option, value."""
        import pandas as pd

        rows = [
            (name, option, value)
            for name, line in self.lines.items()
            for option, value in zip(line.options, line.values.tolist(), strict=True)
        ]
        return pd.DataFrame(rows, columns=["parameter", "option", "value"])


def _or_zero(value: float) -> float:
    return value if np.isfinite(value) else 0.0

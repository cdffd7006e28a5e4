"""Values for parameters that conditions left out, so that every point has a place in a density."""

from __future__ import annotations

import numpy as np

from rbt_ray.types import FloatArray, IntArray


def imputed(levels: FloatArray, n_options: IntArray, rng: np.random.Generator) -> FloatArray:
    """Levels whose NaNs are replaced: of each row, by those of another row that has the first of them; then the next.

    Where no row has a parameter, its level is drawn at random.

    Args:
        levels: ``(n, n_params)``.
        n_options: as `Levels` has it.
        rng: picks the other rows.

    Source:
        Falkner, Klein and Hutter (2018), "BOHB: Robust and Efficient Hyperparameter Optimization at Scale", ICML,
        supplement; as hpbandster 0.7.4 does it, but for the first column, whose gaps that leaves.
    """
    absent = np.isnan(levels)
    if not absent.any():
        return levels
    filled = levels.copy(order="K")
    for column in np.flatnonzero(absent.any(axis=0)):
        empty = np.flatnonzero(np.isnan(filled[:, column]))
        known = np.flatnonzero(~absent[:, column])
        if len(known):
            donors = levels[rng.choice(known, size=len(empty))]
            filled[empty] = np.where(np.isnan(filled[empty]), donors, filled[empty])
        elif n_options[column]:
            filled[empty, column] = rng.integers(n_options[column], size=len(empty))
        else:
            filled[empty, column] = rng.random(len(empty))
    return filled

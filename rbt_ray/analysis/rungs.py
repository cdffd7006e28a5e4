"""The trials at each fidelity of a study, and how well it ranks configs compared with full fidelity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rbt_ray.search.calibration import rank_correlation
from rbt_ray.store.table import TrialTable


@dataclass(frozen=True, slots=True)
class Rung:
    """The trials at one fidelity.

    Args:
        fidelity: the fidelity of the trials.
        n_trials: their number.
        n_compared: number of configs that completed here and at full fidelity.
        correlation: Spearman's, over those configs, of the study's metric here and at full fidelity; NaN below 3. As only
            the better configs are promoted, it is lower than it would be over all configs.
    """

    fidelity: float
    n_trials: int
    n_compared: int
    correlation: float


def rungs_of(table: TrialTable) -> list[Rung]:
    """Returns a rung for each fidelity, ascending.

    Trials that stopped by themselves are not included.
    """
    losses = table.losses if table.study.further_goals else table.loss[:, None]
    share = table.fidelity.copy()
    share[list(table.outcomes.shares)] = np.nan
    keys = [point.tobytes() for point in table.points] if (share < 1).any() else []
    at_full = {key: losses[row] for row, key in enumerate(keys) if share[row] == 1}
    found = []
    for fidelity in np.unique(share[~np.isnan(share)]):
        rows = np.flatnonzero(share == fidelity)
        pairs = [(losses[row], at_full[keys[row]]) for row in rows if keys and keys[row] in at_full]
        both = np.array(pairs, dtype=np.float64).reshape(len(pairs), 2, losses.shape[1])
        both = both[~np.isnan(both).any(axis=(1, 2))]
        found_each = [rank_correlation(low, high) for low, high in zip(both[:, 0].T, both[:, 1].T, strict=True)]
        correlation = 1.0 if fidelity == 1 else min(found_each)
        found.append(Rung(float(fidelity), len(rows), len(both), correlation))
    return found

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
    loss = table.loss
    share = table.fidelity.copy()
    share[list(table.outcomes.shares)] = np.nan
    keys = [point.tobytes() for point in table.points] if (share < 1).any() else []
    at_full = {key: loss[row] for row, key in enumerate(keys) if share[row] == 1}
    found = []
    for fidelity in np.unique(share[~np.isnan(share)]):
        rows = np.flatnonzero(share == fidelity)
        pairs = [(loss[row], at_full[keys[row]]) for row in rows if keys and keys[row] in at_full]
        both = np.array(pairs, dtype=np.float64).reshape(-1, 2)
        both = both[~np.isnan(both).any(axis=1)]
        correlation = 1.0 if fidelity == 1 else rank_correlation(both[:, 0], both[:, 1])
        found.append(Rung(float(fidelity), len(rows), len(both), correlation))
    return found

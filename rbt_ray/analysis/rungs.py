"""What each fidelity of a study cost, and how far it ranked configs as the full one did."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rbt_ray.search.rank_correlation import rank_correlation
from rbt_ray.store.table import TrialTable


@dataclass(frozen=True, slots=True)
class Rung:
    """The trials at one fidelity.

    Args:
        fidelity: theirs.
        n_trials: how many.
        n_compared: how many of their configs completed here and at full fidelity.
        correlation: Spearman's, over those, of the study's metric here and at full fidelity; NaN below 3. Configs that were
            promoted for what they did here are the better part of it, which makes it lower than it is over all.
    """

    fidelity: float
    n_trials: int
    n_compared: int
    correlation: float


def rungs_of(table: TrialTable) -> list[Rung]:
    """One for each fidelity, ascending; a single one for a study at full fidelity.

    Trials that stopped by themselves are on none.
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

"""The fidelities of a search, and how many configs of a Hyperband bracket reach each."""

from __future__ import annotations

import math

Ladder = tuple[float, ...]
"""Fidelities, ascending; the last is 1."""

_SLACK = 1e-9  # 27 * 3**-3 must count as 1 despite rounding


def ladder_from(lowest: float, eta: float) -> Ladder:
    """Returns the fidelities 1, 1/eta, 1/eta**2, ... that are not below `lowest`, ascending.

    Args:
        lowest: above 0 and at most 1.
        eta: above 1.
    """
    n_rungs = 1 + math.floor(math.log(1 / lowest) / math.log(eta) + _SLACK)
    return tuple(float(eta) ** -k for k in reversed(range(n_rungs)))


def bracket_sizes(n_rungs: int, bracket: int, eta: float) -> tuple[int, ...]:
    """Returns how many configs each rung of a Hyperband bracket holds, from its first rung to full fidelity.

    Brackets repeat after `n_rungs`; the first starts on the lowest rung, the last at full fidelity.

    Source:
        Li et al. (2018), "Hyperband: A Novel Bandit-Based Approach to Hyperparameter Optimization", JMLR 18(185), as
        hpbandster rounds it: floor(n_rungs / (s + 1)) * eta**s configs start s rungs below full fidelity.
    """
    above = n_rungs - 1 - bracket % n_rungs
    first = int(n_rungs // (above + 1) * eta**above + _SLACK)
    return halvings(first, above, eta)


def halvings(first: int, n_times: int, eta: float) -> tuple[int, ...]:
    """Returns `first` and what is left of it after each division by eta; at least 1."""
    return tuple(max(int(first * eta**-k + _SLACK), 1) for k in range(n_times + 1))

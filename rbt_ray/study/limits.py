"""The limits of a search: how many configs it may propose, and what its trials may cost."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """The limits of a search.

    Args:
        num_samples: how many new configs; None: all.
        max_cost: the maximum cost, in evaluations at full fidelity; None: no limit.
    """

    num_samples: int | None
    max_cost: float | None

"""Calibration: which lower fidelities rank configs as full fidelity does?"""

from __future__ import annotations

from collections import deque

import numpy as np

from rbt_ray.search.scheduler import Ladder, Losses, Rank, Step
from rbt_ray.types import FloatArray

LEAST_CONFIGS = 4
LEAST_CORRELATION = 0.5
"""The least correlation of a fidelity that is used. At eta 3 the best of three by it is half a standard deviation better than
a random one of them, about what its evaluations would find at full fidelity."""


class Calibration:
    """A race that promotes every config, and then chooses the ladder for the rest of the search.

    Promotion ignores results, so that selection by a lower fidelity cannot bias the rank correlations. The configs are those
    that the search would propose anyway. If a model already narrows them down, they differ less, and the correlations are too
    low rather than too high.

    Args:
        ladder: all rungs, at least 2.
        n_configs: how many configs to evaluate.
        at_once: whether to evaluate a config's rungs in parallel; False: each continues from the one below.
    """

    def __init__(self, ladder: Ladder, n_configs: int, *, at_once: bool) -> None:
        self._ladder = ladder
        self._at_once = at_once
        self._missing = n_configs
        self._waiting: deque[Step] = deque()
        self._n_running = 0
        self._losses: dict[int, dict[int, Rank]] = {}

    @property
    def done(self) -> bool:
        """Whether it has all its results."""
        return not (self._missing or self._waiting or self._n_running)

    def next(self) -> Step | None:
        """See `Race`."""
        if self._waiting:
            self._n_running += 1
            return self._waiting.popleft()
        return Step(None, 0) if self._missing else None

    def enter(self, slot: int, step: Step) -> None:
        """See `Race`."""
        del step
        self._missing -= 1
        self._n_running += 1
        self._losses[slot] = {}
        if self._at_once:
            self._waiting.extend(Step(slot, rung) for rung in range(1, len(self._ladder)))

    def close(self) -> None:
        """See `Race`."""
        self._missing = 0

    def finish(self, slot: int, rung: int, loss: Rank, *, fatal: bool) -> None:
        """See `Race`."""
        self._n_running -= 1
        self._losses[slot][rung] = loss
        if not self._at_once and rung + 1 < len(self._ladder) and not fatal:
            self._waiting.append(Step(slot, rung + 1))

    def correlations(self) -> list[float]:
        """Returns the rank correlation of each lower rung with full fidelity; NaN if too few configs have both results.

        Of several metrics, it is the least one.
        """
        top = len(self._ladder) - 1
        found = []
        for rung in range(top):
            both = [(one[rung], one[top]) for one in self._losses.values() if rung in one and top in one]
            found.append(
                _least_correlation([(low, high) for low, high in both if low is not None and high is not None])
            )
        return found

    def chosen_ladder(self) -> tuple[Ladder, str]:
        """Returns the ladder without its lowest rungs that rank poorly, and a sentence on the reason.

        With too few configs to tell, returns the whole ladder and an empty sentence.
        """
        if len(self._losses) < LEAST_CONFIGS:
            return self._ladder, ""
        found = self.correlations()
        lowest = len(found)
        while lowest and found[lowest - 1] >= LEAST_CORRELATION:
            lowest -= 1
        return self._ladder[lowest:], _sentence(self._ladder, found, lowest, len(self._losses))


def _least_correlation(pairs: list[tuple[float | Losses, float | Losses]]) -> float:
    n_metrics = max((len(rank) for pair in pairs for rank in pair if isinstance(rank, tuple)), default=1)
    # An infeasible trial has one number in place of its losses.
    rows = [[rank if isinstance(rank, tuple) else (rank,) * n_metrics for rank in pair] for pair in pairs]
    ranks = np.array(rows, dtype=np.float64).reshape(len(rows), 2, n_metrics)
    return min(rank_correlation(low, high) for low, high in zip(ranks[:, 0].T, ranks[:, 1].T, strict=True))


def _sentence(ladder: Ladder, found: list[float], lowest: int, n_configs: int) -> str:
    shown = ", ".join(f"{rho:.2f} at {fidelity:.3g}" for fidelity, rho in zip(ladder[:-1], found, strict=True))
    measured = f"rank correlation with full fidelity, over {n_configs} configs: {shown}"
    if lowest == 0:
        return f"{measured}; the search uses all of them."
    at_least = f"fidelities below a correlation of {LEAST_CORRELATION:g} are not used"
    if lowest == len(found):
        return f"{measured}; {at_least}: the search continues at full fidelity."
    return f"{measured}; {at_least}: the search continues from fidelity {ladder[lowest]:.3g}."


def rank_correlation(a: FloatArray, b: FloatArray) -> float:
    """Returns Spearman's rank correlation of two columns, from -1 to 1; NaN below 3 rows or for a constant column.

    Args:
        a: ``(n,)``; equal values share the mean of their ranks.
        b: ``(n,)``.

    Source:
        Spearman (1904), "The Proof and Measurement of Association between Two Things", American Journal of Psychology 15.
    """
    if len(a) < 3:
        return float("nan")
    x, y = _ranks(a), _ranks(b)
    x, y = x - x.mean(), y - y.mean()
    scale = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / scale) if scale > 0 else float("nan")


def _ranks(values: FloatArray) -> FloatArray:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    means: FloatArray = (last - (counts - 1) / 2)[inverse]
    return means

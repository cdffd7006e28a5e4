"""Some configs, evaluated at every fidelity: which of the lower ones rank configs as the full one does?"""

from __future__ import annotations

from collections import deque

import numpy as np

from rbt_ray.search.fidelity_ladder import Ladder
from rbt_ray.search.rank_correlation import rank_correlation
from rbt_ray.search.scheduler import Step

LEAST_CONFIGS = 4
LEAST_CORRELATION = 0.5
"""A lower fidelity has to reach this to be used. At eta 3 the best of three by it is then half a standard deviation better
than one of them by chance, about what the evaluations it takes would find at full fidelity."""


class Calibration:
    """A race in which nobody is left behind; its verdict is the ladder worth climbing from then on.

    Its configs go up whatever their results, so that no selection by a lower fidelity bends the rank correlations. They are
    those that the search would propose anyway: where a model already narrows them down, they differ less, and the
    correlations are rather too low than too high. Their results at full fidelity are what the search goes on with.

    Args:
        ladder: all rungs, at least 2.
        n_configs: how many configs.
        at_once: whether a config's rungs are evaluated side by side; False: each goes on from the one below.
    """

    def __init__(self, ladder: Ladder, n_configs: int, *, at_once: bool) -> None:
        self._ladder = ladder
        self._at_once = at_once
        self._missing = n_configs
        self._waiting: deque[Step] = deque()
        self._under_way = 0
        self._losses: dict[int, dict[int, float | None]] = {}

    @property
    def done(self) -> bool:
        """Whether all its results are there."""
        return not (self._missing or self._waiting or self._under_way)

    def next(self) -> Step | None:
        """See `Race`."""
        if self._waiting:
            self._under_way += 1
            return self._waiting.popleft()
        return Step(None, 0) if self._missing else None

    def enter(self, slot: int, step: Step) -> None:
        """See `Race`."""
        del step
        self._missing -= 1
        self._under_way += 1
        self._losses[slot] = {}
        if self._at_once:
            self._waiting.extend(Step(slot, rung) for rung in range(1, len(self._ladder)))

    def close(self) -> None:
        """See `Race`."""
        self._missing = 0

    def finish(self, slot: int, rung: int, loss: float | None, *, fatal: bool) -> None:
        """See `Race`."""
        self._under_way -= 1
        self._losses[slot][rung] = loss
        if not self._at_once and rung + 1 < len(self._ladder) and not fatal:
            self._waiting.append(Step(slot, rung + 1))

    def correlations(self) -> list[float]:
        """Of each rung below the full one, with the full one; NaN where too few configs have both results."""
        top = len(self._ladder) - 1
        found = []
        for rung in range(top):
            both = [(one[rung], one[top]) for one in self._losses.values() if rung in one and top in one]
            pairs = np.array([pair for pair in both if None not in pair], dtype=np.float64).reshape(-1, 2)
            found.append(rank_correlation(pairs[:, 0], pairs[:, 1]))
        return found

    def verdict(self) -> tuple[Ladder, str]:
        """The ladder from the lowest rung on that ranks well, as all above it do; and that in a sentence.

        Where there were too few configs for it, the ladder is believed, and the sentence is empty.
        """
        if len(self._losses) < LEAST_CONFIGS:
            return self._ladder, ""
        found = self.correlations()
        lowest = len(found)
        while lowest and found[lowest - 1] >= LEAST_CORRELATION:
            lowest -= 1
        return self._ladder[lowest:], _sentence(self._ladder, found, lowest, len(self._losses))


def _sentence(ladder: Ladder, found: list[float], lowest: int, n_configs: int) -> str:
    told = ", ".join(f"{rho:.2f} at {fidelity:.3g}" for fidelity, rho in zip(ladder[:-1], found, strict=True))
    seen = f"rank correlation with full fidelity, over {n_configs} configs: {told}"
    if lowest == 0:
        return f"{seen}; all of them are used."
    at_least = f"below {LEAST_CORRELATION:g} a fidelity says too little"
    if lowest == len(found):
        return f"{seen}; {at_least}: the search goes on at full fidelity."
    return f"{seen}; {at_least}: the search goes on from {ladder[lowest]:.3g}."

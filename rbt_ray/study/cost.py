"""The cost of trials, in evaluations at full fidelity."""

from __future__ import annotations

import numpy as np

from rbt_ray.types import FloatArray


class Cost:
    """Counts the cost of trials: a trial's fidelity, less the part that an earlier trial of its config completed.

    A config continues from where it stopped if its objective saved a checkpoint there. The journal records this, so a resumed
    study counts the same even if the checkpoint is lost and that part runs again.
    """

    def __init__(self) -> None:
        self._reached: dict[bytes, float] = {}

    def of(self, points: FloatArray, fidelity: FloatArray) -> FloatArray:
        """Returns ``(n,)`` the cost of ``(n, n_params)`` points at ``(n,)`` fidelities."""
        if not self._reached:
            return fidelity
        done = np.array([self._reached.get(point.tobytes(), 0.0) for point in points])
        costs: FloatArray = np.where(done < fidelity, fidelity - done, fidelity)
        return costs

    def record_checkpoint(self, point: FloatArray, fidelity: float) -> None:
        """Records that a config, ``(n_params,)``, can continue from a fidelity."""
        self._reached[point.tobytes()] = fidelity

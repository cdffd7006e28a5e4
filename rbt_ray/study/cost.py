"""What trials cost, in evaluations at full fidelity."""

from __future__ import annotations

import numpy as np

from rbt_ray.types import FloatArray


class Cost:
    """A trial costs its fidelity, less the part that an earlier trial of its config has done.

    A config goes on from where it stopped if its objective left a checkpoint there. The journal says so, so that a resumed
    study counts the same, though the checkpoint itself may be gone and that part is then done again.
    """

    def __init__(self) -> None:
        self._reached: dict[bytes, float] = {}

    def of(self, points: FloatArray, fidelity: FloatArray) -> FloatArray:
        """``(n,)`` the cost of each of ``(n, n_params)`` points at ``(n,)`` fidelities."""
        if not self._reached:
            return fidelity
        done = np.array([self._reached.get(point.tobytes(), 0.0) for point in points])
        costs: FloatArray = np.where(done < fidelity, fidelity - done, fidelity)
        return costs

    def record_checkpoint(self, point: FloatArray, fidelity: float) -> None:
        """A config, ``(n_params,)``, can go on from this fidelity."""
        self._reached[point.tobytes()] = fidelity

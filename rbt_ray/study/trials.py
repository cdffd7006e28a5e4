"""The seed and the cost of a trial, which do not depend on when or where it runs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rbt_ray.types import FloatArray, IntArray


def mix64(study_seed: int, trials: IntArray) -> NDArray[np.uint64]:
    """Returns ``(n,)`` a number below 2**64 for each trial, as if drawn by lot.

    Source:
        The finaliser of SplitMix64: Steele, Lea and Flood (2014), "Fast Splittable Pseudorandom Number Generators".
    """
    z = trials.astype(np.uint64) + np.uint64(1)
    z = z * np.uint64(0x9E3779B97F4A7C15) + np.uint64(study_seed % 2**64)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def trial_seeds(study_seed: int, trials: IntArray) -> NDArray[np.uint64]:
    """Returns ``(n,)`` a seed below 2**32 for each trial; every library's generator accepts such seeds."""
    return mix64(study_seed, trials) >> np.uint64(32)


def nested_seed(study_seed: int, purpose: str, number: int) -> int:
    """Returns a seed below 2**32 for a study within a study; `purpose` and `number` tell such studies apart."""
    salt = int.from_bytes(purpose.encode()[:6], "big")
    return int(trial_seeds(study_seed ^ salt, np.array([2**40 + number]))[0])


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

"""Settings of the model search: which model, and whose code runs it."""

from __future__ import annotations

from dataclasses import dataclass

from rbt_ray.search.kernel_model import KernelModel
from rbt_ray.search.levels import Levels
from rbt_ray.search.model_sampler import ModelSampler
from rbt_ray.search.sampler import Sampler
from rbt_ray.study.space import Space


@dataclass(frozen=True, slots=True)
class BOHB:
    """Settings of BOHB's sampler, for `search_alg`."""

    def sampler(self, space: Space, seed: int) -> Sampler:
        """A fresh sampler with these settings."""
        levels = Levels(space, ordered=True)
        return ModelSampler(space, levels, KernelModel(levels), seed=seed, random_fraction=1 / 3, count_pending=True)

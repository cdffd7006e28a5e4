"""Settings of the model search: which model, and whose code runs it."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from rbt_ray.search.bohb_sampler import BohbSampler, Engine, ModelName
from rbt_ray.search.sampler import Sampler
from rbt_ray.study.space import Space


@dataclass(frozen=True, slots=True)
class BOHB:
    """Settings of BOHB's sampler, for `search_alg`."""

    engine: Engine = "native"
    model: ModelName = "kde"
    random_fraction: float | None = None
    count_pending: bool | None = None
    keep_lower: bool | None = None
    ordered: bool | None = None

    def sampler(self, space: Space, seed: int) -> Sampler:
        """A fresh sampler with these settings."""
        return BohbSampler(space, seed=seed, **asdict(self))

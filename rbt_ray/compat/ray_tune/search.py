"""Ray Tune's search algorithms that need no other package, by name and arguments. Its other searchers are used as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rbt_ray.compat.ray_tune.spaces import grid_search
from rbt_ray.compat.ray_tune.unsupported import create_searcher, unsupported_class
from rbt_ray.errors import SettingError

__all__ = ["BasicVariantGenerator", "ConcurrencyLimiter", "Repeater", "create_searcher", "grid_search"]


@dataclass
class BasicVariantGenerator:
    """Grids and random samples, as without a `search_alg`.

    Args:
        points_to_evaluate: values of some parameters for the first samples.
        max_concurrent: limit of concurrent trials; 0: no limit.
        constant_grid_search: whether all combinations of the grids share one draw.
        random_state: a seed, or a generator of numpy to derive one from; None: the seed of `TuneConfig`.
    """

    points_to_evaluate: Sequence[Mapping[str, Any]] | None = None
    max_concurrent: int = 0
    constant_grid_search: bool = False
    random_state: int | np.random.Generator | np.random.RandomState | None = None


@dataclass
class ConcurrencyLimiter:
    """Limits how many trials of a searcher are open at the same time.

    Args:
        searcher: any `search_alg`.
        max_concurrent: the limit.
        batch: ignored: results are reported as soon as they are needed.
    """

    searcher: Any
    max_concurrent: int
    batch: bool = False

    def __post_init__(self) -> None:
        if type(self.max_concurrent) is not int or self.max_concurrent < 1:
            raise SettingError(f"`max_concurrent` must be a whole number above 0; got {self.max_concurrent!r}.")


Repeater = unsupported_class("search.Repeater", "let the trainable return the mean of several runs.")

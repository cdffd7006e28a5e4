"""Searchers by name."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

from rbt_ray.search.searcher import Searcher
from rbt_ray.study.space import Space
from rbt_ray.types import Config

SEARCHERS = {
    "grid": ("rbt_ray.search.grid_search", "GridSearch"),
    "random": ("rbt_ray.search.random_search", "RandomSearch"),
    "sobol": ("rbt_ray.search.sobol", "SobolSearch"),
}
_SAMPLES = 100


def choose(search_alg: str, space: Space, num_samples: int | None) -> tuple[str, int | None]:
    """The searcher's own name and how many new configs it is to propose; None: all there are.

    "auto" is a grid where the whole space fits `num_samples` (any finite one for None), else Sobol points.
    """
    if search_alg == "auto":
        fits = space.size is not None and (num_samples is None or space.size <= num_samples)
        search_alg = "grid" if fits else "sobol"
    if search_alg != "grid" and num_samples is None:
        num_samples = _SAMPLES
    return search_alg, num_samples


def make(
    search_alg: str, space: Space, num_samples: int | None, seed: int, points_to_evaluate: Sequence[Config]
) -> Searcher:
    """A fresh searcher of that name."""
    module, name = SEARCHERS[search_alg]
    kind: Any = getattr(importlib.import_module(module), name)
    searcher: Searcher = kind(space, limit=num_samples, seed=seed, points_to_evaluate=points_to_evaluate)
    return searcher

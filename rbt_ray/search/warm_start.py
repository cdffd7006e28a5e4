"""What an earlier study found, fed to a sampler before the first proposal."""

from __future__ import annotations

import math
from collections.abc import Iterable

from rbt_ray.errors import SpaceError
from rbt_ray.search.sampler import Sampler
from rbt_ray.study.space import Space
from rbt_ray.types import Config


def feed(sampler: Sampler, space: Space, runs: Iterable[tuple[Config, float, float | None]]) -> int:
    """Lets a sampler learn from runs of an earlier study, and gives how many lay in the space; others are passed over.

    Args:
        sampler: fresh.
        space: what it searches.
        runs: config, fidelity and loss each, None for a run that did not complete; of a finished study
            ``[(r.config, r.fidelity, r.loss) for r in results]``.
    """
    learned = 0
    for config, fidelity, loss in runs:
        try:
            point = space.encode([config])[0]
        except SpaceError:
            continue
        sampler.learn(point, fidelity, math.nan if loss is None else loss)
        learned += 1
    return learned

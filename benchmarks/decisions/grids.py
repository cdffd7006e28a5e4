"""The two problems on which BOHB is judged: grids of all sizes, and how many evaluations a search needs on them."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

import rbt_ray as rbt
from benchmarks import problems
from benchmarks.crossover import old_bundle
from benchmarks.search_quality import NEAR, driven, study_of
from rbt_ray.search.registry import AUTO, make_searcher


def crossover_axes(side):
    """`side` values of each of two averages, equally far apart, over the same ranges whatever the side."""
    at = np.arange(side) * (1_000 // side)
    return {"fast": 2 + at, "slow": 10 + at}


def reversion_axes(side):
    """`side` values of each of three parameters, likewise."""
    at = np.arange(side) * (100 // side)
    return {"window": 2 + at, "entry": (0.2 + 0.03 * at).round(2), "exit": (-1.5 + 0.03 * at).round(2)}


@dataclass(frozen=True)
class Grids:
    """A problem as grids of several sizes.

    Args:
        name: of its objective.
        objective: makes it.
        axes: the values of each parameter, for a number of values.
        sides: numbers of values of each parameter.
        lowest: the lowest fidelity, of which the others are multiples by 3.
        most: full evaluations after which a search gives up.
    """

    name: str
    objective: Callable[[], Any]
    axes: Callable[[int], dict[str, Any]]
    sides: tuple[int, ...]
    lowest: float
    most: int

    def problem(self, side):
        """The problem of a grid, and its losses by fidelity."""
        axes = self.axes(side)
        losses = problems.swept(self.objective(), old_bundle(), axes, self.lowest)
        places = dict.fromkeys(axes, np.arange(side))  # what is searched is a value's place among its parameter's
        return problems.on_a_grid(f"{side ** len(axes):,} configs", places, losses), losses


CROSSOVER = Grids("sma_cross", rbt.objectives.sma_cross, crossover_axes, (5, 10, 32, 100, 316, 1_000), 1 / 3, 5_000)
REVERSION = Grids(
    "mean_reversion", rbt.objectives.mean_reversion, reversion_axes, (3, 5, 10, 22, 46, 100), 1 / 9, 20_000
)


def costs_until_near(grids, problem, n_seeds):
    """``(n_seeds,)`` full evaluations until a config within 1 % of the best was known; inf where it never was."""
    near = NEAR * abs(problem.best) / problem.scale
    found = []
    for seed in range(n_seeds):
        searcher = make_searcher(study_of(problem, "bohb", seed, scheduler={"name": "hyperband"}, **asdict(AUTO)))
        found.append(driven(searcher, problem, grids.most, seed, n_open=32).until(near))
    return np.array(found)


def random_order(losses, n_seeds):
    """The same for a grid in a random order, whose user sees when it is near."""
    full = losses[1.0]
    near = np.flatnonzero(full <= np.nanmin(full) + NEAR * abs(np.nanmin(full)))
    rng = np.random.default_rng(0)
    return np.array([1 + rng.permutation(len(full))[: len(near)].min() for _ in range(n_seeds)])

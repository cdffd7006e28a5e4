"""Spaces that the tests of this room share."""

import numpy as np
import pytest

import rbt_ray as rbt
from rbt_ray.study.conditions import BooleanExpression, Compare, OneOf, Relation
from rbt_ray.study.space import Space


@pytest.fixture
def conditional():
    """b exists where a is "x" or "y", c where b is above 1; c equal to d is forbidden, and so is a == "z" with d == 0."""
    return Space(
        names=("a", "b", "c", "d"),
        domains=(rbt.choice(["x", "y", "z"]), rbt.randint(0, 4), rbt.randint(0, 3), rbt.randint(0, 3)),
        conditions=(("b", OneOf("a", (0.0, 1.0))), ("c", Compare("b", ">", 1.0))),
        forbidden=(
            Relation("c", "==", "d"),
            BooleanExpression("and", (Compare("a", "==", 2.0), Compare("d", "==", 0.0))),
        ),
    )


@pytest.fixture
def conditional_configs():
    """The configs of `conditional`, by the rule in plain Python."""
    configs = []
    for a in "xyz":
        for b in range(4) if a in "xy" else [None]:
            for c in range(3) if b is not None and b > 1 else [None]:
                for d in range(3):
                    if c == d or (a == "z" and d == 0):
                        continue
                    configs.append({k: v for k, v in {"a": a, "b": b, "c": c, "d": d}.items() if v is not None})
    return configs


@pytest.fixture
def draw():
    """Canonical, allowed points of a space."""

    def drawn(space, n, seed=0):
        points = space.canonical(space.from_unit(np.random.default_rng(seed).random((n, space.n_params))))
        return points[space.allowed(points)]

    return drawn

"""Spaces that the searchers are tried on."""

import pytest

import rbt_ray as rbt
from rbt_ray.study.conditions import BooleanExpression, Compare, OneOf, Relation
from rbt_ray.study.space import Space


@pytest.fixture
def branching():
    """b exists where a is "x" or "y", c where b is above 1; c == d is forbidden, and so is a == "z" with d == 0."""
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
def pairs():
    """Two whole numbers below 40, the first below the second."""
    return Space(
        ("fast", "slow"), (rbt.randint(0, 40), rbt.randint(0, 40)), forbidden=(Relation("fast", ">=", "slow"),)
    )


@pytest.fixture
def nothing():
    """Two parameters of which everything is forbidden."""
    return Space(("a", "b"), (rbt.uniform(0, 1), rbt.randint(0, 9)), forbidden=(Compare("b", ">=", 0.0),))

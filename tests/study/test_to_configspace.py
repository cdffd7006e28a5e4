"""Our spaces as ConfigSpace's: what it samples is ours, and what it forbids is forbidden."""

import warnings

import ConfigSpace
import numpy as np
import pytest

import rbt_ray as rbt
from rbt_ray.errors import SpaceError
from rbt_ray.study.conditions import BooleanExpression, Compare, OneOf, Relation
from rbt_ray.study.space import Space
from rbt_ray.study.to_configspace import AsConfigSpace

BRANCHING = Space(
    ("a", "b", "c", "d", "e"),
    (rbt.choice(["x", "y", "z"]), rbt.randint(0, 9), rbt.uniform(-1.0, 1.0), rbt.randint(0, 9), rbt.choice([5])),
    conditions=(
        ("b", OneOf("a", (0.0, 1.0))),
        ("c", BooleanExpression("and", (Compare("b", ">=", 3.0), Compare("d", "<", 7.0)))),
    ),
    forbidden=(
        Relation("b", "==", "d"),
        BooleanExpression("and", (Compare("a", "==", 2.0), Compare("d", "<=", 1.0))),
        Compare("c", ">", 0.5),
    ),
)
PLAIN = Space.of(
    {
        "lr": rbt.loguniform(1e-12, 1e-3),
        "n": rbt.lograndint(1, 500),
        "shift": rbt.normal(3.0, 0.5),
        "step": rbt.quniform(0.1, 0.9, 0.1),
        "opt": {"kind": rbt.choice([None, "a", (1, 2), "a", "a"])},
        "one": rbt.randint(4, 5),
    }
)


def sampled(space, n=400):
    converted = AsConfigSpace(space, seed=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        configurations = [dict(c) for c in converted.configspace.sample_configuration(n)]
    return converted, configurations, np.array([converted.point(values) for values in configurations])


@pytest.mark.parametrize("space", [BRANCHING, PLAIN], ids=["branching", "plain"])
def test_its_samples_are_points_of_the_space(space):
    converted, configurations, points = sampled(space)
    np.testing.assert_array_equal(space.canonical(points), points)
    assert space.allowed(points).all()
    np.testing.assert_array_equal(np.isnan(points), ~space.active(points))
    np.testing.assert_array_equal(space.encode(space.decode(points)), points)
    assert sum(map(len, configurations)) > 2 * len(points)
    for values, point in zip(configurations, points, strict=True):
        again = converted.values(point)
        assert again.keys() == values.keys()
        np.testing.assert_allclose(converted.point(again), point, rtol=1e-8)  # ConfigSpace keeps nine decimals or more
        ConfigSpace.Configuration(converted.configspace, again)  # raises where it is not one


def test_points_of_the_space_are_its_configurations_and_forbidden_ones_are_not():
    converted = AsConfigSpace(BRANCHING)
    points = BRANCHING.canonical(BRANCHING.from_unit(np.random.default_rng(0).random((500, 5))))
    allowed = BRANCHING.allowed(points)
    assert 50 < allowed.sum() < 450
    for point, fine in zip(points, allowed.tolist(), strict=True):
        try:
            ConfigSpace.Configuration(converted.configspace, converted.values(point))
        except ConfigSpace.exceptions.ForbiddenValueError:
            assert not fine
        else:
            assert fine


def test_draws_follow_priors_and_weights():
    _, _, points = sampled(PLAIN, 2000)
    shift = points[:, PLAIN.names.index("shift")]
    assert abs(shift.mean() - 3.0) < 5 * 0.5 / 2000**0.5
    kinds = np.bincount(points[:, PLAIN.names.index("opt/kind")].astype(int)) / 2000
    np.testing.assert_allclose(kinds, [0.2, 0.6, 0.2], atol=5 * (0.25 / 2000) ** 0.5)


def test_a_space_with_everything_forbidden_is_refused():
    space = Space(("a",), (rbt.randint(0, 9),), forbidden=(Compare("a", ">=", 0.0),))
    with pytest.raises(SpaceError, match="leave practically nothing"):
        AsConfigSpace(space)


def test_a_condition_on_two_parameters_is_refused():
    numbers = (rbt.randint(0, 9),) * 3
    space = Space(("a", "b", "c"), numbers, conditions=(("c", Relation("a", "<", "b")),))
    with pytest.raises(
        SpaceError, match=r"`c` exists when `a` < `b`; ConfigSpace has conditions on one parameter's value"
    ):
        AsConfigSpace(space)

"""The contract of every sampler: add a new one to `SAMPLERS`."""

import math

import numpy as np
import pytest

import rbt_ray as rbt
from rbt_ray.search.bohb import BOHB
from rbt_ray.search.fixed_sequence import SequenceSampler
from rbt_ray.search.optuna_sampler import OptunaSampler
from rbt_ray.search.random_draws import RandomSearch
from rbt_ray.study.conditions import BooleanExpression, Compare, OneOf, Relation
from rbt_ray.study.space import Space

SAMPLERS = {
    "random": lambda space, seed=0: SequenceSampler(RandomSearch(space, seed=seed)),
    "kde": lambda space, seed=0: BOHB().sampler(space, seed),
    "kde-all-options": lambda space, seed=0: BOHB(keep_lower=True, ordered=True).sampler(space, seed),
    "tpe": lambda space, seed=0: BOHB(model="tpe").sampler(space, seed),
    "hpbandster": lambda space, seed=0: BOHB(engine="hpbandster").sampler(space, seed),
    "optuna": OptunaSampler,
}
PAIRS = Space(("fast", "slow"), (rbt.randint(0, 7), rbt.randint(0, 7)), forbidden=(Relation("fast", ">=", "slow"),))
BRANCHING = Space(
    ("a", "b", "c", "d"),
    (rbt.choice(["x", "y", "z"]), rbt.randint(0, 4), rbt.randint(0, 3), rbt.randint(0, 3)),
    conditions=(("b", OneOf("a", (0.0, 1.0))), ("c", Compare("b", ">", 1.0))),
    forbidden=(Relation("c", "==", "d"), BooleanExpression("and", (Compare("a", "==", 2.0), Compare("d", "==", 0.0)))),
)
FINITE = {
    "pairs": PAIRS,
    "constrained": Space.of({"a": rbt.randint(0, 9), "b": rbt.randint(0, 9), "k": rbt.choice(["x", "y"])}).constrained(
        ["a < b", "(a + b) % 3 == 0 or k == 'y'"]
    ),
    "branching": BRANCHING,
    "one value": Space.of({"n": rbt.randint(0, 15), "only": rbt.choice(["this"]), "fee": 5}),
    "one config": Space.of({"a": rbt.choice(["x"]), "b": rbt.randint(3, 4)}),
}
MIXED = Space(
    ("n", "lr", "shift", "steps", "kind", "width"),
    (
        rbt.lograndint(1, 900),
        rbt.loguniform(1e-12, 1.0),
        rbt.normal(0.0, 1.0),
        rbt.quniform(0.1, 0.9, 0.1),
        rbt.choice([None, "a", (1, 2)]),
        rbt.uniform(-5, 5),
    ),
    conditions=(("width", Compare("kind", "!=", 0.0)),),
    forbidden=(BooleanExpression("and", (Compare("steps", ">", 0.5), Compare("kind", "==", 1.0))),),
)
SPACES = {**FINITE, "mixed": MIXED}

each = pytest.mark.parametrize("make", SAMPLERS.values(), ids=SAMPLERS)


SLOW = {("optuna", "branching"), *(("hpbandster", name) for name in FINITE if name != "one config")}
"""Where clauses or constraints exclude configs, and where few are left, these take seconds."""


def each_in(spaces):
    """Each sampler in each of these spaces."""
    return pytest.mark.parametrize(
        ("make", "space"),
        [
            pytest.param(
                make,
                space,
                id=f"{space_name}-{name}",
                marks=[pytest.mark.slow] * ((name, space_name) in SLOW),
            )
            for space_name, space in spaces.items()
            for name, make in SAMPLERS.items()
        ],
    )


def loss_of(space, point):
    """A loss that prefers low levels, and fails on some points."""
    level = float(np.nansum(space.to_unit(point[None])))
    return math.nan if int(level * 1000) % 7 == 0 else level


def play(sampler, space, n, n_open=4):
    """Points that are sampled while some are pending, learned from at two fidelities."""
    points, pending = [], []
    while len(points) < n or pending:
        while len(pending) < n_open and len(points) < n and (point := sampler.sample()) is not None:
            pending.append(point)
            points.append(point)
        if not pending:
            break
        point = pending.pop(0)
        sampler.learn(point, 0.25, loss_of(space, point))
        if len(points) % 3 == 0:
            sampler.learn(point, 1.0, loss_of(space, point))
    return points


@each_in(SPACES)
def test_points_are_allowed_canonical_and_new(make, space):
    points = np.array(play(make(space), space, 30))
    assert points.dtype == np.float64
    assert space.allowed(points).all()
    np.testing.assert_array_equal(space.canonical(points), points)
    np.testing.assert_array_equal(np.isnan(points), ~space.active(points))
    np.testing.assert_array_equal(space.encode(space.decode(points)), points)
    assert len({point.tobytes() for point in points}) == len(points)


@each_in(FINITE)
def test_a_finite_space_is_used_up_and_then_there_is_none(make, space):
    sampler = make(space)
    points = play(sampler, space, 10**4)
    assert len({point.tobytes() for point in points}) == len(points) == space.size
    assert sampler.sample() is None
    assert sampler.sample() is None


@each_in(SPACES)
def test_the_same_events_give_the_same_points(make, space):
    first, second = (play(make(space, seed=3), space, 24) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@each
def test_numbers_may_be_numpys(make):
    points = []
    for number in (float, np.float64):
        sampler = make(MIXED, seed=1)
        for _ in range(16):
            points.append(sampler.sample())
            sampler.learn(points[-1], number(1.0), number(loss_of(MIXED, points[-1])))
    np.testing.assert_array_equal(points[:16], points[16:])


@each
def test_seeds_differ(make):
    assert len({np.array(play(make(MIXED, seed=seed), MIXED, 3)).tobytes() for seed in range(5)}) == 5


@each
def test_numpys_global_random_state_is_left_alone_and_does_not_matter(make):
    np.random.seed(1)
    before = np.random.get_state()[1].copy()
    first = play(make(MIXED), MIXED, 18)
    np.testing.assert_array_equal(np.random.get_state()[1], before)
    np.random.seed(2)
    np.testing.assert_array_equal(play(make(MIXED), MIXED, 18), first)


@each
def test_two_at_once_do_not_disturb_each_other(make):
    alone = play(make(MIXED, seed=1), MIXED, 20, n_open=1)
    sampler, other, together = make(MIXED, seed=1), make(MIXED, seed=2), []
    for _ in range(20):
        other.learn(other.sample(), 1.0, 0.5)
        together += play(sampler, MIXED, 1, n_open=1)
    assert len(alone) == len(together) == 20


@each
@pytest.mark.parametrize("fidelity", [0.25, 1.0])
def test_a_sampler_continues_if_every_trial_fails(make, fidelity):
    sampler = make(MIXED)
    for _ in range(25):
        sampler.learn(sampler.sample(), fidelity, math.nan)


@each_in(SPACES)
def test_points_of_an_earlier_study_are_learned_from_and_not_proposed(make, space):
    rng = np.random.default_rng(0)
    earlier = space.canonical(space.from_unit(rng.random((20, space.n_params))))
    earlier = earlier[space.allowed(earlier)]
    sampler = make(space)
    known = {}
    for point in earlier:
        if point.tobytes() not in known:
            sampler.learn(point, 1.0, loss_of(space, point))
        known[point.tobytes()] = point
    points = play(sampler, space, 20)
    assert not {point.tobytes() for point in points} & set(known)
    assert len(points) == 20 if space.size is None else len(points) == min(20, space.size - len(known))


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("make", "best"),
    [
        pytest.param(make, best, id=f"{best}-{name}", marks=[pytest.mark.slow] * (name == "hpbandster" and best > 0))
        for best in range(5)
        for name, make in SAMPLERS.items()
    ],
)
def test_good_configs_that_agree_in_an_option_leave_something_to_propose(make, best):
    space = Space.of({"kind": rbt.choice(["a", "b", "c", "d", "e"]), "x": rbt.uniform(0.0, 1.0)})
    sampler = make(space)
    rng = np.random.default_rng(0)
    for kind in [best] * 20 + [k for k in range(5) if k != best] * 25:
        sampler.learn(np.array([float(kind), rng.random()]), 1.0, float(kind != best))
    kinds = [int(sampler.sample()[0]) for _ in range(30)]
    assert set(kinds) <= set(range(5))

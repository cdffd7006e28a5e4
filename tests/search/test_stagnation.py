"""A model search leaves a corner that has nothing more to give."""

import numpy as np
import pytest

import rbt_ray as rbt
from rbt_ray.search.encoding import Encoding
from rbt_ray.search.model_sampler import ModelSampler, StagnationRule
from rbt_ray.search.parzen_model import ParzenModel
from rbt_ray.search.random_draws import SobolSearch
from rbt_ray.study.space import Space

LATTICE = Space.of({"x": rbt.randint(0, 200), "y": rbt.randint(0, 200)})


@pytest.mark.parametrize("best_at", [1, 20, 50, 51, 300])
def test_a_search_stagnates_after_as_many_results_as_its_best_took_and_at_least_fifty(best_at):
    rule = StagnationRule()
    assert not any(rule.stagnates_after(float(best_at - k)) for k in range(best_at))
    waits = [rule.stagnates_after(1.0) for _ in range(max(50, best_at))]
    assert waits == [False] * (len(waits) - 1) + [True]


def test_a_search_that_improves_does_not_stagnate_and_one_that_fails_does():
    getting_better, failing = StagnationRule(), StagnationRule()
    assert not any(getting_better.stagnates_after(1 / (k // 40 + 1)) for k in range(2000))
    assert [failing.stagnates_after(np.inf) for _ in range(50)] == [False] * 49 + [True]


def two_corners(point):
    """A broad corner of depth 1 and one of depth 2 that has a tenth of its area; their ground is a little rough."""
    x, y = point
    rough = 0.05 * ((7 * x + 13 * y) % 5) / 5
    broad = 1 - np.hypot(x - 60, y - 60) / 80
    narrow = 2 - np.hypot(x - 170, y - 165) / 12
    return rough - max(broad, narrow, 0.0)


def sampler_of(seed, *, count_pending, **options):
    levels = Encoding(LATTICE, ordered=False)
    return ModelSampler(
        LATTICE, levels, ParzenModel(levels), SobolSearch(LATTICE, seed=seed),
        seed=seed, random_fraction=0.0, count_pending=count_pending, keep_lower=False, **options,
    )  # fmt: skip


def best_of(seed, n, **options):
    sampler = sampler_of(seed, count_pending=True, **options)
    seen = {}
    for _ in range(n):
        point = sampler.sample()
        assert point.tobytes() not in seen
        seen[point.tobytes()] = two_corners(point)
        sampler.learn(point, 1.0, seen[point.tobytes()])
    return min(seen.values())


@pytest.mark.slow  # twenty searches
def test_a_better_corner_is_found_after_a_good_one():
    found = {again: sum(best_of(seed, 400, restarts=again) < -1.5 for seed in range(10)) for again in (True, False)}
    assert found[True] > 2 * found[False]


def test_late_results_do_not_undo_a_restart():
    sampler = sampler_of(1, count_pending=False, restarts=True)
    late = [sampler.sample() for _ in range(30)]
    for k in range(51):  # none is better than the first
        sampler.learn(sampler.sample(), 1.0, float(k > 0))
    for point in late:
        sampler.learn(point, 1.0, -1.0)
    assert sampler.n_restarts == 1
    # no model: what comes is the rest of the sequence
    others = SobolSearch(LATTICE, seed=1).ask(200).points.tolist()
    assert all(sampler.sample().tolist() in others for _ in range(20))


def test_what_an_earlier_study_found_is_kept_and_has_to_be_beaten():
    sampler = sampler_of(1, count_pending=True, restarts=True)
    rng = np.random.default_rng(3)
    for x, y in {(int(x), int(y)) for x, y in rng.integers(30, 200, (200, 2))}:  # for long without a better one
        sampler.learn(np.array([x, y], dtype=float), 1.0, float(np.hypot(x - 60, y - 60)))
    sampler.learn(np.array([60.0, 60.0]), 1.0, -1.0)
    assert sampler.n_restarts == 0
    first = np.array([sampler.sample() for _ in range(40)])
    assert np.median(np.hypot(*(first - 60).T)) < 25
    for point in first:
        sampler.learn(point, 1.0, 0.0)
    more = [sampler.sample() for _ in range(10)]
    for point in more:
        sampler.learn(point, 1.0, 0.0)
    assert sampler.n_restarts == 1

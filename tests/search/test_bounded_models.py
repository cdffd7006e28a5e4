"""The cost of a proposal does not grow with the results of a study, and what bounds it changes no small study."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rbt_ray as rbt
from rbt_ray.pareto import fronts
from rbt_ray.search.encoding import MOST_RESULTS, Encoding, Ranking
from rbt_ray.search.front_ranking import FrontRanking
from rbt_ray.search.kernel_model import Density
from rbt_ray.search.registry import AUTO
from rbt_ray.study.conditions import Relation
from rbt_ray.study.space import Space

LINE = Space.of({"x": rbt.uniform(0.0, 1.0)})
PLANE = Space.of({"x": rbt.uniform(0.0, 1.0), "n": rbt.randint(0, 10**6), "kind": rbt.choice(["a", "b", "c"])})
MODELS = {"kde": rbt.BOHB(), "auto": AUTO}


def loss(point):
    return float(abs(point[0] - 0.3) + point[1] / 10**6 + 0.1 * point[2])


def learn(sampler, n, seed=0):
    """Adds `n` results of random configs."""
    for point in PLANE.canonical(PLANE.from_unit(np.random.default_rng(seed).random((n, 3)))):
        sampler.learn(point, 1.0, loss(point))


@pytest.fixture
def work(monkeypatch):
    """Counts the kernels that densities make and evaluate, and the results that rankings hold at the end."""
    count = {"made": 0, "evaluated": 0}
    make, evaluate = Density.__init__, Density.pdf

    def counted_make(self, data, *arguments):
        count["made"] += len(data)
        make(self, data, *arguments)

    def counted_pdf(self, points, start=0, stop=None):
        stop = len(self) if stop is None else min(stop, len(self))
        count["evaluated"] += len(points) * max(stop - start, 0)
        return evaluate(self, points, start, stop)

    monkeypatch.setattr(Density, "__init__", counted_make)
    monkeypatch.setattr(Density, "pdf", counted_pdf)
    return count


@pytest.mark.parametrize(("n_pending", "n"), [(16, 50), (1500, 300)])
@pytest.mark.parametrize("model", MODELS)
def test_a_proposal_costs_no_more_after_many_results(work, model, n_pending, n):
    """A fit has at most 256 kernels for bad configs and 128 for good ones, and a proposal at most 64 candidates."""
    sampler = MODELS[model].sampler(PLANE, 1)
    learn(sampler, 2 * MOST_RESULTS)
    pending = [sampler.sample() for _ in range(n_pending)]
    for more in (0, 10 * MOST_RESULTS):
        learn(sampler, more, seed=1)
        work.update(made=0, evaluated=0)
        for _ in range(n):
            point = pending.pop(0)
            sampler.learn(point, 1.0, loss(point))
            pending.append(sampler.sample())
        assert work["made"] > 0
        assert work["made"] <= n * (256 + 128)
        assert 0 < work["evaluated"] <= n * 64 * (256 + 128)
        if n_pending > 1000:  # a fit serves 24 proposals, each the best of 16 candidates
            assert work["made"] <= (1 + n // 20) * (256 + 128)
            assert work["evaluated"] <= (1 + n // 20) * 24 * 16 * (256 + 128)


def test_a_proposal_costs_no_more_after_the_best_region_is_exhausted(work):
    """The model finds no new config near the best ones, so that other configs are drawn."""
    space = Space.of({"x": rbt.randint(0, 1000), "y": rbt.randint(0, 1000)})
    sampler = rbt.BOHB(random_fraction=0.0).sampler(space, 1)
    near = [np.array([x, y], float) for x in range(400, 450) for y in range(400, 450)]
    for point in near:
        sampler.learn(point, 1.0, float(np.hypot(*(point - 425))))
    pending = [sampler.sample() for _ in range(1500)]
    work.update(made=0, evaluated=0)
    fallbacks = sampler.fallbacks
    for _ in range(240):
        sampler.learn(pending.pop(0), 1.0, 500.0)
        pending.append(sampler.sample())
    assert sampler.fallbacks > fallbacks + 20
    assert work["evaluated"] <= (1 + 240 // 20) * 24 * 16 * (256 + 128)


@pytest.mark.parametrize("model", MODELS)
def test_every_result_counts_in_a_small_search(work, model):
    sampler = MODELS[model].sampler(PLANE, 2)
    learn(sampler, MOST_RESULTS - 40)
    while not work["made"]:
        sampler.sample()
    assert work["made"] >= MOST_RESULTS - 41  # the share of the bad configs is rounded down


@pytest.mark.parametrize("n_pending", [8, 3000])
def test_a_large_search_restarts_after_the_results_of_pending_configs(n_pending):
    """What is proposed after a result arrives only when those of all pending configs have."""
    sampler = AUTO.sampler(PLANE, 1)
    learn(sampler, MOST_RESULTS)
    pending = [sampler.sample() for _ in range(n_pending)]
    n_results = 0
    while not sampler.n_restarts:
        sampler.learn(pending.pop(0), 1.0, 10.0)
        pending.append(sampler.sample())
        n_results += 1
    assert n_results == max(50, 2 * (n_pending - 1))


@settings(max_examples=25)
@given(
    st.integers(1, 300),
    st.integers(1, 1000),
    st.lists(st.integers(0, 10**9), max_size=8),
    st.integers(0, 2**32),
)
def test_a_ranking_keeps_the_best_and_some_of_the_others(most, n, reads, seed):
    rng = np.random.default_rng(seed)
    losses = rng.integers(0, 1 + n // 3, n).astype(float)
    losses[rng.random(n) < 0.1] = np.inf
    points, reads = rng.random((n, 1)), {read % n for read in reads}
    ranking = Ranking(Encoding(LINE, ordered=False), most)
    for row in range(n):
        ranking.add(points[row], float(losses[row]))
        if row in reads:
            assert len(ranking) == len(ranking.levels) == len(ranking.losses) <= most
    order = np.argsort(losses, kind="stable")
    whole = len(order) if n <= most else most // 4
    np.testing.assert_array_equal(ranking.levels[:whole, 0], points[order[:whole], 0])
    np.testing.assert_array_equal(ranking.losses[:whole], losses[order[:whole]])
    assert (ranking.losses[1:] >= ranking.losses[:-1]).all()
    assert set(ranking.levels[:, 0]) <= set(points[:, 0])
    assert len(set(ranking.levels[:, 0])) == len(ranking) >= min(n, most // 2)
    assert ranking.n_added == n
    assert ranking.n_completed == np.isfinite(losses).sum()


@pytest.mark.parametrize("n", [MOST_RESULTS, 3 * MOST_RESULTS])
def test_a_ranking_by_several_metrics_keeps_its_front(n):
    rng = np.random.default_rng(3)
    points, losses = rng.random((n, 1)), rng.random((n, 2))
    ranking = FrontRanking(Encoding(LINE, ordered=False), MOST_RESULTS)
    for row, (point, both) in enumerate(zip(points, losses.tolist(), strict=True)):
        ranking.add(point, tuple(both) if row % 7 else np.inf)
        if row % 500 == 0:
            assert len(ranking.levels) == len(ranking)
    completed = np.arange(n) % 7 > 0
    front = points[completed][fronts(losses[completed], 1) == 0, 0]
    assert set(ranking.levels[: len(front), 0]) == set(front)
    assert MOST_RESULTS // 2 <= len(ranking.levels) == len(ranking.losses) <= MOST_RESULTS
    assert (ranking.n_added, ranking.n_completed) == (n, completed.sum())


HALF = Space(
    ("fast", "slow"), (rbt.randint(0, 80), rbt.randint(0, 80)), forbidden=(Relation("fast", ">=", "slow"),)
)  # 3,160 of 6,400 configs are allowed


@pytest.mark.parametrize("model", MODELS)
@settings(max_examples=1)
@given(seed=st.integers(0, 2**32), n_open=st.integers(1100, 1600))
def test_blocks_propose_every_allowed_config_once(model, seed, n_open):
    """With so many pending, proposals come in blocks until the space is exhausted."""
    courses = []
    for _ in range(2):
        sampler, pending, points = MODELS[model].sampler(HALF, seed), [], []
        while (point := sampler.sample()) is not None:
            pending.append(point)
            points.append(point.tobytes())
            if len(pending) >= n_open:
                oldest = pending.pop(0)
                sampler.learn(oldest, 1.0, float(np.hypot(oldest[0] - 30, oldest[1] - 60)))
        courses.append(points)
    assert courses[0] == courses[1]
    assert len(courses[0]) == len(set(courses[0])) == 80 * 79 // 2
    assert HALF.allowed(np.frombuffer(b"".join(courses[0])).reshape(-1, 2)).all()


@pytest.mark.parametrize("model", MODELS)
def test_blocks_propose_configs_that_are_better_than_random_ones(model):
    sampler = MODELS[model].sampler(PLANE, 4)
    learn(sampler, MOST_RESULTS)
    proposed = np.array([sampler.sample() for _ in range(2 * MOST_RESULTS)])[MOST_RESULTS:]
    random = PLANE.canonical(PLANE.from_unit(np.random.default_rng(9).random((2000, 3))))
    better = np.quantile([loss(point) for point in random], 0.05)
    assert np.mean([loss(point) < better for point in proposed]) > 0.4

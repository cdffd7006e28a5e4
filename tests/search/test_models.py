"""What models are made of: levels, rankings, imputation; and what they prefer."""

from statistics import NormalDist

import numpy as np
import pytest

import rbt_ray as rbt
from rbt_ray.search.encoding import Encoding, Ranking
from rbt_ray.search.kernel_model import Density, KernelModel, imputed, least_ratio, within_unit
from rbt_ray.search.parzen_model import ParzenModel
from rbt_ray.study.conditions import Compare
from rbt_ray.study.domains import Choice
from rbt_ray.study.space import Space

SPACE = Space(
    ("n", "kind", "size", "one", "rank", "lr"),
    (
        rbt.randint(5, 25),
        rbt.choice(["a", "b", "c"]),
        rbt.choice([1, 2, 4, 8]),
        rbt.choice(["only"]),
        Choice(("low", "mid", "high"), word="ordinal"),
        rbt.loguniform(1e-3, 1.0),
    ),
)


@pytest.mark.parametrize(("ordered", "kinds"), [(False, "cuucc"), (True, "cuccc")])
def test_levels_and_back(ordered, kinds):
    levels = Encoding(SPACE, ordered=ordered)
    assert levels.kinds == kinds
    assert levels.n_params == 5
    points = SPACE.canonical(SPACE.from_unit(np.random.default_rng(0).random((200, 6))))
    seen = levels.encode(points)
    numbers = levels.n_options == 0
    assert (seen[:, numbers] >= 0).all()
    assert (seen[:, numbers] < 1).all()
    np.testing.assert_allclose(levels.decode(seen), points, rtol=1e-12)


def test_a_ranking_is_a_stable_sort():
    space = Space.of({"x": rbt.uniform(0.0, 1.0)})
    ranking = Ranking(Encoding(space, ordered=False))
    rng = np.random.default_rng(0)
    points, losses = rng.random((300, 1)), rng.integers(0, 20, 300).astype(float)
    losses[rng.random(300) < 0.1] = np.inf
    for k, (point, loss) in enumerate(zip(points, losses.tolist(), strict=True)):
        ranking.add(point, loss)
        if k % 37 == 0:
            assert len(ranking.losses) == k + 1
    order = np.argsort(losses, kind="stable")
    np.testing.assert_array_equal(ranking.levels[:, 0], points[order, 0])
    np.testing.assert_array_equal(ranking.losses, losses[order])
    assert ranking.n_completed == np.isfinite(losses).sum()


def test_gaps_are_filled_from_rows_that_have_the_value():
    rng = np.random.default_rng(2)
    levels = rng.random((50, 4))
    levels[:, 3] = rng.integers(3, size=50)
    levels[::2, 0] = np.nan
    levels[::3, 1:3] = np.nan
    filled = imputed(levels, np.array([0, 0, 0, 3]), rng)
    given = ~np.isnan(levels)
    np.testing.assert_array_equal(filled[given], levels[given])
    assert np.isfinite(filled).all()
    for column in range(4):
        assert set(filled[:, column]) <= set(levels[given[:, column], column])
    whole = {tuple(row) for row in levels[given[:, 1], 1:3]}
    assert {tuple(row) for row in filled[3::6, 1:3]} <= whole  # both gaps of a row from one donor


def test_gaps_without_a_donor_are_drawn():
    levels = np.full((400, 2), np.nan)
    filled = imputed(levels, np.array([0, 3]), np.random.default_rng(0))
    assert 0.4 < filled[:, 0].mean() < 0.6
    assert set(filled[:, 1]) == {0.0, 1.0, 2.0}


def test_draws_are_those_of_cut_normal_distributions():
    from scipy.stats import kstest, truncnorm

    for mean, sd in ((0.02, 0.1), (0.5, 0.05), (0.9, 2.0)):
        draws = within_unit(np.full((4000, 1), mean), np.array([sd]), np.random.default_rng(1))[:, 0]
        assert kstest(draws, truncnorm(-mean / sd, (1 - mean) / sd, mean, sd).cdf).pvalue > 0.01


@pytest.mark.parametrize("n", [100, 1000])
def test_ruling_points_out_early_changes_no_choice(n):
    rng = np.random.default_rng(n)
    for _ in range(50):
        density = Density(rng.random((n, 3)), "ccc", np.full(3, 0.1), np.zeros(3, int))
        points, divisors = rng.random((64, 3)), rng.random(64)
        expected = int(np.argmin(np.maximum(density.pdf(points) + 0.1, 0.2) / divisors))
        assert least_ratio(density, points, divisors, least=0.2, more=0.1) == expected


@pytest.mark.parametrize("kind", [KernelModel, ParzenModel])
def test_failed_configs_are_avoided_and_never_good(kind):
    """A quarter of the square fails; of the rest, near (0.8, 0.8) is best."""
    space = Space.of({"x": rbt.uniform(0.0, 1.0), "y": rbt.uniform(0.0, 1.0)})
    levels = Encoding(space, ordered=False)
    model, ranking, rng = kind(levels), Ranking(levels), np.random.default_rng(0)
    for point in rng.random((80, 2)):
        failed = (point > 0.5).all()
        ranking.add(point, np.inf if failed else float(((point - 0.8) ** 2).sum()))
    assert model.is_ready(ranking)
    model.fit(ranking, np.empty((0, 2)), rng)
    picked = np.array([(candidates := model.draw(rng))[model.best(candidates)] for _ in range(200)])
    assert (picked > 0.5).all(axis=1).mean() < 0.25


BRANCHES = Space(
    ("x", "kind", "y", "z"),
    (rbt.uniform(0.0, 1.0), rbt.choice(["one", "two"]), rbt.uniform(0.0, 1.0), rbt.uniform(0.0, 1.0)),
    conditions=tuple((name, Compare("kind", "==", float(name != "x"))) for name in "xyz"),
)


def of_branches(n, rng):
    points = BRANCHES.canonical(BRANCHES.from_unit(rng.random((n, 4))))
    distance = np.abs(points - 0.3)
    return points, np.where(points[:, 1] == 0, distance[:, 0], distance[:, 2:].mean(axis=1)) + 0.05 * rng.random(n)


def mixture(data, weights, n_options):
    """The density about data, one parameter and one config after the other."""
    n, n_params = data.shape
    reference = 1.06 * data.std(axis=0) * n ** (-1 / (4 + n_params)) if n else np.zeros(n_params)
    widths = np.clip(reference, 1 / min(n + 2, 100), 1.0)

    def density(point):
        total = 1.0 if not n_options else 1 / n_options
        for row, weight in zip(data, weights, strict=True):
            kernel = weight
            for value, mean, width in zip(point, row, widths, strict=True):
                if n_options:
                    other = 1 / (n + 1 + n_options)
                    kernel *= 1 - (n_options - 1) * other if value == mean else other
                else:
                    about = NormalDist(mean, width)
                    kernel *= about.pdf(value) / (about.cdf(1) - about.cdf(0))
            total += kernel
        return total / (sum(weights) + 1)

    return density


@pytest.mark.parametrize("seed", [1, 5])  # with 1 no good config has y and z
def test_groups_of_parameters_have_densities_of_their_own(seed):
    rng = np.random.default_rng(seed)
    levels = Encoding(BRANCHES, ordered=False)
    model, ranking = ParzenModel(levels), Ranking(levels)
    points, losses = of_branches(60, rng)
    for point, loss in zip(points, losses.tolist(), strict=True):
        ranking.add(point, loss)
    model.fit(ranking, np.empty((0, 4)), rng)
    order = np.argsort(losses)
    points, losses = points[order], losses[order]
    gain = losses[6] - losses[:6]  # the best tenth
    weights = np.maximum(gain / gain.mean(), 1e-3)
    densities = {}
    for columns, n_options in (((0,), 0), ((1,), 2), ((2, 3), 0)):
        has = ~np.isnan(points[:, columns[0]])
        good, bad = has[:6], has[6:]
        densities[columns] = (
            mixture(points[:6][good][:, columns], weights[good], n_options),
            mixture(points[6:][bad][:, columns], np.ones(bad.sum()), n_options),
        )
    for _ in range(20):
        candidates = model.draw(rng)[:12]
        ratios = np.ones(12)
        for columns, (good, bad) in densities.items():
            each = np.array([bad(row[list(columns)]) / good(row[list(columns)]) for row in candidates])
            absent = candidates[:, 1] == (0 if columns == (2, 3) else 1 if columns == (0,) else -1)
            ratios *= np.where(absent, each.min(), each)
        assert model.best(candidates) == int(np.argmin(ratios))


IDLE = [f"idle{k}" for k in range(6)]
WITH_IDLE = Space(
    ("x", "kind", *IDLE),
    (rbt.uniform(0.0, 1.0), rbt.choice(["one", "two"]), *(rbt.uniform(0.0, 1.0) for _ in IDLE)),
    conditions=tuple((name, Compare("kind", "==", 1.0)) for name in IDLE),
)


def test_a_branch_does_not_win_by_having_more_parameters():
    """Those of the second have no effect, and it is the worse one."""
    shares = []
    for seed in range(6):
        sampler, rng = rbt.BOHB(model="tpe", random_fraction=0.0).sampler(WITH_IDLE, seed), np.random.default_rng(seed)
        second = []
        for _ in range(100):
            point = sampler.sample()
            second.append(point[1] == 1)
            sampler.learn(point, 1.0, float((point[0] - 0.4) ** 2 + 0.05 * second[-1] + 0.05 * rng.random()))
        shares.append(np.mean(second[40:]))
    assert np.mean(shares) < 0.2


@pytest.mark.parametrize("kind", [KernelModel, ParzenModel])
def test_nothing_is_modelled_where_nothing_completed(kind):
    levels = Encoding(SPACE, ordered=False)
    ranking = Ranking(levels)
    for point in SPACE.from_unit(np.random.default_rng(0).random((40, 6))):
        ranking.add(point, np.inf)
    assert not kind(levels).is_ready(ranking)

"""The quadratic fit around the best config: where it proposes, and what it leaves alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rbt_ray as rbt
from rbt_ray.search.constraints import rank_as_loss
from rbt_ray.search.encoding import Encoding, Ranking
from rbt_ray.search.local_quadratic import LocalQuadratic
from rbt_ray.search.registry import AUTO
from rbt_ray.study.space import Space


def ranking_of(space, points, losses):
    encoding = Encoding(space, ordered=False)
    ranking = Ranking(encoding)
    for point, loss in zip(points, losses, strict=True):
        ranking.add(point, float(loss))
    return encoding, ranking


def quadratic(points, centre, rotation):
    return (((points - centre) @ rotation) ** 2 * np.linspace(1, 5, len(centre))).sum(axis=1)


def drawn(space, points, losses, pending=None, seed=0):
    encoding, ranking = ranking_of(space, points, losses)
    waiting = np.empty((0, encoding.n_params)) if pending is None else encoding.encode(pending)
    return LocalQuadratic(encoding).draw(ranking, waiting, np.random.default_rng(seed))


@pytest.mark.parametrize("n_numbers", [1, 2, 3, 6])
def test_the_first_candidate_is_close_to_the_minimum_of_a_quadratic_loss(n_numbers):
    """Ridge, the reach of the fit and the least distance between configs keep a few from it."""
    space = Space.of({f"x{i}": rbt.uniform(0.0, 1.0) for i in range(n_numbers)})
    ratios = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        rotation, _ = np.linalg.qr(rng.normal(size=(n_numbers, n_numbers)))
        centre = rng.uniform(0.45, 0.55, n_numbers)
        points = rng.uniform(0.3, 0.7, (3 * (n_numbers + 1) * (n_numbers + 2), n_numbers))
        losses = quadratic(points, centre, rotation)
        first = drawn(space, points, losses)[:1]
        ratios.append(quadratic(first, centre, rotation)[0] / np.median(losses))
    assert np.quantile(ratios, 0.9) < 0.01


@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(0, 60),
    n_failed=st.integers(0, 5),
    n_infeasible=st.integers(0, 5),
    n_pending=st.integers(0, 5),
    same=st.booleans(),
)
def test_candidates_are_valid_whatever_the_results(seed, n, n_failed, n_infeasible, n_pending, same):
    """Finite levels in the space, with the best config's options, away from everything known."""
    rng = np.random.default_rng(seed)
    space = Space.of(
        {"x": rbt.uniform(-3, 5), "n": rbt.randint(0, 40), "kind": rbt.choice(["a", "b"]), "one": rbt.choice([7])}
    )
    total = n + n_failed + n_infeasible
    points = space.from_unit(rng.random((total + n_pending, space.n_params)))
    losses = np.zeros(n) if same else rng.normal(size=n) * 10.0 ** rng.integers(-200, 200)
    losses = np.concatenate([losses, np.full(n_failed, np.inf), [rank_as_loss(v) for v in rng.random(n_infeasible)]])
    encoding, ranking = ranking_of(space, points[:total], losses)
    pending = encoding.encode(points[total:])
    levels = LocalQuadratic(encoding).draw(ranking, pending, rng)
    assert not len(levels) or (n >= 6 and not same)
    if len(levels):
        best = ranking.levels[0]
        numbers = encoding.n_options == 0
        assert ((levels[:, numbers] >= 0) & (levels[:, numbers] < 1)).all()
        assert (levels[:, ~numbers] == best[~numbers]).all()
        known = np.concatenate([ranking.levels[:n], pending])
        gaps = np.abs(levels[:, None, numbers] - known[None][:, :, numbers]).max(axis=2)
        assert (gaps > 0).all()


def test_parameters_that_the_best_config_lacks_stay_absent():
    import ConfigSpace as CS

    given_space = CS.ConfigurationSpace(seed=1)
    kind, x, y = CS.Categorical("kind", ["a", "b"]), CS.Float("x", (0.0, 1.0)), CS.Float("y", (0.0, 1.0))
    given_space.add([kind, x, y])
    given_space.add(CS.EqualsCondition(y, kind, "b"))
    space = Space.of(given_space)
    points = space.canonical(space.from_unit(np.random.default_rng(0).random((80, space.n_params))))
    of_a = np.isnan(points).any(axis=1)
    found = drawn(space, points, (points[:, space.names.index("x")] - 0.4) ** 2 + ~of_a)
    assert len(found)
    assert np.isnan(found).sum(axis=1).tolist() == [1] * len(found)


def test_losses_that_are_not_smooth_are_left_to_the_other_model():
    """Of losses that are noise, fewer than one fit in five is used; of smooth ones with a little noise, nine in ten."""
    space = Space.of({"x": rbt.uniform(0.0, 1.0), "y": rbt.uniform(0.0, 1.0)})
    n_used = {"noise": 0, "smooth": 0}
    for seed in range(60):
        rng = np.random.default_rng(seed)
        points = rng.random((40, 2))
        noise = rng.normal(size=40)
        n_used["noise"] += bool(len(drawn(space, points, noise)))
        n_used["smooth"] += bool(len(drawn(space, points, 100 * ((points - 0.5) ** 2).sum(axis=1) + 0.05 * noise)))
    assert n_used["noise"] < 12
    assert n_used["smooth"] > 54


def test_results_with_other_options_do_not_change_the_fit():
    space = Space.of({"kind": rbt.choice(["a", "b"]), "x": rbt.uniform(0.0, 1.0)})
    points = space.from_unit(np.random.default_rng(2).random((60, 2)))
    kind, x = points.T
    losses = np.where(kind == 0, (x - 0.3) ** 2, 0.001 + 50 * (x - 0.32) ** 2 + x)
    of_best = kind == kind[np.argmin(losses)]
    assert 20 < of_best.sum() < 40
    assert (drawn(space, points, losses) == drawn(space, points[of_best], losses[of_best])).all()


def test_a_candidate_keeps_its_distance_from_a_pending_config():
    space = Space.of({"x": rbt.uniform(0.0, 1.0), "y": rbt.uniform(0.0, 1.0)})
    points = np.random.default_rng(0).uniform(0.3, 0.7, (40, 2))
    losses = ((points - 0.5) ** 2).sum(axis=1)
    first = drawn(space, points, losses)[:1]
    assert np.abs(first - 0.5).max() < 1e-3
    again = drawn(space, points, losses, pending=first)
    assert 1e-3 < np.abs(again[0] - first[0]).max() < 0.1


@pytest.mark.parametrize("n_params", [1, 2, 5])
def test_auto_closes_on_the_optimum_of_a_smooth_function(n_params):
    """With the fit it comes at least ten times as close in the median of seven searches as without."""
    space = Space.of({f"x{i}": rbt.uniform(-5, 5) for i in range(n_params)})
    centre = np.linspace(-1.3, 2.1, n_params)

    def best(settings, seed):
        sampler, losses = settings.sampler(space, seed), []
        for _ in range(90):
            point = sampler.sample()
            losses.append(((point - centre) ** 2 * np.arange(1, n_params + 1)).sum())
            sampler.learn(point, 1.0, losses[-1])
        return min(losses)

    with_fit = np.median([best(AUTO, seed) for seed in range(7)])
    without = np.median([best(rbt.BOHB(model="tpe"), seed) for seed in range(7)])
    assert with_fit < without / 10


def test_at_most_one_of_its_configs_is_pending():
    """The next one would be much the same: while a result is awaited, the other model proposes."""
    space = Space.of({"x": rbt.uniform(-5, 5), "y": rbt.uniform(-5, 5)})
    sampler = rbt.BOHB(model="tpe", local_fraction=1.0, random_fraction=0.0).sampler(space, 3)
    for _ in range(40):
        point = sampler.sample()
        sampler.learn(point, 1.0, float((point**2).sum()))
    waiting = [sampler.sample() for _ in range(8)]
    distances = np.sort([np.abs(point).max() for point in waiting])
    assert distances[0] < 0.01
    assert distances[1] > 2 * distances[0]
    assert len({point.tobytes() for point in waiting}) == 8

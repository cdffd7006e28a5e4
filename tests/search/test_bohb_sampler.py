"""The two engines propose the same; what the options do."""

import multiprocessing

import numpy as np
import pytest
from scipy.stats import chi2_contingency, ks_2samp

import rbt_ray as rbt
from rbt_ray.errors import SettingError
from rbt_ray.search.bohb import BOHB
from rbt_ray.search.kernel_model import normal_reference
from rbt_ray.study.conditions import Compare
from rbt_ray.study.space import Space

MIXED = Space.of(
    {
        "lr": rbt.loguniform(1e-4, 1.0),
        "n": rbt.lograndint(1, 13),  # at levels: of ConfigSpace's own integers the end ones get half the width
        "kind": rbt.choice(["a", "b", "c"]),
    }
)
OURS, THEIRS = 20_000, 2858
"""Numbers of draws, few of hpbandster's, which are slow; the tests have the power of two samples of 5,000."""
BLOCK = 1000
"""Draws of one of our samplers; from 2,048 configs on, a bound on the cost of a proposal changes the draws."""
SEED = 11


def history():
    rng = np.random.default_rng(SEED)
    points = MIXED.from_unit(rng.random((60, 3)))
    losses = ((MIXED.to_unit(points)[:, :2] - 0.4) ** 2).sum(axis=1) + 0.02 * points[:, 2] + 0.05 * rng.random(60)
    return zip(points, losses.tolist(), strict=True)


def proposals(task):
    """Points that an engine proposes after that history, and how often it fell back."""
    engine, fraction, n, seed = task
    options = {"count_pending": False} if engine == "native" else {}
    sampler = BOHB(engine=engine, random_fraction=fraction, **options).sampler(MIXED, seed)
    for point, loss in history():
        sampler.learn(point, 1.0, loss)
    return np.array([sampler.sample() for _ in range(n)]), sampler.fallbacks


def test_in_that_history_the_engines_mean_the_same():
    """Where they differ on purpose: an option that is not there, and a choice's bandwidth beyond that of even draws."""
    points, losses = map(np.array, zip(*history(), strict=True))
    kinds = points[np.argsort(losses), 2]
    for group in (kinds[:9], kinds[9:]):  # the best 15 %
        assert set(group) == {0.0, 1.0, 2.0}
    levels = MIXED.to_unit(points[np.argsort(losses)[:9]])
    levels[:, 2] = kinds[:9]
    assert normal_reference(levels)[2] < 2 / 3


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("fraction", [0.0, 1.0], ids=["model", "random"])
def test_the_engines_are_indistinguishable(fraction):
    blocks = [proposals(("native", fraction, BLOCK, 5000 + block)) for block in range(OURS // BLOCK)]
    ours = np.concatenate([points for points, _ in blocks])
    assert sum(fallbacks for _, fallbacks in blocks) == 0
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        halves = pool.map(proposals, [("hpbandster", fraction, THEIRS // 2, seed) for seed in (6, 7)])
    theirs = np.concatenate([points for points, _ in halves])
    assert sum(fallbacks for _, fallbacks in halves) == 0
    assert (len(ours), len(theirs)) == (OURS, THEIRS)
    # three tests of equal distributions: one time in a hundred one is below 0.0033 by chance
    assert ks_2samp(ours[:, 0], theirs[:, 0]).pvalue > 0.0033
    for column in (1, 2):
        counts = [np.bincount(points[:, column].astype(int), minlength=13) for points in (ours, theirs)]
        seen = np.array(counts)[:, np.sum(counts, axis=0) > 5]
        assert chi2_contingency(seen).pvalue > 0.0033


def test_a_third_is_drawn_without_the_model():
    x = np.concatenate([proposals(("native", None, 400, seed))[0][:, 0] for seed in range(5)])
    random = proposals(("native", 1.0, 2000, 9))[0][:, 0]
    model = proposals(("native", 0.0, 2000, 10))[0][:, 0]
    low, high = np.quantile(model, [0.25, 0.75])
    share = [np.mean((low < values) & (values < high)) for values in (x, random, model)]
    # the share of random draws, by where draws fall; four standard errors of 2,000 draws
    assert (share[0] - share[2]) / (share[1] - share[2]) == pytest.approx(1 / 3, abs=4 * 0.5 / 2000**0.5 / 0.25)


def told(sampler, space, n, fidelity=1.0, seed=0):
    for u in np.random.default_rng(seed).random((n, space.n_params)):
        point = space.canonical(space.from_unit(u[None]))[0]
        sampler.learn(point, fidelity, float(((u - 0.5) ** 2).sum()))


SQUARE = Space.of({"x": rbt.uniform(0.0, 1.0), "y": rbt.uniform(0.0, 1.0)})


def spread(points):
    """The average distance to the nearest other point."""
    distance = np.linalg.norm(points[:, None] - points[None], axis=-1) + np.eye(len(points))
    return distance.min(axis=1).mean()


@pytest.mark.parametrize("model", ["kde", "tpe"])
def test_pending_configs_push_others_away(model):
    spreads = {}
    for counted in (True, False):
        found = []
        for seed in range(20):
            sampler = BOHB(model=model, random_fraction=0.0, count_pending=counted).sampler(SQUARE, seed)
            told(sampler, SQUARE, 60)
            found.append(spread(np.array([sampler.sample() for _ in range(24)])))
        spreads[counted] = np.mean(found)
    assert spreads[True] > 1.04 * spreads[False]


@pytest.mark.parametrize("engine", ["native", pytest.param("hpbandster", marks=pytest.mark.slow)])
def test_the_highest_fidelity_with_a_model_counts(engine):
    """Low fidelity says x is best at 0.1, full fidelity at 0.9."""
    sampler = BOHB(engine=engine, random_fraction=0.0).sampler(SQUARE, 0)
    for fidelity, best, n in ((0.1, 0.1, 40), (1.0, 0.9, 12)):
        for u in np.random.default_rng(3).random((n, 2)) + fidelity * 1e-9:
            sampler.learn(u, fidelity, float((u[0] - best) ** 2))
        proposed = np.array([sampler.sample() for _ in range(20)])
        assert np.median(np.abs(proposed[:, 0] - best)) < 0.25


def test_what_lower_fidelities_know_as_bad_is_avoided_where_kept():
    """The few results at full fidelity are alike; lower ones have shown that low x is bad."""
    medians = {}
    for kept in (True, False):
        sampler = BOHB(model="tpe", keep_lower=kept, count_pending=False).sampler(SQUARE, 1)
        rng = np.random.default_rng(0)
        for u in rng.random((12, 2)):
            sampler.learn(u, 1.0, float((u[1] - 0.5) ** 2))
        for u in rng.random((200, 2)) * [0.5, 1.0]:
            sampler.learn(u, 0.3, 5.0)
        medians[kept] = np.median([sampler.sample()[0] for _ in range(60)])
    assert medians[True] > 0.6 > medians[False]


def test_the_first_parameter_may_be_absent():
    """hpbandster never fills gaps in its first column, and falls back to random configs from then on."""
    space = Space(
        ("a", "b"),
        (rbt.uniform(0.0, 1.0), rbt.choice(["with", "without"])),
        conditions=(("a", Compare("b", "==", 0.0)),),
    )
    native = BOHB(random_fraction=0.0).sampler(space, 0)
    told(native, space, 60)
    points = np.array([native.sample() for _ in range(50)])
    assert native.fallbacks == 0
    assert np.nanmedian(np.abs(points[:, 0] - 0.5)) < 0.2


def test_fallbacks_of_hpbandster_are_counted():
    space = Space(
        ("a", "b"), (rbt.uniform(0.0, 1.0), rbt.uniform(0.0, 1.0)), forbidden=(Compare("a", ">", 0.5),)
    )  # fmt: skip
    sampler = BOHB(engine="hpbandster", random_fraction=0.0).sampler(space, 0)
    for k, b in enumerate(np.random.default_rng(0).random(30)):  # half of what is near the best is forbidden
        sampler.learn(np.array([0.49999 if k < 5 else 0.4 - 0.01 * k, b]), 1.0, float(k))
    for _ in range(20):
        assert sampler.sample()[0] <= 0.5
    assert sampler.fallbacks > 0


def test_numbers_as_options_may_be_ordered():
    space = Space.of({"q": rbt.choice([1, 2, 4, 8, 16, 32, 64, 128]), "x": rbt.uniform(0.0, 1.0)})
    near = {}
    for ordered in (True, False):
        sampler = BOHB(model="tpe", ordered=ordered).sampler(space, 2)
        rng = np.random.default_rng(1)
        for x in rng.random(30):  # options 3, 4 and 6 are never tried; 5 is best
            q = float(rng.choice([0, 1, 2, 5, 7]))
            sampler.learn(np.array([q, x]), 1.0, abs(q - 5))
        proposed = np.array([sampler.sample()[0] for _ in range(60)])
        near[ordered] = np.isin(proposed, (4, 6)).mean()
    assert near[True] > near[False]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"model": "gp"}, r"`model` is 'kde' or 'tpe'; got 'gp'"),
        ({"engine": "ray"}, r"`engine` is 'native' or 'hpbandster'; got 'ray'"),
        ({"random_fraction": 1.5}, r"`random_fraction` is a share from 0 to 1; got 1.5"),
        ({"engine": "hpbandster", "model": "tpe"}, r"engine='hpbandster' supports only model='kde'"),
        ({"engine": "hpbandster", "keep_lower": True}, r"engine='hpbandster' supports only model='kde'"),
    ],
)
def test_bad_options_are_refused(options, sentence):
    with pytest.raises(SettingError, match=sentence):
        BOHB(**options)

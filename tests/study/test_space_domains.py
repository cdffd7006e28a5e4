"""Each kind of domain: bounds, cells, the unit interval and back."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

import rbt_ray as rbt
from rbt_ray.study.domains import Choice
from rbt_ray.study.numeric_domains import Float, Stepped
from rbt_ray.study.primitives import domain_from_json, qlograndint, qloguniform, qnormal
from rbt_ray.study.priors import BetaPrior, NormalPrior, normal_quantile, normal_share

floats = st.floats(-1e9, 1e9)


@st.composite
def bounds(draw, numbers):
    low, high = sorted((draw(numbers), draw(numbers)))
    assume(high - low > 1e-6 * max(abs(low), abs(high), 1e-300))
    return low, high


@st.composite
def quantized(draw, word, first):
    # q in decimals, as users write it, so that its multiples are what they expect
    q = draw(st.sampled_from([0.001, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 1 / 3]))
    low = draw(st.integers(first, 500))
    return word(low * q, (low + draw(st.integers(1, 500))) * q, q)


positive = st.floats(1e-9, 1e9)
domains = st.one_of(
    st.lists(st.one_of(st.integers(), st.text(), st.booleans(), st.none()), min_size=1, max_size=30).map(rbt.choice),
    st.lists(st.floats(allow_nan=False), min_size=1, max_size=30).map(rbt.grid_search),
    bounds(floats).map(lambda b: rbt.uniform(*b)),
    bounds(positive).map(lambda b: rbt.loguniform(*b)),
    quantized(rbt.quniform, -500),
    quantized(qloguniform, 1),
    st.tuples(st.integers(-(2**49), 2**49), st.integers(1, 2**49)).map(lambda b: rbt.randint(b[0], b[0] + b[1])),
    st.tuples(st.integers(1, 2**39), st.integers(1, 2**39)).map(lambda b: rbt.lograndint(b[0], b[0] + b[1])),
    st.tuples(st.integers(-999, 999), st.integers(20, 999), st.integers(1, 20)).map(
        lambda b: rbt.qrandint(b[0], b[0] + b[1], b[2])
    ),
    st.tuples(st.integers(1, 999), st.integers(20, 999), st.integers(1, 20)).map(
        lambda b: qlograndint(b[0], b[0] + b[1], b[2])
    ),
    st.tuples(floats, st.floats(1e-3, 1e3)).map(lambda b: rbt.normal(*b)),
    st.tuples(st.floats(-10, 10), st.floats(0.5, 3), st.sampled_from([0.1, 0.5, 2.0])).map(lambda b: qnormal(*b)),
    st.tuples(st.floats(0.1, 0.9), st.floats(0.2, 2)).map(lambda p: Float(-3.0, 8.0, prior=NormalPrior(*p))),
    st.tuples(st.floats(1, 4), st.floats(1, 4)).map(lambda p: Stepped(-3, 20, prior=BetaPrior(*p))),
    st.lists(st.floats(0.1, 5), min_size=3, max_size=3).map(lambda w: Choice(("a", "b", "c"), tuple(w))),
)


@given(domains, st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=20))
def test_draws_are_values_that_encode_to_themselves(domain, levels):
    column = domain.from_unit(np.array(levels))
    assert [domain.to_column(value) for value in domain.to_python(column)] == column.tolist()


@given(domains, st.lists(st.floats(0.001, 0.999), min_size=1, max_size=20))
def test_unit_interval_and_back(domain, levels):
    column = domain.from_unit(np.array(levels))
    u = domain.to_unit(column)
    assert ((u >= 0) & (u < 1)).all()
    again = domain.from_unit(u)
    if domain.n_values is not None or domain.kind == "qnormal":
        assert again.tolist() == column.tolist()
    else:  # a few roundings, of which the logarithm's is magnified by up to log(1e18), and erfc's by the tail
        scale = max(abs(column).max(), getattr(domain, "upper", 0) - getattr(domain, "lower", 0))
        np.testing.assert_allclose(again, column, rtol=1e-11, atol=1e-12 * scale)


@given(domains)
def test_json_and_back(domain):
    again = domain_from_json(domain.to_json())
    assert again.to_json() == domain.to_json()
    u = np.linspace(0, 1, 101)[:-1]
    assert again.to_python(again.from_unit(u)) == domain.to_python(domain.from_unit(u))


@given(bounds(floats), st.floats(0, 1, exclude_max=True))
def test_uniform_stays_within_its_bounds(bound, u):
    assert bound[0] <= rbt.uniform(*bound).from_unit(np.array([u]))[0] <= bound[1]


@given(bounds(positive), st.floats(0, 1, exclude_max=True))
def test_loguniform_stays_within_its_bounds(bound, u):
    assert bound[0] <= rbt.loguniform(*bound).from_unit(np.array([u]))[0] <= bound[1]


@pytest.mark.parametrize(
    ("domain", "expected"),
    [
        (rbt.randint(5, 9), [5, 6, 7, 8]),
        (rbt.randint(-2, 1), [-2, -1, 0]),
        (rbt.qrandint(5, 42, 10), [10, 20, 30, 40]),
        (rbt.qrandint(10, 40, 10), [10, 20, 30, 40]),
        (rbt.qrandint(1, 4), [1, 2, 3]),
        (rbt.quniform(0, 1, 0.25), [0.0, 0.25, 0.5, 0.75, 1.0]),
        (rbt.quniform(0.1, 0.7, 0.1), [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]),
        (rbt.quniform(-0.3, 0.3, 0.1), [-0.3, -0.2, -0.1, 0.0, 0.1, 0.2, 0.3]),
        (rbt.choice(["b", "a", "b"]), ["b", "a"]),
        (rbt.grid_search(range(3)), [0, 1, 2]),
        (rbt.choice([True, 1, 1.0, False]), [True, 1, 1.0, False]),
    ],
)
def test_the_values_are_exactly_these(domain, expected):
    values = domain.to_python(domain.nth(np.arange(float(domain.n_values))))
    assert values == expected
    assert [type(value) for value in values] == [type(value) for value in expected]
    levels = (np.arange(1000) + 0.5) / 1000
    assert set(domain.to_python(domain.from_unit(levels))) == set(expected)


@pytest.mark.parametrize(
    "domain",
    [rbt.randint(3, 10), rbt.quniform(0, 0.6, 0.1), rbt.qrandint(10, 70, 10), rbt.choice(list("abcdefg"))],
    ids=lambda d: d.kind,
)
def test_cells_are_equally_wide(domain):
    # 7,000 midpoints of equal intervals: a seventh of them falls into each cell, whatever the rounding
    column = domain.from_unit((np.arange(7000) + 0.5) / 7000)
    assert np.unique(column, return_counts=True)[1].tolist() == [1000] * 7


def test_an_option_listed_twice_is_drawn_twice_as_often():
    column = rbt.choice(["a", "b", "a"]).from_unit((np.arange(3000) + 0.5) / 3000)
    assert np.bincount(column.astype(int)).tolist() == [2000, 1000]


def test_lograndint_draws_k_in_proportion_to_log_of_k_plus_1_over_k():
    n = 100_000
    column = rbt.lograndint(1, 9).from_unit((np.arange(n) + 0.5) / n)
    expected = np.log(np.arange(2, 10) / np.arange(1, 9)) / math.log(9)
    assert abs(np.bincount(column.astype(int))[1:] / n - expected).max() <= 1 / n  # one midpoint at each edge


# At 10,000 draws of a fixed seed a right distribution is refused with a probability of 1 %.
@pytest.mark.parametrize(
    ("domain", "distribution"),
    [
        (rbt.uniform(-2, 5), stats.uniform(-2, 7)),
        (rbt.loguniform(1e-5, 1e2), stats.loguniform(1e-5, 1e2)),
        (rbt.normal(3, 0.5), stats.norm(3, 0.5)),
        (Float(0.0, 4.0, prior=NormalPrior(0.25, 0.5)), stats.truncnorm(-0.5, 1.5, 1, 2)),
        (Float(0.0, 4.0, prior=BetaPrior(2.0, 5.0)), stats.beta(2, 5, 0, 4)),
    ],
    ids=["uniform", "loguniform", "normal", "truncated normal", "beta"],
)
def test_draws_follow_the_distribution(domain, distribution):
    draws = domain.from_unit(np.random.default_rng(11).random(10_000))
    assert stats.kstest(draws, distribution.cdf).pvalue > 0.01


@given(st.floats(1e-12, 1 - 1e-12))
def test_normal_quantile_and_share_agree_with_scipy(u):
    z = normal_quantile(np.array([u]))
    np.testing.assert_allclose(z, stats.norm.ppf(u), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(normal_share(z), u, rtol=1e-12)


@settings(max_examples=20)
@given(st.floats(1, 50), st.floats(1, 50))
def test_beta_prior_is_within_its_stated_distance_of_scipys(alpha, beta):
    x = np.linspace(0, 0.999, 300)
    assert abs(BetaPrior(alpha, beta).level(x) - stats.beta.cdf(x, alpha, beta)).max() < 1e-5


def test_nan_marks_what_is_inactive_and_stays_nan():
    column = np.array([np.nan])
    for domain in (
        rbt.choice([1, 2]),
        rbt.choice([1, 1, 2]),
        rbt.randint(1, 5),
        rbt.loguniform(1, 2),
        rbt.normal(0, 1),
    ):
        assert np.isnan(domain.to_unit(column)).all()
        assert np.isnan(domain.numbers(column)).all()


@pytest.mark.parametrize(
    ("domain", "value", "code"),
    [
        (rbt.randint(0, 5), 3.0, 3.0),
        (rbt.randint(0, 5), np.int64(3), 3.0),
        (rbt.randint(0, 5), 5, None),
        (rbt.randint(0, 5), 2.5, None),
        (rbt.randint(0, 5), True, None),
        (rbt.randint(0, 5), "3", None),
        (rbt.uniform(0, 1), math.nan, None),
        (rbt.uniform(0, 1), 1 + 1e-12, 1.0),  # what a logarithm and back may add
        (rbt.uniform(0, 1), 1.001, None),
        (rbt.quniform(0, 1, 0.1), 0.1 + 0.2, 0.3),
        (rbt.quniform(0, 1, 0.1), 0.35, None),
        (rbt.choice([1, True]), True, 1.0),
        (rbt.choice([0.5, 1]), 1.0, 1.0),
        (rbt.choice([(1, 2), [3]]), [1, 2], 0.0),
        (rbt.choice(["a"]), np.str_("a"), 0.0),
        (rbt.choice(["a"]), "b", None),
        (rbt.choice([math.nan, None]), math.nan, 0.0),
    ],
)
def test_reading_a_value(domain, value, code):
    assert domain.to_column(value) == code

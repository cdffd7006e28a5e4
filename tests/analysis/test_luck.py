"""The search-wide p-value equals its definition over all signs, and has the size and the power that it claims."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rbt_ray.analysis.luck import search_wide_p
from rbt_ray.block_sums import Benchmark, BlockSums
from rbt_ray.errors import InputError

SIX = 6


def directly(returns, benchmark, winner, n_blocks=SIX):
    """The share of sign flips of recentred residual blocks whose highest statistic reaches the winner's, from the returns."""
    n_bars = len(returns)
    blocks = np.array_split(np.arange(n_bars), n_blocks)
    design = np.column_stack([np.ones(n_bars), benchmark]) if benchmark.any() else np.ones((n_bars, 1))
    coefficients = np.linalg.lstsq(design, returns, rcond=None)[0]
    residuals = returns - design @ coefficients
    error = np.sqrt((residuals**2).sum(axis=0) / (n_bars - 2) * n_bars)
    statistic = coefficients[0] * n_bars / error
    totals = np.array([residuals[block].sum(axis=0) for block in blocks]) / error * (n_blocks / (n_blocks - 1)) ** 0.5
    highest = np.array([(np.array(signs) @ totals).max() for signs in itertools.product((1, -1), repeat=n_blocks)])
    return (highest >= statistic[winner] - 1e-9).mean(), statistic[winner], highest


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_bars=st.integers(20, 90),
    n_trials=st.integers(1, 40),
    kind=st.sampled_from(["normal", "none", "trending"]),
)
def test_it_is_the_share_of_all_sign_flips(seed, n_bars, n_trials, kind):
    rng = np.random.default_rng(seed)
    benchmark = rng.normal(0.1 * (kind == "trending"), 0.0 if kind == "none" else 1.0, n_bars)
    returns = rng.normal(0.05, 1.0, (n_bars, n_trials)) + rng.uniform(-1, 1, n_trials) * benchmark[:, None]
    winner = int(rng.integers(n_trials))
    share, statistic, highest = directly(returns, benchmark, winner)
    sums = BlockSums.of(returns, benchmark, SIX)
    found = search_wide_p(sums, Benchmark.of(benchmark, 252.0, SIX), winner, n_trials)
    assert found.statistic == pytest.approx(statistic, abs=1e-9)
    assert found.p_value == pytest.approx(share, abs=1e-12)
    assert found.null_median == pytest.approx(np.median(highest), abs=1e-9)
    assert (found.n_tested, found.n_trials) == (n_trials, n_trials)


def random_case(seed, n_trials=30, n_bars=320, planted=0.0):
    """Returns block sums and benchmark of noise; `planted` is the expected t-value of the alpha of trial 7."""
    rng = np.random.default_rng([11, seed])
    benchmark = rng.normal(0.05, 1.0, n_bars)
    returns = rng.normal(0, 1.0, (n_bars, n_trials)) + 0.5 * benchmark[:, None]
    returns[:, 7] += planted / n_bars**0.5
    return BlockSums.of(returns, benchmark), Benchmark.of(benchmark, 252.0)


def best_of(sums, benchmark):
    """Returns the trial with the highest Sharpe ratio."""
    n_bars = benchmark.lengths.sum()
    mean = sums.sums.sum(axis=1) / n_bars
    return int(sums.trials[np.argmax(mean / np.sqrt(sums.squares.sum(axis=1) / n_bars - mean**2))])


def p_values(n, **options):
    cases = (random_case(seed, **options) for seed in range(n))
    return np.array([search_wide_p(s, b, best_of(s, b), len(s)).p_value for s, b in cases])


def test_noise_passes_as_seldom_as_claimed_and_skill_passes_often():
    n = 300
    noise = p_values(n)
    for level in (0.05, 0.2):
        assert (noise <= level).mean() <= level + 3 * np.sqrt(level * (1 - level) / n)
    assert (noise > 0.5).mean() > 0.3  # not merely never small
    assert (p_values(100, planted=4.5) <= 0.05).mean() > 0.75  # 0.89 in theory, beside 30 trials of noise


def test_a_large_loss_of_another_trial_does_not_hide_the_winner():
    sums, benchmark = random_case(1, planted=6.0)
    alone = search_wide_p(sums, benchmark, 7, 30).p_value
    sums.sums[3] -= 2.0 * benchmark.lengths  # recentring removes it, whatever the signs
    sums.squares[3] += 4.0 * benchmark.lengths
    assert search_wide_p(sums, benchmark, 7, 30).p_value <= alone + 0.01


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e4])
def test_leverage_and_holding_more_of_the_benchmark_change_nothing(scale):
    rng = np.random.default_rng(5)
    benchmark = rng.normal(0.02, 0.01, 200)
    returns = rng.normal(0, 0.01, (200, 9))
    plain = search_wide_p(BlockSums.of(returns, benchmark), Benchmark.of(benchmark, 252.0), 4, 9)
    held = BlockSums.of(scale * (returns + rng.uniform(0, 1, 9) * benchmark[:, None]), benchmark)
    found = search_wide_p(held, Benchmark.of(benchmark, 252.0), 4, 9)
    assert found.statistic == pytest.approx(plain.statistic, rel=1e-6)
    assert found.p_value == pytest.approx(plain.p_value, abs=1e-4)


def test_more_evaluations_than_sums_raise_it_by_the_formula():
    sums, benchmark = random_case(3)
    few = search_wide_p(sums, benchmark, 7, 30)
    many = search_wide_p(sums, benchmark, 7, 300)
    assert many.p_value == pytest.approx(1 - (1 - few.p_value) ** 10, rel=1e-9)
    assert many.null_95 > few.null_95
    assert search_wide_p(sums, benchmark, 7, 2).p_value == few.p_value  # never below that of the trials themselves


@pytest.mark.parametrize("n_trials", [8, 16, 17])
def test_the_memory_layout_of_sums_does_not_matter(n_trials):
    sums, benchmark = random_case(3, n_trials=n_trials)
    record = np.concatenate([sums.sums, sums.squares, sums.products], axis=1)  # as journals hold them
    expected = search_wide_p(sums, benchmark, 7, 30)
    for order in ("C", "F"):
        parts = [np.asarray(record, order=order)[:, k : k + 16] for k in (0, 16, 32)]
        assert search_wide_p(BlockSums(sums.trials, *parts), benchmark, 7, 30) == expected


def test_holding_the_benchmark_is_no_edge():
    rng = np.random.default_rng(8)
    benchmark = rng.normal(0.001, 0.01, 400)
    returns = np.column_stack([benchmark, 0.3 * benchmark, np.zeros(400), rng.normal(0, 0.01, 400)])
    sums, beside = BlockSums.of(returns, benchmark), Benchmark.of(benchmark, 252.0)
    for winner in (0, 1, 2):
        found = search_wide_p(sums, beside, winner, 4)
        assert (found.statistic, found.p_value) == (0.0, 1.0) or found.p_value > 0.3


def test_the_null_distribution_is_that_of_normal_trials():
    sums, benchmark = random_case(4, n_trials=100, n_bars=1600)
    found = search_wide_p(sums, benchmark, 7, 100)
    draws = np.random.default_rng(0).standard_normal((20_000, 100)).max(axis=1)
    assert found.null_95 == pytest.approx(np.quantile(draws, 0.95), rel=0.08)
    assert found.null_median == pytest.approx(np.median(draws), rel=0.08)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1e150])
def test_bad_input_is_refused(bad):
    sums, benchmark = random_case(0)
    with pytest.raises(InputError, match="trial 99 has none"):
        search_wide_p(sums, benchmark, 99, 30)
    sums.products[2, 3] = bad
    with pytest.raises(InputError, match="must be finite numbers"):
        search_wide_p(sums, benchmark, 7, 30)

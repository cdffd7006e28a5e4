"""What cross-validation gives without skill, and the shares of logits that the report draws beside it."""

import math

import numpy as np
import pytest

from rbt_ray.analysis import overfitting
from rbt_ray.block_sums import BlockSums, block_lengths

N_BARS, N_TRIALS, N_BLOCKS = 400, 30, 16


def returns_of(seed):
    return np.random.default_rng(seed).normal(0, 0.01, (N_TRIALS, N_BARS))


def sums_of(returns):
    return BlockSums.of(returns.T, np.zeros(N_BARS), N_BLOCKS)


def test_the_returns_without_skill_have_no_mean_so_skill_changes_nothing():
    """Adds to each trial a return of its own on every bar: the band of luck is that of the same noise."""
    noise, lengths = returns_of(3), block_lengths(N_BARS, N_BLOCKS)
    skill = np.linspace(-0.01, 0.02, N_TRIALS)[:, None]
    plain, better = (overfitting.without_skill(sums_of(found), lengths) for found in (noise, noise + skill))
    for one, other in zip(plain.draws, better.draws, strict=True):
        np.testing.assert_allclose(one.logits, other.logits, atol=1e-9)
    assert len(plain.draws) == 99
    assert plain.pbo_band[0] < 0.5 < plain.pbo_band[1]
    assert plain.pbo_band == pytest.approx(
        np.quantile([np.mean((d.logits < 0) + 0.5 * (d.logits == 0)) for d in plain.draws], (0.05, 0.95))
    )


def test_shares_of_logits_add_up_and_half_of_those_on_an_edge_count_on_each_side():
    noise = overfitting.without_skill(sums_of(returns_of(4)), block_lengths(N_BARS, N_BLOCKS))
    splits = overfitting.cscv(returns_of(5).T, 8)
    found = overfitting.LogitShares.of(splits, noise)
    expected = [
        sum((low < x < high) + 0.5 * (x in (low, high)) for x in splits.logits) / len(splits.logits)
        for low, high in zip(found.edges, found.edges[1:], strict=False)
    ]
    np.testing.assert_allclose(found.shares, expected)
    assert math.isclose(found.shares.sum(), 1)
    assert 0 in found.edges
    drawn = np.array([overfitting.LogitShares.of(draw, noise).shares for draw in noise.draws])
    np.testing.assert_allclose([found.low, found.high], np.quantile(drawn, (0.05, 0.95), axis=0))

"""CSCV from block sums equals CSCV from the returns themselves; and it says what it should of noise and of skill."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from rbt_ray import analysis
from rbt_ray.analysis import overfitting


def directly(returns, n_blocks):
    """Every split from the returns themselves."""
    blocks = np.array_split(np.arange(len(returns)), n_blocks)
    best, logits = [], []
    for chosen in itertools.combinations(range(n_blocks), n_blocks // 2):
        inside = np.concatenate([blocks[b] for b in chosen])
        outside = np.setdiff1d(np.arange(len(returns)), inside)
        ratio = [returns[rows].mean(axis=0) / returns[rows].std(axis=0, ddof=1) for rows in (inside, outside)]
        best.append(int(np.argmax(ratio[0])))
        share = stats.rankdata(ratio[1])[best[-1]] / (returns.shape[1] + 1)
        logits.append(np.log(share / (1 - share)))
    return np.array(best), np.array(logits)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_bars=st.integers(40, 90),
    n_trials=st.integers(2, 7),
    n_blocks=st.sampled_from([2, 4, 6, 8]),
    drift=st.floats(-5, 5),
)
def test_block_sums_give_the_direct_result(seed, n_bars, n_trials, n_blocks, drift):
    returns = np.random.default_rng(seed).normal(drift, 1.0, (n_bars, n_trials))
    best, logits = directly(returns, n_blocks)
    found = analysis.cscv(returns, n_blocks)
    assert found.best.tolist() == best.tolist()
    np.testing.assert_allclose(found.logits, logits, rtol=1e-12)


def test_splitting_the_work_changes_nothing(monkeypatch):
    returns = np.random.default_rng(1).normal(0, 1, (200, 5))
    whole = analysis.cscv(returns, 8)
    monkeypatch.setattr(overfitting, "_AT_ONCE", 30)
    parts = analysis.cscv(returns, 8)
    assert parts.best.tolist() == whole.best.tolist()
    assert parts.logits.tolist() == whole.logits.tolist()


def test_noise_is_overfitted_half_of_the_time_and_skill_is_not():
    rng = np.random.default_rng(2)
    noise = [analysis.pbo(rng.normal(0, 1, (320, 20)), 8) for _ in range(60)]
    assert np.mean(noise) == pytest.approx(0.5, abs=4 * np.std(noise) / 60**0.5)
    skill = rng.normal(0, 1, (640, 20))
    skill[:, 7] += 0.5
    assert analysis.pbo(skill, 8) == 0.0


def test_a_trial_that_never_trades_ranks_last():
    returns = np.random.default_rng(3).normal(-1, 1, (64, 3))
    returns[:, 1] = 0.0
    assert 1 not in analysis.cscv(returns, 4).best

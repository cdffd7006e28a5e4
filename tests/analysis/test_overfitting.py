"""CSCV from block sums equals CSCV from the returns themselves; and it says what it should of noise and of skill."""

import itertools
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from rbt_ray import analysis
from rbt_ray.analysis import overfitting
from rbt_ray.block_sums import Benchmark, BlockSums
from rbt_ray.errors import ShapeError


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


def test_two_hundred_trials_equal_the_definition():
    returns = np.random.default_rng(1).normal(0.0003, 0.01, (16 * 30, 200))
    blocks = np.array_split(np.arange(len(returns)), 16)
    found = analysis.cscv(returns)
    splits = list(itertools.combinations(range(16), 8))
    assert len(splits) == len(found.best) == 12_870
    for row in range(0, len(splits), 97):
        inside = np.concatenate([blocks[b] for b in splits[row]])
        outside = np.setdiff1d(np.arange(len(returns)), inside)
        ratio = [returns[rows].mean(axis=0) / returns[rows].std(axis=0, ddof=1) for rows in (inside, outside)]
        best = int(np.argmax(ratio[0]))
        share = stats.rankdata(ratio[1])[best] / 201
        assert found.best[row] == best
        assert found.in_sample[row] == pytest.approx(ratio[0][best], abs=1e-12)
        assert found.out_of_sample[row] == pytest.approx(ratio[1][best], abs=1e-12)
        assert found.logits[row] == pytest.approx(np.log(share / (1 - share)), abs=1e-12)


@pytest.mark.parametrize("n_trials", [63, 64, 65, 130])
def test_equal_trials_share_a_rank_and_the_first_is_chosen(n_trials):
    returns = np.random.default_rng(4).normal(0, 1, (64, n_trials))
    returns[:, -1] = returns[:, 2]
    best, logits = directly(returns, 4)
    found = analysis.cscv(returns, 4)
    assert found.best.tolist() == best.tolist()
    np.testing.assert_allclose(found.logits, logits, rtol=1e-12)


def test_a_trial_without_returns_in_a_half_is_not_its_best():
    rng = np.random.default_rng(3)
    returns = rng.normal(-0.002, 0.01, (400, 4))
    returns[:200, 0] = 0
    returns[200:, 0] = rng.normal(0.001, 0.01, 200)
    found = analysis.cscv(returns, 4)
    assert found.best[0] == 1
    assert found.pbo == pytest.approx(1 / 3)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), level=st.sampled_from([0.0, 1e-4, -0.01, 3.0]), n_flat=st.integers(1, 3))
def test_constant_halves_rank_last_at_any_level(seed, level, n_flat):
    rng = np.random.default_rng(seed)
    returns = rng.normal(-0.5, 0.01, (80, 5))  # every other trial loses
    flat = rng.permutation(4)[:n_flat]
    for block in flat:
        returns[block * 20 : block * 20 + 20, 0] = level
    found = analysis.cscv(returns, 4)
    for row, chosen in enumerate(itertools.combinations(range(4), 2)):
        rest = set(range(4)) - set(chosen)
        if set(chosen) <= set(flat):
            assert found.best[row] != 0
        elif found.best[row] == 0 and rest <= set(flat):
            assert found.out_of_sample[row] == -np.inf


def test_gains_in_one_half_that_are_losses_in_the_other_are_overfitted_for_certain():
    # Columns of +1 % and -1 % that sum to 0: the mean of one half is the negative of the other's.
    column = np.tile([0.01, -0.01], 160)
    returns = np.random.default_rng(9).permuted(np.tile(column[:, None], 12), axis=0)
    assert analysis.pbo(returns, 8) == 1.0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e200])
def test_values_without_a_sharpe_ratio_are_refused(bad):
    returns = np.random.default_rng(1).normal(0, 1, (64, 4))
    returns[7, 2] = bad
    with pytest.raises(ShapeError, match="returns without NaN, infinite or huge values"):
        analysis.cscv(returns, 4)


def test_a_median_rank_counts_as_overfitted_in_the_paper_and_half_in_the_verdict():
    splits = analysis.Cscv(*np.zeros((3, 4)), np.array([-1.0, 0.0, 0.0, 2.0]), 3)
    assert splits.pbo == 0.75
    assert splits.pbo_half_ties == 0.5


@pytest.mark.parametrize("correlated", [False, True])
def test_the_band_without_skill_holds_nine_in_ten(correlated):
    inside = []
    for seed in range(60):
        rng = np.random.default_rng([6, seed])
        returns = rng.normal(0, 1, (320, 30))
        if correlated:
            returns += 2 * rng.normal(0, 1, (320, 1)) * np.linspace(-1, 1, 30)
        sums, lengths = BlockSums.of(returns, np.zeros(320), 8), np.full(8, 40)
        low, high = overfitting.pbo_without_skill(sums, lengths)
        inside.append(low <= overfitting.cscv_of_sums(sums, lengths).pbo_half_ties <= high)
    assert 0.78 <= np.mean(inside) <= 0.99


def test_expectations_out_of_sample_are_means_over_all_splits():
    rng = np.random.default_rng(5)
    benchmark, returns = rng.normal(0.001, 0.01, 160), rng.normal(0, 0.01, (160, 6))
    sums, beside = BlockSums.of(returns, benchmark), Benchmark.of(benchmark, 252.0)
    splits = overfitting.cscv_of_sums(sums, beside.lengths)
    chosen, held = overfitting.expected_out_of_sample(splits, beside)
    blocks = np.array_split(np.arange(160), 16)
    halves = [np.concatenate([blocks[b] for b in half]) for half in itertools.combinations(range(16), 8)]
    ratios = [benchmark[half].mean() / benchmark[half].std(ddof=1) * 252**0.5 for half in halves]
    assert held == pytest.approx(np.mean(ratios))
    assert chosen == pytest.approx(splits.out_of_sample.mean() * 252**0.5)


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the peak of memory from /proc")
def test_a_hundred_thousand_trials_take_seconds_and_little_memory():
    code = (
        "import time, numpy as np\n"
        "from rbt_ray.analysis.overfitting import cscv_of_sums\n"
        "from rbt_ray.block_sums import BlockSums\n"
        "rng = np.random.default_rng(0)\n"
        "sums = rng.normal(0, 0.1, (100_000, 16))\n"
        "sums = BlockSums(np.arange(100_000), sums, np.full(sums.shape, 0.0157), np.zeros_like(sums))\n"
        "cscv_of_sums(BlockSums(sums.trials[:9], *(x[:9] for x in (sums.sums, sums.squares, sums.products))), np.full(16, 157))\n"
        "start = time.process_time()\n"
        "cscv_of_sums(sums, np.full(16, 157))\n"
        "seconds = time.process_time() - start\n"
        # `ru_maxrss` includes what the process was before `exec`: a copy of this one.
        "peak = next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM:'))\n"
        "print(seconds, int(peak) / 1024)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=150)
    seconds, megabytes = map(float, done.stdout.split())
    assert seconds < 30  # 6 on a quiet machine, see docs/decisions/trust.md
    assert megabytes < 600


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

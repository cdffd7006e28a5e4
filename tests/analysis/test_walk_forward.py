"""Walk-forward from block sums equals walk-forward from returns, and no choice depends on later returns."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rbt_ray.analysis.walk_forward import walk_forward_of_sums
from rbt_ray.block_sums import Benchmark, BlockSums
from rbt_ray.errors import InputError

ANNUAL = 252**0.5


def sharpe(returns):
    return returns.mean(axis=0) / returns.std(axis=0, ddof=1) * ANNUAL


def case(seed, n_bars=200, n_trials=12):
    rng = np.random.default_rng(seed)
    benchmark = rng.normal(0.001, 0.01, n_bars)
    return rng.normal(0.0005, 0.01, (n_bars, n_trials)) + 0.5 * benchmark[:, None], benchmark


def run(returns, benchmark, *settings):
    return walk_forward_of_sums(BlockSums.of(returns, benchmark), Benchmark.of(benchmark, 252.0), *settings)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    train=st.integers(1, 12),
    test=st.integers(1, 5),
    gap=st.integers(0, 3),
    anchored=st.booleans(),
)
def test_it_equals_the_definition(seed, train, test, gap, anchored):
    returns, benchmark = case(seed)
    blocks = np.array_split(np.arange(len(returns)), 16)
    found = run(returns, benchmark, train, test, anchored, gap)
    stitched, held = [], []
    starts = range(train + gap, 16, test)
    assert len(found.windows) == len(starts)
    for window, start in zip(found.windows, starts, strict=True):
        inside = np.concatenate(blocks[0 if anchored else start - gap - train : start - gap])
        outside = np.concatenate(blocks[start : start + test])
        best = int(np.argmax(sharpe(returns[inside])))
        assert window.trial == best
        assert window.test == (start, min(start + test, 16))
        assert window.train == (0 if anchored else start - gap - train, start - gap)
        assert window.in_sample == pytest.approx(sharpe(returns[inside])[best])
        assert window.out_of_sample == pytest.approx(sharpe(returns[outside])[best])
        assert window.benchmark == pytest.approx(sharpe(benchmark[outside]))
        stitched.append(returns[outside, best])
        held.append(benchmark[outside])
    assert found.sharpe == pytest.approx(sharpe(np.concatenate(stitched)))
    assert found.benchmark_sharpe == pytest.approx(sharpe(np.concatenate(held)))
    assert found.years == pytest.approx(len(np.concatenate(held)) / 252)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), block=st.integers(8, 15), anchored=st.booleans())
def test_later_returns_change_no_bit_of_earlier_windows(seed, block, anchored):
    returns, benchmark = case(seed)
    first = np.array_split(np.arange(len(returns)), 16)[block][0]
    before = run(returns, benchmark, 6, 1, anchored)
    returns[first:] += np.random.default_rng(1).normal(0.01, 0.02, returns[first:].shape)
    after = run(returns, benchmark, 6, 1, anchored)
    earlier = [window.test[1] <= block for window in before.windows]
    assert [w for w, is_earlier in zip(before.windows, earlier, strict=True) if is_earlier] == [
        w for w, is_earlier in zip(after.windows, earlier, strict=True) if is_earlier
    ]
    chosen = [window.train[1] <= block for window in before.windows]
    assert [w.trial for w, is_before in zip(before.windows, chosen, strict=True) if is_before] == [
        w.trial for w, is_before in zip(after.windows, chosen, strict=True) if is_before
    ]
    assert before != after


def test_constant_returns_have_no_ratio_and_are_chosen_last():
    returns, benchmark = case(1)
    returns[:, 0] = 0.0
    returns[:, 1:] -= 0.05
    assert all(window.trial > 0 for window in run(returns, benchmark, 8, 1, False).windows)
    alone = run(returns[:, :1], benchmark, 8, 1, False)
    assert np.isnan([alone.sharpe, alone.windows[0].in_sample, alone.efficiency]).all()


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ((0, 1, False), "`train` is a whole number of blocks, at least 1; got 0"),
        ((8.0, 1, False), "`train` is a whole number"),
        ((8, 0, True), "`test` is a whole number"),
        ((8, 1, True, -1), "`gap` is a whole number of blocks, at least 0"),
        ((16, 1, False), "must leave a block to test, of 16"),
        ((12, 1, False, 4), "must leave a block to test, of 16"),
    ],
)
def test_windows_that_do_not_exist_are_refused(values, sentence):
    with pytest.raises(InputError, match=sentence):
        run(*case(1), *values)

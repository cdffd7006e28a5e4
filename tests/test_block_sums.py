"""Block sums are those of the blocks that `numpy.array_split` cuts, and parts of batches join to the whole."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rbt_ray.block_sums import N_BLOCKS, N_SUMS, BlockRows, BlockSums, block_lengths, sums_of


@given(n_bars=st.integers(0, 200), n_blocks=st.integers(1, 20))
def test_lengths_are_those_of_array_split(n_bars, n_blocks):
    expected = [len(block) for block in np.array_split(np.zeros(n_bars), n_blocks)]
    assert block_lengths(n_bars, n_blocks).tolist() == expected


@settings(max_examples=50, deadline=None)
@given(n_bars=st.integers(N_BLOCKS, 400), seed=st.integers(0, 99))
def test_the_sums_of_one_trial_are_those_of_the_definition(n_bars, seed):
    rng = np.random.default_rng(seed)
    returns, benchmark = rng.normal(0, 0.01, n_bars), rng.normal(0, 0.01, n_bars)
    expected = BlockSums.of(returns[:, None], benchmark)
    np.testing.assert_allclose(sums_of(returns, benchmark), expected.rows()[0], rtol=1e-12, atol=1e-16)
    again = BlockSums.of_rows(expected.trials, expected.rows())
    for name in ("sums", "squares", "products"):
        np.testing.assert_array_equal(getattr(again, name), getattr(expected, name))


def test_a_block_without_returns_has_sums_of_exactly_zero():
    returns = np.full(160, 0.1)
    returns[50:60] = 0.0
    found = sums_of(returns, np.full(160, 0.3)).reshape(3, N_BLOCKS)
    assert not found[:, 5].any()
    assert found[:, [4, 6]].all()


@st.composite
def batches(draw):
    """Block sums of some rows of a batch, and where the batch is cut."""
    n = draw(st.integers(1, 30))
    rows = np.array(sorted(draw(st.sets(st.integers(0, n - 1)))), np.int64)
    cuts = sorted(draw(st.sets(st.integers(0, n), max_size=4)) | {0, n})
    return n, rows, cuts


@settings(deadline=None)
@given(batch=batches(), seed=st.integers(0, 99))
def test_parts_of_a_batch_join_to_the_whole(batch, seed):
    n, rows, cuts = batch
    values = np.random.default_rng(seed).normal(size=(len(rows), N_SUMS))
    whole = BlockRows.finite(rows, values)
    parts = []
    for start, stop in itertools.pairwise(cuts):
        inside = (rows >= start) & (rows < stop)
        part = BlockRows(rows[inside] - start, values[inside]) if inside.any() else None
        parts.append((part, np.arange(start, stop)))
    joined = BlockRows.join(reversed(parts))
    assert (joined is None) == (whole is None) == (len(rows) == 0)
    if joined is not None and whole is not None:
        np.testing.assert_array_equal(joined.rows, rows)
        np.testing.assert_array_equal(joined.values, values)
        np.testing.assert_array_equal(whole.recordable(n).values, values)


def test_rows_whose_sums_are_not_finite_are_left_out():
    values = np.ones((3, N_SUMS))
    values[1, 40] = np.inf
    found = BlockRows.finite(np.arange(3), values)
    assert found is not None
    assert found.rows.tolist() == [0, 2]
    assert BlockRows.finite(np.arange(1), values[1:2]) is None


VALUES = np.ones((2, N_SUMS))
INVALID = {
    "a row beyond the batch": BlockRows(np.array([0, 4]), VALUES),
    "a row below zero": BlockRows(np.array([-1, 2]), VALUES),
    "rows in another order": BlockRows(np.array([2, 1]), VALUES),
    "a row twice": BlockRows(np.array([1, 1]), VALUES),
    "no rows": BlockRows(np.empty(0, np.int64), np.empty((0, N_SUMS))),
    "rows of another type": BlockRows(np.array([0.0, 1.0]), VALUES),
    "values of another shape": BlockRows(np.array([0, 1]), VALUES[:, :47]),
    "values of another type": BlockRows(np.array([0, 1]), VALUES.astype(np.float32)),
    "a value that is not finite": BlockRows(np.array([0, 1]), np.full((2, N_SUMS), np.nan)),
    "rows that are no array": BlockRows([0, 1], VALUES),
}


@pytest.mark.parametrize("what", INVALID)
def test_invalid_block_sums_cannot_be_recorded(what):
    with pytest.raises(ValueError, match="block_sums"):
        INVALID[what].recordable(4)

"""The journal returns the growth of blocks as it was written, and refuses records that describe it wrongly."""

from __future__ import annotations

import numpy as np
import pytest

from rbt_ray import metric_columns
from rbt_ray.block_sums import N_BLOCKS, N_SUMS, N_WITH_GROWTH, BlockRows
from rbt_ray.columns import Outcomes
from rbt_ray.store.events import pack, unpack
from rbt_ray.store.journal import Finished
from rbt_ray.study.draw import CAP, is_recorded

N = 6


def batch(rows, width):
    values = np.random.default_rng(width).normal(size=(len(rows), width))
    outcomes = Outcomes(
        np.zeros(N, np.uint8),
        metric_columns.from_rows([{"cagr": float(row)} for row in range(N)]),
        {},
        np.full(N, 0.1),
        block_sums=BlockRows(np.array(rows, np.int64), values),
    )
    return Finished(np.arange(N, dtype=np.int64), np.zeros((N, 1)), 1.0, outcomes, "local-0", 1.0, 1.0, 1.0)


@pytest.mark.parametrize("rows", [(0,), (1, 4), tuple(range(N))])
@pytest.mark.parametrize("width", [N_SUMS, N_WITH_GROWTH])
def test_the_growth_is_read_as_it_was_written(rows, width):
    event = batch(rows, width)
    kind, header, body = pack(event)
    assert header.get("growth", False) == (width == N_WITH_GROWTH)
    found = unpack(kind, header, body).outcomes.block_sums
    np.testing.assert_array_equal(found.values, event.outcomes.block_sums.values)
    assert (found.growth is None) == (width == N_SUMS)
    if width == N_WITH_GROWTH:
        np.testing.assert_array_equal(found.growth, event.outcomes.block_sums.values[:, -N_BLOCKS:])


@pytest.mark.parametrize("growth", [True, False, "yes", 1, None])
@pytest.mark.parametrize("width", [N_SUMS, N_WITH_GROWTH])
def test_a_header_that_describes_the_growth_wrongly_is_refused(width, growth):
    kind, header, body = pack(batch((1, 4), width))
    if growth is (width == N_WITH_GROWTH):
        assert unpack(kind, {**header, "growth": growth}, body)
        return
    with pytest.raises(ValueError, match=r"growth|bytes|buffer|block_sums"):
        unpack(kind, {**header, "growth": growth}, body)


@pytest.mark.parametrize("width", [0, 1, N_SUMS - 1, N_SUMS + 1, N_WITH_GROWTH - 1, N_WITH_GROWTH + 1])
def test_rows_of_another_width_are_not_recorded(width):
    with pytest.raises(ValueError, match="block_sums"):
        batch((1, 4), width)


def test_batches_of_which_some_have_no_growth_are_joined_without_it():
    """As in a study that an earlier version began."""
    parts = [(batch((0, 3), width).outcomes.block_sums, at) for width, at in
             ((N_WITH_GROWTH, np.arange(N) + N), (N_SUMS, np.arange(N)))]  # fmt: skip
    joined = BlockRows.join(parts)
    assert joined.rows.tolist() == [0, 3, 6, 9]
    assert joined.growth is None
    np.testing.assert_array_equal(joined.values[2:], parts[0][0].values[:, :N_SUMS])
    assert BlockRows.join(parts[:1]).growth is not None


@pytest.mark.parametrize("n", [50_000, 120_000, 300_000])
def test_beyond_the_cap_the_growth_fits_into_60_bytes_a_trial(n):
    recorded = int(is_recorded(7, np.arange(n), n).sum())
    row = len(pack(batch((1, 4), N_WITH_GROWTH))[2]) - len(pack(batch((1,), N_WITH_GROWTH))[2])
    assert row == 8 * (N_WITH_GROWTH + 1)
    assert (recorded - CAP) * row < 60 * (n - CAP)

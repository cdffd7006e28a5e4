"""Evaluators give the growth of the equity over each block where it is wanted, and change no other figure for it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rbt_ray as rbt
from rbt_ray import objectives
from rbt_ray.block_sums import N_BLOCKS, N_SUMS, N_WITH_GROWTH
from rbt_ray.objectives.blocks import BlockRequest
from rbt_ray.objectives.objective import as_evaluator
from rbt_ray.objectives.reports import WHOLE
from rbt_ray.study.space import Space
from rbt_ray.study.windows import growth_of_windows

REBALANCES = ("on_change", "every_bar")
SPACE = Space.of({"fast": rbt.randint(2, 30), "slow": rbt.randint(30, 90)})
CROSS = objectives.sma_cross()


def growth_of(returns):
    """The definition, bar by bar."""
    found = []
    for block in np.array_split(returns, N_BLOCKS):
        equity = 1.0
        for r in block:
            equity *= 1.0 + r
        found.append(equity - 1.0)
    return np.array(found)


def sums(strategy, view, columns, growth=True, rows=None):
    """The block sums of some configs, all by default."""
    rows = np.arange(len(next(iter(columns.values())))) if rows is None else rows
    request = BlockRequest.of(rows, np.random.default_rng(1).normal(0, 0.01, view.n_bars), growth)
    return strategy.evaluate_with_blocks(view, columns, ("sharpe",), request)[1]


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_sweeps_give_the_growth_of_their_backtests_on_any_prices(configs_of, holed, data):
    name = data.draw(st.sampled_from(objectives.BUILTIN))
    execution = data.draw(st.sampled_from(["next_open", "next_close", "close"]))
    holes, n_bars = data.draw(st.sampled_from([0.0, 0.05, 0.3])), data.draw(st.integers(N_BLOCKS, 640))
    view = holed(n_bars, data.draw(st.integers(1, 6)), data.draw(st.integers(0, 2**32)), holes, True)
    bps, rebalance = data.draw(st.sampled_from([0.0, 5.0, 100.0])), data.draw(st.sampled_from(REBALANCES))
    strategy = getattr(objectives, name)(bps, execution, rebalance=rebalance)
    columns = configs_of(strategy, data.draw(st.integers(1, 9)), data.draw(st.integers(0, 99)), longest=20)
    found = sums(strategy, view, columns)
    np.testing.assert_array_equal(found[:, :N_SUMS], sums(strategy, view, columns, growth=False))
    for row, of_one in enumerate(found):
        returns = strategy({name: values[row] for name, values in columns.items()}, view).returns
        leeway = 1e-14 * len(returns) * (1.0 + np.abs(returns).max())
        np.testing.assert_allclose(of_one[N_SUMS:], growth_of(returns), rtol=leeway, atol=leeway)
        flat = np.array([not block.any() for block in np.array_split(returns, N_BLOCKS)])
        assert not of_one[N_SUMS:][flat].any()


@pytest.mark.parametrize("rebalance", REBALANCES)
def test_the_growth_is_the_same_bit_for_bit_in_any_batch(factory, sample_view, configs_of, rebalance):
    strategy = factory(rebalance=rebalance)
    columns = configs_of(strategy, 60, seed=3)
    together = sums(strategy, sample_view, columns)
    for rows in (np.random.default_rng(0).permutation(60), np.array([5]), np.arange(59, 0, -3)):
        some = {name: values[rows] for name, values in columns.items()}
        np.testing.assert_array_equal(sums(strategy, sample_view, some), together[rows])
    for rows in (np.array([5]), np.arange(3, 60, 9)):  # only some are wanted
        np.testing.assert_array_equal(sums(strategy, sample_view, columns, rows=rows), together[rows])


def test_a_run_that_loses_everything_has_a_growth_of_minus_1_in_its_last_block():
    close = np.array([1.0, 2.0, 3.0, 4.0, 1e-9, 1e-9, 3.0, 5.0, 8.0, *np.arange(9.0, 20.0)])[:, None]
    index = np.datetime64("2001-01-01", "ns") + np.arange(len(close)) * np.timedelta64(1, "D")
    view = rbt.Bundle.from_arrays({"close": close}, index, ["A"], periods_per_year=252).view()
    strategy = objectives.sma_cross(turnover_bps=9000.0, execution="close", rebalance="every_bar")
    columns = {"fast": np.array([1.0, 3.0]), "slow": np.array([2.0, 4.0])}
    run = strategy({"fast": 1, "slow": 2}, view)
    assert run.bankrupt_bar == 4
    found = sums(strategy, view, columns)[0, N_SUMS:]
    np.testing.assert_allclose(found, growth_of(run.returns), rtol=1e-14)
    assert found.min() == -1.0
    assert growth_of_windows(found[None], np.arange(N_BLOCKS) + 1, [((0, N_BLOCKS),)]).tolist() == [[0.0]]


def as_dict(params, data):
    run = CROSS(params, data)
    return {"total_return": run.metrics()["total_return"], "returns": run.returns}


@rbt.batched
def of_a_batch(params, data):
    return [as_dict(one, data) for one in params]


@pytest.mark.parametrize("objective", [CROSS, CROSS.__call__, as_dict, of_a_batch])
@pytest.mark.parametrize("growth", [False, True])
def test_an_evaluator_gives_the_growth_where_it_is_wanted(sample_view, objective, growth):
    points = SPACE.from_unit(np.random.default_rng(3).random((5, 2)))
    request = BlockRequest.of(np.array([1, 4]), np.zeros(sample_view.n_bars), growth)
    found = as_evaluator(objective, SPACE, "total_return").score(sample_view, points, [0] * 5, WHOLE, request)
    assert found.block_sums.values.shape == (2, N_WITH_GROWTH if growth else N_SUMS)
    if not growth:
        assert found.block_sums.growth is None
        return
    for of_one, row in zip(found.block_sums.growth, (1, 4), strict=True):
        returns = CROSS(SPACE.decode(points)[row], sample_view).returns
        np.testing.assert_allclose(of_one, growth_of(returns), rtol=1e-11, atol=1e-12)
    blocks = growth_of_windows(found.block_sums.growth, request.ends, [((0, sample_view.n_bars),)])
    np.testing.assert_allclose(blocks[0] - 1.0, found.metrics["total_return"].values[[1, 4]], rtol=1e-11)

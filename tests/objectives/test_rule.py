"""A rule gives the figures of the strategy that it describes, in any batch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import rbt_ray as rbt
from rbt_ray.objectives import rule
from rbt_ray.objectives.blocks import BlockRequest
from rbt_ray.simulate.metrics import METRIC_NAMES
from tests.objectives import rules
from tests.objectives.rule_loop import fills_of_equal_run
from tests.objectives.test_builtin_sweep import assert_equal_to_backtests

EXECUTIONS = ("next_open", "next_close", "close")
COSTS = rbt.Costs(turnover_bps=5, slippage_bps=3, borrow_bps=300, margin_bps=500)


@pytest.fixture(scope="module")
def contrarian():
    """A rule that uses all that a bar has, goes short, and changes its own state."""
    return rule(
        rules.contrarian,
        params={"window": 5, "size": 0.4, "days": 4},
        indicators={"mean": lambda data, p: data.sma("close", p["window"])},
        state=2,
        costs=COSTS,
    )


@pytest.fixture(scope="module")
def stocks(sample_view):
    """Stocks with opens and closes alone, for which rules need no other kernels than for random bars."""
    fields = {name: sample_view[name] for name in ("close", "open")}
    return rbt.Bundle.from_arrays(fields, sample_view.index, sample_view.symbols).view()


@pytest.fixture(scope="module")
def configs():
    rng = np.random.default_rng(11)
    return {
        "window": rng.integers(1, 9, 21).astype(float),
        "size": rng.uniform(-0.7, 0.7, 21),
        "days": rng.integers(1, 12, 21).astype(float),
    }


BUILTIN = [(name, rebalance) for name in rules.BUILTIN for rebalance in ("on_change", "every_bar")]


@pytest.mark.parametrize(
    ("name", "rebalance"), [BUILTIN[0], *(pytest.param(*one, marks=pytest.mark.slow) for one in BUILTIN[1:])]
)
def test_built_in_objectives_written_as_rules_equal_them(name, rebalance, stocks, holed, configs_of):
    builtin = getattr(rbt.objectives, name)(5.0, rebalance=rebalance)
    written = rule(
        rules.BUILTIN[name],
        builtin.example,
        rules.INDICATORS[name],
        rebalance=rebalance,
        costs=rbt.Costs(turnover_bps=5),
    )
    for view in (stocks, holed(300, 4, 3, 0.3, True)):
        columns = configs_of(builtin, 19, seed=1, longest=60)
        for execution in EXECUTIONS:
            ours = replace(written, execution=execution).evaluate(view, columns, METRIC_NAMES)
            theirs = replace(builtin, execution=execution).evaluate(view, columns, METRIC_NAMES)
            for metric in METRIC_NAMES:
                np.testing.assert_allclose(ours[metric], theirs[metric], rtol=1e-9, atol=1e-12, err_msg=metric)


@pytest.mark.slow
@pytest.mark.parametrize("rebalance", ["on_change", "every_bar"])
def test_a_rule_that_depends_on_its_position_equals_a_plain_loop(contrarian, rebalance, holed, configs):
    """Weights, returns and all metrics; with shorts, leverage, missing bars, late listings and delistings."""
    seen = 0
    for number in range(24):
        view = holed(60 + number, 1 + number % 5, number, (0.0, 0.2, 0.5)[number // 3 % 3], True)
        if number % 2:
            view = with_ends(view)
        execution = EXECUTIONS[number % 3]
        objective = replace(contrarian, execution=execution, rebalance=rebalance)
        swept = objective.evaluate(view, configs, METRIC_NAMES)
        for row in range(0, 21, 7):
            config = {name: float(values[row]) for name, values in configs.items()}
            seen += fills_of_equal_run(
                objective, config, view, {name: values[row] for name, values in swept.items()}, 1e-10
            )
    assert seen > 500


def with_ends(view):
    """The same bars, with the last price of each symbol declared as the end of its listing."""
    bundle = rbt.Bundle.from_arrays(
        {name: view[name] for name in view.fields},
        view.index,
        view.symbols,
        periods_per_year=252,
        listed_until={
            symbol: view.index[np.flatnonzero(~np.isnan(view["close"][:, i]))[-1]]
            for i, symbol in enumerate(view.symbols)
            if (~np.isnan(view["close"][:, i])).any()
        },
    )
    return bundle.view()


def test_a_config_scores_the_same_bit_for_bit_in_any_batch(contrarian, holed, configs):
    view = holed(400, 5, 7, 0.3, True)
    together = contrarian.evaluate(view, configs, METRIC_NAMES)
    order = np.random.default_rng(0).permutation(21)
    for rows in (order, order[:5], np.array([5]), np.array([5, 5, 5]), np.arange(8), np.arange(20, 0, -3)):
        some = contrarian.evaluate(view, {name: values[rows] for name, values in configs.items()}, METRIC_NAMES)
        for name in METRIC_NAMES:
            np.testing.assert_array_equal(some[name], together[name][rows])


def test_block_sums_are_those_of_the_backtests(contrarian, holed, configs):
    view = holed(400, 3, 9, 0.2, True)
    request = BlockRequest.of(np.array([2, 8, 20]), np.full(400, 0.001), growth=True)
    _, sums = contrarian.evaluate_with_blocks(view, configs, ("sharpe",), request)
    for place, row in enumerate((2, 8, 20)):
        run = contrarian({name: values[row] for name, values in configs.items()}, view)
        np.testing.assert_allclose(sums[place], request.sums_of(run.returns), rtol=1e-9, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("rebalance", ["on_change", "every_bar"])
def test_figures_on_windows_are_those_of_the_backtests(contrarian, rebalance, holed, configs):
    view, objective = holed(400, 3, 9, 0.2, True), replace(contrarian, rebalance=rebalance)
    windows = [((0, 130),), ((40, 200), (250, 400)), ((128, 256),)]
    found = objective.evaluate_on_windows(view, configs, METRIC_NAMES, windows)
    for row in (2, 8, 20):
        run = objective({name: values[row] for name, values in configs.items()}, view)
        for number, window in enumerate(windows):
            expected = run.on(np.concatenate([np.arange(*one) for one in window]))
            for name, values in found.items():
                assert values[number, row] == pytest.approx(expected[name], rel=1e-9, abs=1e-9, nan_ok=True), name


@pytest.mark.parametrize("rebalance", ["on_change", "every_bar"])
def test_a_rule_that_loses_everything_scores_as_its_backtest(contrarian, rebalance, holed):
    view, objective = holed(250, 2, 3, 0.0, True), replace(contrarian, rebalance=rebalance)
    columns = {"window": np.full(4, 3.0), "size": np.array([0.5, -20.0, 0.2, 20.0]), "days": np.full(4, 90.0)}
    assert_equal_to_backtests(objective, view, columns)
    runs = [objective({name: values[row] for name, values in columns.items()}, view) for row in range(4)]
    assert any(run.bankrupt_bar is not None for run in runs)


def test_a_rule_looks_at_no_later_bar(contrarian, holed):
    view = holed(300, 3, 1, 0.2, True)
    bundle = rbt.Bundle.from_arrays(
        {name: view[name] for name in view.fields}, view.index, view.symbols, periods_per_year=252
    )
    assert rbt.check_lookahead(contrarian, bundle, n_cuts=6)


def test_an_indicator_is_computed_once_for_each_value_that_it_reads(contrarian, holed, configs):
    view, calls = holed(250, 2, 3, 0.0, True), []

    def mean(data, p):
        window = p["window"]
        calls.append((window, type(window)))
        return data.sma("close", window)

    objective = replace(contrarian, indicators={"mean": mean})
    first = objective.evaluate(view.with_empty_memo(), configs)
    assert sorted(calls) == [(int(window), int) for window in np.unique(configs["window"])]
    backwards = {name: values[::-1] for name, values in configs.items()}
    np.testing.assert_array_equal(
        objective.evaluate(view.with_empty_memo(), backwards)["sharpe"], first["sharpe"][::-1]
    )
    np.testing.assert_array_equal(contrarian.evaluate(view, configs)["sharpe"], first["sharpe"])


def test_machine_code_is_kept_on_disk_under_the_rule(contrarian, holed):
    from rbt_ray.objectives.rule.kernels import digest_of, kernel_of

    names = contrarian.names(holed(30, 1, 0, 0.0, True))
    kernel_of(contrarian.step, names, "on_change", False, False)
    kernel_of.cache_clear()
    assert sum(kernel_of(contrarian.step, names, "on_change", False, False).stats.cache_hits.values()) == 1
    assert digest_of(contrarian.step, names) != digest_of(rules.sma_cross, names)

"""Runs the kernel of a rule for a batch of configs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rbt_ray.errors import ObjectiveResultError
from rbt_ray.objectives.rule.book import HAS_CLOSE, HAS_PRICE, IS_END, new_account, new_book
from rbt_ray.objectives.rule.indicators import indicators_of
from rbt_ray.objectives.rule.kernels import kernel_of
from rbt_ray.objectives.sweep.blocks import BlockTable
from rbt_ray.objectives.sweep.layout import TILE, WIDTH, aligned, listing_ends, price_tables, return_steps
from rbt_ray.objectives.sweep.statistics import MEAN, STATE
from rbt_ray.objectives.sweep.statistics_table import Statistics
from rbt_ray.simulate.backtest import Backtest, backtest
from rbt_ray.simulate.costs import INITIAL_CASH
from rbt_ray.simulate.exit_settings import EXITS
from rbt_ray.types import Execution, FloatArray

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rbt_ray.data.view import BundleView
    from rbt_ray.objectives.rule.rule import Rule

_NONE = np.empty(0)


def advance(
    rule: Rule,
    data: BundleView,
    columns: Mapping[str, FloatArray],
    statistics: Statistics,
    record: FloatArray,
) -> None:
    """Advances the statistics of configs over all bars.

    Args:
        rule: the objective.
        data: prices.
        columns: ``(n_configs,)`` values of each parameter.
        statistics: those before the first bar; they are changed in place.
        record: ``(n_bars, n_symbols)`` flat: output, the targets of the first config; empty if they are not wanted.

    Raises:
        ObjectiveResultError: the rule returned a target that is not finite.
    """
    n_rows, n_symbols, execution = statistics.n_rows, data.n_symbols, rule.fills(data)
    n_configs = len(next(iter(columns.values())))
    names = rule.names(data)
    kernel = kernel_of(rule.step, names, rule.rebalance, len(statistics.segments) > 1, bool(rule.exits))
    fields = [np.ascontiguousarray(data[name]) for name in names.fields]
    whole = frozenset(one.name for one in rule.parameters if one.whole)
    indicators, arrays = indicators_of(rule.indicators, whole, data, columns, n_rows)
    # Rows without a config run as the last one, whose results count once.
    params = np.concatenate(
        [np.concatenate([values, np.full(n_rows - n_configs, values[-1])]) for values in columns.values()]
    )
    rates, slippage, borrow, margin = rule.rates(data)
    fill, close, _ = data.memo(price_tables, execution)
    unusable = np.full(n_rows, -1)
    lag, at_open = 0 if execution == "close" else 1, execution == "next_open"
    of_rule = (
        np.array([values.ctypes.data for values in fields], np.int64),
        indicators,
        params,
        data.memo(_flags, execution),
    )
    memory = (np.zeros(n_rows * n_symbols * names.n_state), record, unusable)
    of_statistics = (
        statistics.moments,
        statistics.state,
        statistics.segments,
        aligned(TILE * WIDTH),
        *statistics.of_blocks,
    )
    book = new_book(n_rows, n_symbols)
    if rule.rebalance == "on_change":
        bars = [np.ascontiguousarray(data[name]).ravel() if rule.exits else _NONE for name in ("open", "high", "low")]
        kernel(
            data.n_bars, n_symbols, lag, at_open, *of_rule, fill, close, rates, slippage, borrow, margin, *bars,
            _levels(rule, columns, n_rows), book, new_account(n_rows, INITIAL_CASH), *memory, *of_statistics,
        )  # fmt: skip
    else:
        before, after, growth, _ = data.memo(return_steps, execution)
        kernel(
            data.n_bars, n_symbols, lag, *of_rule, fill, before, after, growth, data.memo(_to_close, execution), rates + slippage,
            borrow, margin, book, new_account(n_rows, 1.0), *memory, *of_statistics,
        )  # fmt: skip
    del arrays, fields  # the kernel read them by their addresses
    failed = np.flatnonzero((unusable[:n_configs] >= 0) & (unusable[:n_configs] < data.n_bars))
    if len(failed):
        config = {name: float(values[failed[0]]) for name, values in columns.items()}
        bar = int(unusable[failed[0]])
        date = np.datetime_as_string(data.index[bar], unit="auto")
        raise ObjectiveResultError(
            f"`{rule.name}` returns a finite number as target weight; with {config} it returned NaN or infinity on {date} (bar {bar}). "
            "An indicator is NaN until it has enough bars: compare it, which gives False, before you compute with it."
        )


def backtest_of(rule: Rule, data: BundleView, columns: Mapping[str, FloatArray]) -> Backtest:
    """Returns the backtest of one config: that of the weights that the rule returned, with its exits.

    Raises:
        ObjectiveResultError: a target is not finite.
    """
    state = np.zeros((len(STATE), WIDTH))
    state[:MEAN] = 1.0
    record = np.zeros(data.n_bars * data.n_symbols)
    none = BlockTable.of(None, np.zeros(WIDTH, bool))
    statistics = Statistics(WIDTH, False, True, True, state.ravel(), np.array([data.n_bars]), none)
    advance(rule, data, columns, statistics, record)
    weights = record.reshape(data.n_bars, data.n_symbols)
    exits: dict[str, Any] = {
        name: float(columns[given][0]) if isinstance(given, str) else given for name, given in rule.exits.items()
    }
    return backtest(data, weights, rule.fills(data), rule.rebalance, rule.costs, missing="zero", **exits)


def _levels(rule: Rule, columns: Mapping[str, FloatArray], n_rows: int) -> FloatArray:
    """Returns the settings of exits, ``(4, n_rows)`` flat, infinite without a setting."""
    levels = np.full((len(EXITS), n_rows), np.inf)
    for k, name in enumerate(EXITS):
        given = rule.exits.get(name, np.inf)
        values = columns[given] if isinstance(given, str) else np.array([given])
        levels[k, : len(values)] = values
        levels[k, len(values) :] = values[-1]
    return levels.ravel()


def _flags(data: BundleView, execution: Execution) -> NDArray[np.uint8]:
    """Returns the flags of module `book`, ``(n_bars, n_symbols)`` flat."""
    priced = data.memo(price_tables, execution)[2]
    flags = priced * np.uint8(HAS_PRICE) + np.uint8(HAS_CLOSE) * ~np.isnan(data["close"]).ravel()
    for symbol, bar, _ in data.memo(listing_ends, execution):
        flags[bar * data.n_symbols + symbol] |= IS_END
    return np.asarray(flags, np.uint8)


def _to_close(data: BundleView, execution: Execution) -> FloatArray:
    """Returns the ratio of the close to the fill price, ``(n_bars, n_symbols)`` flat."""
    fill, close, _ = data.memo(price_tables, execution)
    ratio: FloatArray = close / fill
    return ratio

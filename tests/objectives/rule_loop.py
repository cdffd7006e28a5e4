"""A rule run by a plain loop over bars and symbols, one config at a time: an oracle for the compiled sweep."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest

from rbt_ray.simulate.metrics import METRIC_NAMES

CAPITAL = 100_000.0


def fills_of_equal_run(objective, config, data, swept, tolerance):
    """Checks that a backtest equals the plain loop, and that its metrics equal those of a sweep; returns its fills.

    Args:
        objective: the rule.
        config: its parameters.
        data: prices.
        swept: metrics of the config by name, from a sweep.
        tolerance: the largest absolute difference of a metric.
    """
    weights, returns, ambiguous = run_rule(objective, config, data)
    run = objective(config, data)
    np.testing.assert_allclose(run.weights, weights, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(run.returns, returns, rtol=1e-9, atol=1e-11)
    assert run.ambiguous_bars == ambiguous
    expected = run.metrics()
    for metric in METRIC_NAMES:
        assert swept[metric] == pytest.approx(expected[metric], rel=1e-9, abs=tolerance, nan_ok=True), (metric, config)
    return int(run.orders.sum())


def run_rule(objective, config, data):
    """Returns weights ``(n_bars, n_symbols)`` and returns ``(n_bars,)`` of a rule for one config, and its ambiguous exits."""
    whole = {name: int(value) if isinstance(objective.example[name], int) else value for name, value in config.items()}
    tables = {name: np.asarray(data[name]) for name in data.fields}
    tables |= {name: np.asarray(indicator(data, whole)) for name, indicator in objective.indicators.items()}
    execution = objective.execution or ("next_open" if "open" in data.fields else "next_close")
    kind = _Exits if objective.exits else _Orders if objective.rebalance == "on_change" else _Weights
    account = kind(objective, data, execution)
    if objective.exits:
        account.levels = {name: config[one] if isinstance(one, str) else one for name, one in objective.exits.items()}
    states = np.zeros((data.n_symbols, objective.state))
    weights, returned = np.zeros((data.n_bars, data.n_symbols)), [0.0] * data.n_symbols

    def decide(t):
        for i in range(data.n_symbols):
            if math.isnan(data["close"][t, i]):
                continue
            bar = SimpleNamespace(
                **{name: float(values[t, i]) for name, values in tables.items()},
                position=account.position(i), target=returned[i], entry_price=account.entry[i],
                bars_held=t - account.entered[i] if account.amount[i] else 0, equity=account.equity(),
                symbol=i, n_symbols=data.n_symbols, number=t,
            )  # fmt: skip
            arguments = (bar, SimpleNamespace(**config), states[i])
            returned[i] = weights[t, i] = float(objective.step(*arguments[: 3 if objective.state else 2]))
            if account.priced(t, i):
                account.standing[i] = returned[i]

    returns = np.zeros(data.n_bars)
    for t in range(data.n_bars):
        account.open_bar(t)
        if execution == "close":
            decide(t)
        returns[t] = account.trade(t)
        if account.lost:
            break
        if execution != "close":
            decide(t)
    return weights, returns, account.ambiguous


class _Account:
    """What both accountings share: prices, targets and entries."""

    def __init__(self, objective, data, execution):
        costs = objective.costs
        self.fee = costs.turnover_bps / 1e4
        self.slippage = costs.slippage_bps / 1e4
        self.borrow = costs.borrow_bps / 1e4 / data.periods_per_year
        self.margin = costs.margin_bps / 1e4 / data.periods_per_year
        self.closes = np.asarray(data["close"])
        self.fills = np.asarray(data["open"]) if execution == "next_open" else self.closes
        n = data.n_symbols
        self.amount, self.filled, self.standing = [0.0] * n, [0.0] * n, [0.0] * n
        self.entry, self.entered, self.last = [math.nan] * n, [0] * n, [math.nan] * n
        self.lost, self.ambiguous = False, 0
        self.ends = {}
        for i, symbol in enumerate(data.symbols):
            if symbol in data.listed_until and (~np.isnan(self.fills[:, i] + self.closes[:, i])).any():
                end = int(np.searchsorted(data.index, data.listed_until[symbol], side="right"))
                if end < data.n_bars:
                    self.ends[i] = end

    def priced(self, t, i):
        return not math.isnan(self.fills[t, i] + self.closes[t, i]) or self.ends.get(i) == t

    def prices(self, t, i):
        """The fill price and the close of a bar, the last close where there is none."""
        close = self.last[i] if math.isnan(self.closes[t, i]) else self.closes[t, i]
        return (close if math.isnan(self.fills[t, i] + self.closes[t, i]) else self.fills[t, i]), close

    def due(self, t):
        """The symbols whose target may be filled on a bar."""
        for i, end in self.ends.items():
            if end == t:
                self.standing[i] = 0.0
        return [i for i in range(len(self.amount)) if self.priced(t, i)]

    def enter(self, i, before, after, price, t):
        if after == 0.0:
            self.entry[i] = math.nan
        elif before * after <= 0.0:
            self.entry[i], self.entered[i] = price, t
        elif abs(after) > abs(before):
            self.entry[i] = (before * self.entry[i] + (after - before) * price) / after


class _Orders(_Account):
    """Orders where a target changes."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.cash = self.worth = CAPITAL
        self.marks = [0.0] * len(self.amount)
        self.value_now = CAPITAL

    def position(self, i):
        return self.amount[i] * self.marks[i] / self.value_now if self.amount[i] else 0.0

    def equity(self):
        return self.value_now / CAPITAL

    def open_bar(self, t):
        values = [units * self.last[i] if units else 0.0 for i, units in enumerate(self.amount)]
        short, gross = sum(max(0.0, -value) for value in values), sum(map(abs, values))
        self.cash -= self.borrow * short + self.margin * max(0.0, gross - self.worth)
        self.at = [self.prices(t, i) for i in range(len(self.amount))]
        self.value_now = self.cash + sum(units * self.at[i][0] for i, units in enumerate(self.amount) if units)
        self.marks = [close for _, close in self.at]

    def trade(self, t):
        value = self.value_now
        if value <= 0:
            self.lost = True
            return -1.0
        orders = []
        for i in self.due(t):
            if self.standing[i] != self.filled[i] or (self.ends.get(i) == t and self.amount[i]):
                self.filled[i] = self.standing[i]
                orders.append((max(0.0, self.filled[i] * value - self.amount[i] * self.at[i][0]), i))
        for _, i in sorted(orders):
            price = self.at[i][0]
            size = self.filled[i] * value / price - self.amount[i]
            if size > 0:
                paid = price * (1 + self.slippage)
                most = self.cash / (1 + self.fee)
                if size * paid > most and self.ends.get(i) != t:
                    size = 0.0 if most <= 1e-12 * value else most / paid
                    self.cash -= size * paid * (1 + self.fee)
                else:
                    self.cash -= size * paid * (1 + self.fee)
            else:
                self.cash += -size * price * (1 - self.slippage) * (1 - self.fee)
            if size:
                self.enter(i, self.amount[i], self.amount[i] + size, price, t)
                self.amount[i] += size
        before = self.worth
        for i, (_, close) in enumerate(self.at):
            self.last[i] = close
        self.worth = self.cash + sum(units * self.last[i] for i, units in enumerate(self.amount) if units)
        self.value_now = self.worth
        if self.worth <= 0:
            self.lost = True
            return -1.0
        return self.worth / before - 1


class _Exits(_Orders):
    """Orders, and exits within a bar."""

    def __init__(self, objective, data, execution):
        super().__init__(objective, data, execution)
        self.bars = {name: np.asarray(data[name]) for name in ("open", "high", "low")}
        self.at_open = execution == "next_open"
        self.out = [0] * len(self.amount)
        self.best = [math.nan] * len(self.amount)

    def enter(self, i, before, after, price, t):
        super().enter(i, before, after, price, t)
        if after and before * after <= 0:
            self.best[i] = price

    def open_bar(self, t):
        super().open_bar(t)
        if not self.at_open:
            self.leave(t)
            self.value_now = self.cash + sum(units * self.at[i][0] for i, units in enumerate(self.amount) if units)

    def due(self, t):
        found = super().due(t)
        for i in found:
            target, units = self.standing[i], self.amount[i]
            side = int(units > 0) - int(units < 0)
            if side and t - self.entered[i] >= self.levels.get("time_stop", math.inf):
                self.out[i] = side
            if self.out[i] * target > 0:
                self.given[i] = 0.0
            else:
                self.out[i], self.given[i] = 0, target
        return found

    def trade(self, t):
        self.given = list(self.standing)
        kept = self.standing
        self.due(t)
        for i in range(len(kept)):  # a listing that ends sets the target, which stays
            kept[i] = 0.0 if self.ends.get(i) == t else kept[i]
        self.standing = self.given
        change = self.fill_orders(t)
        self.standing = kept
        return change

    def fill_orders(self, t):
        due, self.due = self.due, lambda t: [i for i in range(len(self.amount)) if self.priced(t, i)]
        before = self.worth
        change = _Orders.trade(self, t)
        self.due = due
        if not self.lost and self.at_open and self.leave(t):
            self.worth = self.cash + sum(units * self.last[i] for i, units in enumerate(self.amount) if units)
            self.value_now = self.worth
            change = self.worth / before - 1
        return change

    def leave(self, t):
        """Closes positions whose levels the bar touches."""
        left = False
        for i, units in enumerate(self.amount):
            if not units or not self.priced(t, i):
                continue
            first, high, low = (self.bars[name][t, i] for name in ("open", "high", "low"))
            entry, best, price = self.entry[i], self.best[i], None
            stops = [entry * (1 - s) if units > 0 else entry * (1 + s) for s in [self.levels.get("stop_loss")] if s]
            stops += [best * (1 - s) if units > 0 else best * (1 + s) for s in [self.levels.get("trailing_stop")] if s]
            goals = [entry * (1 + g) if units > 0 else entry * (1 - g) for g in [self.levels.get("take_profit")] if g]
            if units > 0:
                stop, goal = max(stops, default=-math.inf), min(goals, default=math.inf)
                if first <= stop or first >= goal:
                    price = first
                elif low <= stop:
                    price = stop
                    self.ambiguous += high >= goal
                elif high >= goal:
                    price = goal
            else:
                stop, goal = min(stops, default=math.inf), max(goals, default=-math.inf)
                if first >= stop or first <= goal:
                    price = first
                elif high >= stop:
                    price = stop
                    self.ambiguous += low <= goal
                elif low <= goal:
                    price = goal
            if price is None:
                self.best[i] = max(best, high) if units > 0 else min(best, low)
                continue
            got = units * price * (1 - self.slippage if units > 0 else 1 + self.slippage)
            self.cash += got - abs(got) * self.fee
            self.out[i] = 1 if units > 0 else -1
            self.amount[i], self.entry[i] = 0.0, math.nan
            left = True
        return left


class _Weights(_Account):
    """Weights reset on every bar."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.value = self.value_now = 1.0
        self.ratio = [1.0] * len(self.amount)
        self.shown = [0.0] * len(self.amount)

    def position(self, i):
        return self.shown[i]

    def equity(self):
        return self.value_now

    def open_bar(self, t):
        gross, short = sum(map(abs, self.amount)), sum(max(0.0, -weight) for weight in self.amount)
        self.financing = self.borrow * short + self.margin * max(0.0, gross - 1)
        self.at = [self.prices(t, i) for i in range(len(self.amount))]
        self.gain, drifted, grown = 0.0, 1.0, []
        for i, weight in enumerate(self.amount):
            to_fill = self.at[i][0] / self.last[i] if weight else 1.0
            self.gain += weight * (to_fill - 1)
            grown.append(weight * to_fill * self.ratio[i])
            drifted += grown[i] - weight
        self.drifted = drifted
        self.old = [weight / drifted for weight in grown]
        self.shown, self.value_now = self.old, self.value * (1 + self.gain - self.financing)

    def trade(self, t):
        if self.drifted <= 0:
            self.lost = True
            return -1.0
        due, cost, gain = self.due(t), 0.0, self.gain
        for i in range(len(self.amount)):
            fill, close = self.at[i]
            new = self.standing[i] if i in due else self.old[i]
            if i in due:
                if new != self.filled[i]:
                    self.enter(i, self.old[i], new, fill, t)
                self.filled[i] = new
                cost += (self.fee + self.slippage) * abs(new - self.old[i])
            self.amount[i], self.last[i] = new, close
            self.ratio[i] = 1.0 if math.isnan(close) else close / fill
            gain += new * (self.ratio[i] - 1)
        change = gain - cost - self.financing
        if change <= -1:
            self.lost = True
            return -1.0
        self.value *= 1 + change
        self.value_now = self.value
        whole = 1 + sum(weight * (self.ratio[i] - 1) for i, weight in enumerate(self.amount))
        self.shown = [weight * self.ratio[i] / whole for i, weight in enumerate(self.amount)]
        return change

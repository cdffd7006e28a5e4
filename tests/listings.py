"""Markets whose symbols pause and end, and both accountings as loops that trade only where there is a price."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

import rbt_ray as rbt

DAY = np.timedelta64(1, "D")


@dataclass(frozen=True)
class Rates:
    """Costs as fractions; `borrow` and `margin` for a bar."""

    fee: float = 0.0
    slip: float = 0.0
    borrow: float = 0.0
    margin: float = 0.0


@dataclass(frozen=True)
class Account:
    """What a loop found, ``(n_bars,)`` each."""

    equity: np.ndarray
    traded: np.ndarray
    exposure: np.ndarray
    fills: np.ndarray
    trips: np.ndarray

    @classmethod
    def of(cls, n_bars):
        return cls(*(np.zeros(n_bars) for _ in range(3)), *(np.zeros(n_bars, int) for _ in range(2)))

    def metrics(self, periods_per_year):
        """Those metrics of a run that is never bankrupt which are sums over its bars."""
        n_bars = len(self.equity)
        returns = self.equity / np.concatenate([[1.0], self.equity[:-1]]) - 1
        deviation = returns.std(ddof=1)
        peak = np.maximum.accumulate(np.maximum(self.equity, 1.0))
        return {
            "total_return": self.equity[-1] - 1,
            "sharpe": returns.mean() / deviation * periods_per_year**0.5 if returns.any() else np.nan,
            "max_drawdown": (self.equity / peak).min() - 1,
            "turnover": self.traded.sum() / n_bars * periods_per_year,
            "exposure": self.exposure.mean(),
            "n_fills": self.fills.sum(),
            "n_trades": self.trips.sum(),
        }


def ending_market(seed, n_bars=60, n_symbols=4, opens=True, ends=True):
    """Random walks with holes in closes and opens, late listings, and symbols whose last bar is declared or not."""
    rng = np.random.default_rng(seed)
    index = np.datetime64("2020-01-01", "ns") + np.arange(n_bars) * DAY
    close = 50 * np.exp(np.cumsum(rng.normal(0, 0.03, (n_bars, n_symbols)), axis=0))
    open_ = close * np.exp(rng.normal(0, 0.01, close.shape))
    close[rng.random(close.shape) < rng.choice([0.0, 0.1, 0.4], n_symbols)] = np.nan
    declared = {}
    for i in range(1, n_symbols):
        first, last = sorted(rng.choice(n_bars, 2, replace=False))
        close[:first, i] = np.nan
        if rng.random() < 0.8:
            close[last + 1 :, i] = np.nan
            if ends and rng.random() < 0.8:
                declared[f"S{i}"] = index[last] + rng.choice([0, 12]) * np.timedelta64(1, "h")
    close[0, 0] = 50.0
    open_[np.isnan(close) | (rng.random(close.shape) < 0.05)] = np.nan
    fields = {"close": close, **({"open": open_} if opens else {})}
    symbols = [f"S{i}" for i in range(n_symbols)]
    return rbt.Bundle.from_arrays(fields, index, symbols, periods_per_year=252, listed_until=declared)


def random_targets(seed, shape, gross):
    """Long and short targets that stay for some bars."""
    rng = np.random.default_rng(seed)
    weights = rng.uniform(-gross, gross, shape) / shape[1] * (rng.random(shape) < 0.8)
    for t in range(1, shape[0]):
        kept = rng.random(shape[1]) < 0.7
        weights[t, kept] = weights[t - 1, kept]
    return weights


class _Bars:
    """The bars of a bundle one after the other: which symbols have a price, and what the others are worth."""

    def __init__(self, data, weights, execution):
        self._data, self._weights, self._lag = data, weights, execution != "close"
        self._fill = data["open"] if execution == "next_open" else data["close"]
        self._decided = [0.0] * len(data.symbols)
        self.before = [None] * len(data.symbols)  # the last close before the bar
        self.last = [None] * len(data.symbols)  # the last close up to the bar

    def __iter__(self):
        close, symbols = self._data["close"], range(len(self._data.symbols))
        ends = [self._data.listed_until.get(symbol) for symbol in self._data.symbols]
        for t, now in enumerate(self._data.index):
            self.before = list(self.last)
            price, target, leaves = {}, {}, []
            for i in symbols:
                if not np.isnan(close[t, i]):
                    self.last[i] = close[t, i]
                    if not np.isnan(self._fill[t, i]):
                        price[i] = self._fill[t, i]
                        target[i] = self._decided[i] if self._lag else self._weights[t, i]
                        self._decided[i] = self._weights[t, i]
                if ends[i] is not None and now > ends[i] and (t == 0 or self._data.index[t - 1] <= ends[i]):
                    leaves.append(i)
            yield t, price, target, leaves


def orders_loop(data, weights, execution, rates):
    """Orders where a target changes; what leaves is sold, or bought back, at its last close before anything is left."""
    n_bars, symbols = len(data.index), range(len(data.symbols))
    bars = _Bars(data, weights, execution)
    found = Account.of(n_bars)
    cash, held, filled, equity, gross, short = 1.0, [0.0] * len(symbols), [0.0] * len(symbols), 1.0, 0.0, 0.0
    for t, price, target, leaves in bars:
        cash -= rates.borrow * short + rates.margin * max(0.0, gross - equity)
        worth = cash + sum(held[i] * price.get(i, bars.last[i]) for i in symbols if held[i])
        if worth <= 0:
            return found
        wanted = {i: target[i] for i in target if target[i] != filled[i]}
        filled = [target.get(i, filled[i]) for i in symbols]
        for i in leaves:
            price[i] = bars.last[i]
            if held[i]:
                wanted[i] = 0.0
        for i in sorted(wanted, key=lambda i: max(0.0, wanted[i] * worth - held[i] * price[i])):
            units = whole = wanted[i] * worth / price[i] - held[i]
            paid = price[i] * (1 + rates.slip if units > 0 else 1 - rates.slip)
            if units > 0 and i not in leaves and units * paid * (1 + rates.fee) > cash:
                units = cash / (1 + rates.fee) / paid if cash / (1 + rates.fee) > 1e-12 * worth else 0.0
            if units:
                cash -= units * paid + abs(units) * paid * rates.fee
                found.fills[t] += 1
                found.traded[t] += abs(units) * price[i] / worth
                after = 0.0 if wanted[i] == 0 and units == whole else held[i] + units
                found.trips[t] += held[i] != 0 and held[i] * after <= 0
                held[i] = after
        values = [held[i] * bars.last[i] for i in symbols if held[i]]
        equity, gross, short = cash + sum(values), sum(map(abs, values)), -sum(v for v in values if v < 0)
        if equity <= 0:
            return found
        found.equity[t], found.exposure[t] = equity, gross / equity
    return found


def reset_loop(data, weights, execution, rates):
    """Weights brought back to their targets on every bar; what leaves is brought to 0 at its last close."""
    n_bars, symbols = len(data.index), range(len(data.symbols))
    bars = _Bars(data, weights, execution)
    found = Account.of(n_bars)
    held, filled, since, equity = [0.0] * len(symbols), [0.0] * len(symbols), [None] * len(symbols), 1.0
    for t, price, target, leaves in bars:
        earned, grown = 0.0, [0.0] * len(symbols)
        financing = rates.borrow * sum(-w for w in held if w < 0) + rates.margin * max(0.0, sum(map(abs, held)) - 1)
        for i in leaves:
            if bars.last[i] is not None:
                price[i], target[i] = bars.last[i], 0.0
        at_fill = [price.get(i, bars.last[i]) for i in symbols]
        for i in symbols:
            if held[i]:
                earned += held[i] * (at_fill[i] / bars.before[i] - 1)
                grown[i] = held[i] * at_fill[i] / since[i]
        drifted = 1 + sum(grown[i] - held[i] for i in symbols)
        for i in symbols:
            new = target.get(i, grown[i] / drifted)
            moved = abs(new - grown[i] / drifted) if i in target else 0.0
            earned += new * (bars.last[i] / at_fill[i] - 1) if new else 0.0
            financing += (rates.fee + rates.slip) * moved
            found.traded[t] += moved
            if i in target and target[i] != filled[i]:
                found.fills[t] += 1
                found.trips[t] += filled[i] != 0 and filled[i] * target[i] <= 0
                filled[i] = target[i]
            held[i], since[i] = new, at_fill[i]
        equity *= 1 + earned - financing
        if drifted <= 0 or equity <= 0:
            return found
        found.equity[t], found.exposure[t] = equity, sum(map(abs, held))
    return found


LOOPS = {"on_change": orders_loop, "every_bar": reset_loop}

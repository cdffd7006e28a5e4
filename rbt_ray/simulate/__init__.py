"""Simulation of strategies: from weights to returns, and from returns to metrics.

Both accounting modes use these rules; `types.ACCOUNTING` is their version:

**Price.** A symbol has a price on a bar if it has both a close and a fill price (the open for ``"next_open"``, else the
close). A symbol cannot be held before its first price.

**Missing bars.** On a bar without a price, no order of the symbol is filled. A holding is carried at its last close, and
its return falls on the bar of the next price. For valuation, `C` on such a bar is the last close, and `F` equals that `C`:
the result equals a run on prices filled forward, without trades on missing bars. (A bar with a close and no open is valued at
its close, and fills nothing at ``"next_open"``.)

**Targets.** A target on a bar without a price is ignored. The current target `w'[t]` is that of the last bar up to `t`
with a price of the symbol, and 0 before the first. So a comparison of indicators that is false on a holiday sells nothing.
A target that could not be filled is filled on the next bar with a price.

**End of data.** A holding without later prices, and without a declared end, is carried to the end at its last close, without cost. Closing it
would use the future: a run on bars that end without a price equals the first bars of the run on all bars.

**Ends of listings.** If the bundle declares the time of a symbol's last bar (`listed_until`), its holding is closed on
the first bar after it, at the last close and the usual costs. A short holding is covered completely, whatever the cash.
Targets of that bar and later, and a target that was not filled by then, are ignored. Nothing is closed if the bars end
first, so a run on the first bars equals the start of a run on all bars.

**Fills and round trips.** `n_fills` counts executions that a change of target requests, at most one per symbol and bar.
Trades by which `every_bar` only undoes drift are charged but not counted. `n_trades` counts round trips: positions that are
closed, or turned from long to short or back, on the bar of that fill. A position that is open at the end does not count.

Module `every_bar` resets weights to the targets on every bar and charges these trades; module `on_change` sends orders
only when a target changes.
"""

"""One strategy's weights become returns, and returns become numbers.

What both accountings mean by a price, a target that stands and a round trip; `types.ACCOUNTING` is the version of
these rules:

**Price.** A symbol has a price on a bar where its close and its fill price (the open for ``"next_open"``, else the
close) are both there. Before its first price a symbol cannot be held.

**Holes.** On a bar without a price nothing of the symbol is filled. A holding is carried at its last close, and what
it returns falls on the next price. For valuation, `C` on such a bar is the last close, and `F` is that `C`: the rules
are those of a bundle whose prices are filled forward, on which no missing bar may trade. (A bar with a close and no
open is valued at its close, and fills nothing at ``"next_open"``.)

**Targets.** A target on a bar without a price is ignored: `w'[t]` is the target of the last bar up to `t` on which the
symbol had a price, 0 before the first. A comparison of indicators that is false on a holiday sells nothing. A target
that could not be filled is filled on the next bar with a price.

**End of data.** A holding without later prices, and without a declared end, is carried to the end at its last close, without cost. Closing it
would use the future: a run on bars that end in a hole equals the first bars of the run on all of them.

**Ends of listings.** Where the bundle declares the time of a symbol's last bar (`listed_until`), its holding is closed
on the first bar after it, at the last close and the usual costs; a short holding is covered whole, whatever the cash.
Targets of that bar and later ones are ignored, and so is one that was not filled by then. Nothing is closed where the
bars end first, so a run on the first bars is still the beginning of the run on all of them.

**Fills and round trips.** `n_fills` counts executions that a change of target asks for, one a symbol and bar; trades by
which `every_bar` only undoes drift are charged, and not counted. `n_trades` counts round trips: positions closed, or
turned from long to short or back, on the bar of the fill that does it. A position open at the end is none.

Module `every_bar` resets weights to the targets on every bar and charges the drift it undoes; module `on_change` sends
orders only where a target changes.
"""

"""An objective of one's own: the study file names it, and every host must be able to import it."""

import rbt_ray as rbt


def pullback(params, data):
    """Holds a symbol above its long average while it stands below its short one."""
    close, tie = data.close, 1 + 1e-9
    trend = close > data.sma("close", params["trend"]) * tie
    dip = close * tie < data.sma("close", params["dip"])
    return rbt.backtest(data, (trend & dip) / data.n_symbols, costs=rbt.Costs(turnover_bps=5))

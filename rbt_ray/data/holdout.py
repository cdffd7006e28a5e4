"""Splits a bundle's bars into training and hold-out."""

from __future__ import annotations

import math
from datetime import date
from fractions import Fraction
from typing import TypeAlias

import numpy as np

from rbt_ray.data import times
from rbt_ray.data.bundle import Bundle
from rbt_ray.errors import SettingError

Holdout: TypeAlias = float | str | date | None
"""A share of the bars, the date the hold-out begins on, or None."""


def holdout_start(bundle: Bundle, holdout: Holdout) -> int:
    """Returns the number of training bars, which is the position of the first held-out bar.

    Args:
        bundle: the prices.
        holdout: None: no hold-out, all bars are for training. A share above 0 and below 1: that share of the bars, the last
            ones, rounded up to whole bars. A date, datetime or ISO text: the bars on and after it, in the bundle's time
            zone unless it has its own.

    Raises:
        SettingError: `holdout` has another type or value, or leaves no training bars or no hold-out bars.
    """
    if holdout is None:
        return bundle.n_bars
    start = _by_share(bundle, holdout) if isinstance(holdout, float) else _by_date(bundle, holdout)
    if start in (0, bundle.n_bars):
        first, last = (times.text(bundle.index[bar], bundle.tz) for bar in (0, -1))
        kind = "training" if start == 0 else "hold-out"
        raise SettingError(
            f"`holdout` {_shown(holdout)} leaves no {kind} bars: the bundle has {bundle.n_bars:,}, from {first} to {last}."
        )
    return start


def _by_share(bundle: Bundle, share: float) -> int:
    if not 0 < share < 1:
        raise SettingError(
            f"`holdout` as a share of the bars is above 0 and below 1 (0.3 holds out the last 30 %); got {share}."
        )
    training = 1 - Fraction(repr(float(share)))  # 0.9 as written: in binary, 10 * (1 - 0.9) is below 1
    return math.floor(bundle.n_bars * training)


def _by_date(bundle: Bundle, holdout: object) -> int:
    start = times.instant(holdout, bundle.tz)
    if start is None:
        raise SettingError(
            "`holdout` is a share of the bars (0.3), the date the hold-out begins on ('2010-01-04'), or None; "
            f"got {holdout!r}."
        )
    return int(np.searchsorted(bundle.index, start))


def _shown(holdout: object) -> str:
    return repr(holdout) if isinstance(holdout, float | str) else str(holdout)

"""`check_lookahead` tests whether weights or returns of an objective depend on later prices."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from rbt_ray.errors import LookaheadError, ObjectiveError, SettingError
from rbt_ray.objectives.kind import kind_of
from rbt_ray.simulate.backtest import Backtest
from rbt_ray.types import Config, FloatArray

if TYPE_CHECKING:
    from rbt_ray.data.bundle import Bundle

# Above the rounding differences of sums over arrays of other lengths, and below any real change.
TOLERANCE = 1e-9

_ALTERATIONS = ("no later bars", "higher later prices", "lower later prices")
_PRICES = ("open", "high", "low", "close")


@dataclass(frozen=True, slots=True)
class LookaheadReport:
    """The runs that found no look-ahead.

    Args:
        cuts: the bars after which prices were altered.
        n_runs: number of runs of the objective.
    """

    cuts: tuple[int, ...]
    n_runs: int

    def __str__(self) -> str:
        return (
            f"No look-ahead found: weights and returns up to bars {', '.join(map(str, self.cuts))} stayed the same with "
            f"{', '.join(_ALTERATIONS[:-1])} and {_ALTERATIONS[-1]} ({self.n_runs} runs)."
        )


def check_lookahead(
    objective: Any, bundle: Bundle | str, params: Config | None = None, *, n_cuts: int = 5, seed: int = 0
) -> LookaheadReport:
    """Checks that no weight and no return changes when only later prices do.

    The objective runs on the whole bundle and, for each of `n_cuts` bars, on three others: one that ends at that bar, and
    two whose later prices are higher or lower by random factors of 10 to 100 %. A clean report is evidence, not proof: a
    strategy that rarely looks ahead may pass; more cuts make that less likely. Knowledge from outside `data`, such as dates
    chosen in hindsight or prices in a global, is not detected.

    Args:
        objective: a function of (params, data) that returns a Backtest.
        bundle: a bundle, or the name of a registered one.
        params: params of the runs; None: the `example` of the objective.
        n_cuts: number of bars to cut at, spread over the last three quarters of the bundle.
        seed: the seed of the cuts, of the altered prices and of `data.rng`.

    Raises:
        LookaheadError: weights or returns changed; the message names the first bar and symbol.
        ObjectiveError: params are missing, the objective returns no Backtest, or its results differ between equal runs.
        SettingError: `n_cuts` is not from 1 to half the number of bars.
    """
    from rbt_ray.data.registry import load_bundle

    prices = load_bundle(bundle) if isinstance(bundle, str) else bundle
    if n_cuts not in range(1, prices.n_bars // 2 + 1):
        raise SettingError(f"`n_cuts` is from 1 to half the bundle's bars ({prices.n_bars // 2}); got {n_cuts!r}.")
    config = _example(objective) if params is None else params
    rng = np.random.default_rng(seed)
    truth = _run(objective, prices, prices.n_bars, config, seed)
    changed = _first_change(truth, _run(objective, prices, prices.n_bars, config, seed), prices.n_bars)
    if changed is not None:
        raise ObjectiveError(
            f"`objective` gives different results on the same prices: {changed}. The check needs "
            "repeatable results: draw random numbers from data.rng, and keep no state between calls."
        )
    cuts = _cuts(prices.n_bars, n_cuts, rng)
    for cut in cuts:
        runs = (
            _run(objective, prices, cut + 1, config, seed),
            _run(objective, _altered(prices, cut, rng, 1.0), prices.n_bars, config, seed),
            _run(objective, _altered(prices, cut, rng, -1.0), prices.n_bars, config, seed),
        )
        for alteration, run in zip(_ALTERATIONS, runs, strict=True):
            changed = _first_change(truth, run, cut + 1)
            if changed is not None:
                raise LookaheadError(
                    f"the objective looks ahead: with {alteration}, after bar {cut} "
                    f"({np.datetime_as_string(prices.index[cut], unit='auto')}), {changed}. A bar's weights may use "
                    "that bar and earlier ones only: look for shift(-1), for a mean, extreme or quantile over all "
                    "bars, and for filling backwards."
                )
    return LookaheadReport(cuts, 2 + len(_ALTERATIONS) * len(cuts))


def _example(objective: Any) -> Config:
    example: Config | None = getattr(objective, "example", None)
    if example is None:
        raise ObjectiveError(
            f"`params` is needed to run {getattr(objective, '__name__', repr(objective))}, which has no `example` of its "
            'own: check_lookahead(objective, bundle, {"fast": 10, "slow": 50}).'
        )
    return example


def _run(objective: Any, bundle: Bundle, n_bars: int, params: Config, seed: int) -> Backtest:
    data = bundle.view(n_bars).for_trial(seed)
    answer = objective([params], data)[0] if kind_of(objective).takes == "configs" else objective(params, data)
    if not isinstance(answer, Backtest):
        raise ObjectiveError(
            f"`objective` must return a Backtest for its weights to be compared; got {answer!r} of type "
            f"{type(answer).__name__}. Return rbt.backtest(data, weights) itself, not a metric of it."
        )
    return answer


def _cuts(n_bars: int, n_cuts: int, rng: np.random.Generator) -> tuple[int, ...]:
    """Returns a random bar in each of `n_cuts` equal parts of the last three quarters, except the last bar."""
    edges = np.linspace(n_bars // 4, n_bars - 1, n_cuts + 1).astype(int)
    return tuple(int(rng.integers(low, high)) for low, high in pairwise(edges))


def _altered(bundle: Bundle, cut: int, rng: np.random.Generator, sign: float) -> Bundle:
    """Returns the bundle with values after `cut` multiplied by random factors, the same for the four prices of a bar."""
    from rbt_ray.data.bundle import with_fields

    shape = (bundle.n_bars - cut - 1, bundle.n_symbols)
    common = np.exp(sign * rng.uniform(0.1, 0.7, shape))
    fields: dict[str, FloatArray] = {}
    for field in bundle.fields:
        values = np.array(bundle[field])
        values[cut + 1 :] *= common if field in _PRICES else np.exp(sign * rng.uniform(0.1, 0.7, shape))
        fields[field] = values
    return with_fields(bundle, fields, bundle.index)


def _first_change(truth: Backtest, run: Backtest, n_bars: int) -> str | None:
    """Returns a clause that names the first bar up to `n_bars` on which the two differ; None if they are equal."""
    weights = ~np.isclose(truth.weights[:n_bars], run.weights[:n_bars], TOLERANCE, TOLERANCE, equal_nan=True)
    returns = ~np.isclose(truth.returns[:n_bars], run.returns[:n_bars], TOLERANCE, TOLERANCE, equal_nan=True)
    bars = np.flatnonzero(weights.any(axis=1) | returns)
    if not len(bars):
        return None
    bar = int(bars[0])
    date = np.datetime_as_string(truth.index[bar], unit="auto")
    if weights[bar].any():
        at = int(np.argmax(weights[bar]))
        before, after = truth.weights[bar, at], run.weights[bar, at]
        return f"the weight of {truth.symbols[at]!r} on bar {bar} ({date}) is {after:.6g} where it was {before:.6g}"
    return (
        f"the return of bar {bar} ({date}) is {run.returns[bar]:.6g} where it was {truth.returns[bar]:.6g}, "
        "with the same weights"
    )

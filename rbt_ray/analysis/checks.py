"""The three checks of a verdict, and where they contradict each other.

Does the best trial beat luck, does the ranking carry over, and does it hold on unseen bars?
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from rbt_ray.analysis.evidence import Moments
from rbt_ray.analysis.luck import LuckTest
from rbt_ray.analysis.overfitting import Cscv
from rbt_ray.analysis.walk_forward import WalkForwardResult
from rbt_ray.block_sums import Benchmark, BlockSums

State: TypeAlias = Literal["pass", "weak", "fail", "not checked"]

LUCK_LIMITS = (0.05, 0.20)
"""The highest p-values that pass and that are weak."""
PBO_LIMITS = (0.2, 0.5)
"""The highest probabilities of overfitting that pass and that are weak."""
_WITHIN_90 = 1.6448536269514722
"""90 % of normal draws lie within this many standard deviations."""
_LUCK_PASSES = "The best trial beats luck on the training bars"
_LUCK_FAILS = "Luck alone explains the edge on the training bars"
_SENTENCES = {
    (
        0,
        1,
    ): f"{_LUCK_PASSES}, but the best on one half of history did not stay good on the other: the edge may come from few years.",
    (1, 0): "The ranking of the trials carries over, but luck alone explains the edge of the best.",
    (
        0,
        2,
    ): f"{_LUCK_PASSES}, but the choice fails on unseen bars: the edge may have ended, or the unseen range may be too short.",
    (2, 0): f"{_LUCK_FAILS}, but the choice did well on unseen bars too: more years would decide.",
    (1, 2): "The ranking of the trials carries over within the training bars, but the choice fails on unseen bars.",
    (2, 1): "The ranking of the trials does not carry over, but the choice did well on unseen bars.",
}
"""By the places of the check that passes and of the check that fails, in the order of `Verdict.checks`."""


@dataclass(frozen=True, slots=True)
class VerdictInputs:
    """What a verdict is made from. Sharpe ratios are annual except in `moments` and `trials_variance`.

    Args:
        sums: block sums of all trials, or of some drawn at random, and of the winner; None if there are none.
        benchmark: of the same blocks; if its returns are all 0, trials are compared with nothing.
        winner: number of the best trial, as in `sums`.
        best_value: the study's metric of the winner.
        metric: its name.
        n_trials: trials of the study.
        n_evaluations: evaluations of all trials at all fidelities.
        is_audit: whether the search learns, so that `sums` must come from an audit set; no `sums` then means no audit set.
        holdout: Sharpe ratios of the winner and of the benchmark on bars that no trial saw.
        walk_forward: of the search, over the training bars.
        walk_forward_name: what it is, as within a sentence.
        moments: of the winner's returns; None assumes a normal distribution.
        trials_variance: variance of the trials' Sharpe ratios per bar; None computes it from `sums`.
        caveats: sentences that do not vote.
        winner_is_drawn: whether the winner is one of the trials drawn at random. If not, it is left out of the checks that
            need a random sample, as it always is from an audit set.
        benchmark_name: as in "over holding".
        holdout_years: length of the hold-out.
        is_done: whether the search has ended; before that, nothing is tried on unseen bars.
    """

    sums: BlockSums | None
    benchmark: Benchmark | None
    winner: int | None
    best_value: float
    metric: str
    n_trials: int
    n_evaluations: int
    is_audit: bool = False
    holdout: tuple[float, float] | None = None
    walk_forward: WalkForwardResult | None = None
    moments: Moments | None = None
    trials_variance: float | None = None
    caveats: tuple[str, ...] = ()
    winner_is_drawn: bool = True
    benchmark_name: str = "holding"
    holdout_years: float | None = None
    walk_forward_name: str = "walk-forward"
    is_done: bool = True

    @property
    def has_benchmark(self) -> bool:
        """Whether trials are compared with returns that are not all 0."""
        return self.benchmark is not None and bool(self.benchmark.squares.any())

    @property
    def unseen_source(self) -> str:
        """What the check on unseen bars is made from, as a sentence begins with it."""
        return self.walk_forward_name.capitalize() if self.holdout is None else "The hold-out"


@dataclass(frozen=True, slots=True)
class Check:
    """One of the three checks.

    Args:
        name: "beats luck", "ranking carries over" or "unseen bars".
        value: the p-value, the probability of overfitting, or the Sharpe ratio on unseen bars; None if not checked.
        null_band: the range that holds 90 % of such values without skill; None if unknown.
        state: of the check.
        sentence: the value in words.
        benchmark: the Sharpe ratio of the benchmark on the unseen bars; None in the other checks, and without a benchmark.
    """

    name: str
    value: float | None
    null_band: tuple[float, float] | None
    state: State
    sentence: str
    benchmark: float | None = None


def luck_check(inputs: VerdictInputs, luck: LuckTest) -> Check:
    """Returns the check whether the winner's edge is larger than luck gives the best of so many trials."""
    sentence = luck_sentence(inputs, luck)
    if inputs.is_audit:
        sentence += f" This is approximate: it is computed from {luck.n_tested - 1:,} configs drawn at random."
    return Check("beats luck", luck.p_value, (0.05, 0.95), _graded(luck.p_value, LUCK_LIMITS), sentence)


def luck_sentence(inputs: VerdictInputs, luck: LuckTest) -> str:
    """Returns how often luck alone gives such an edge."""
    over = f" over {inputs.benchmark_name}" if inputs.has_benchmark else ""
    if not luck.statistic > 0:
        return f"It has no edge{over}." if over else "Its mean return is not above 0."
    about = "about " if inputs.is_audit else ""
    return f"Luck alone gives so large an edge{over} {about}{_percent(luck.p_value)} of the time."


def ranking_check(inputs: VerdictInputs, splits: Cscv, band: tuple[float, float]) -> Check:
    """Returns the check whether trials that are best on one half of history are good on the other."""
    pbo = splits.pbo_half_ties
    sentence = (
        f"The best on one half of history fell below the median on the other in {_percent(pbo)} of the splits; without "
        f"skill it is {_percent(band[0])} to {_percent(band[1])}."
    )
    if inputs.is_audit:
        sentence += f" This is approximate: it is computed from {splits.n_trials:,} configs drawn at random."
    if inputs.metric != "sharpe":
        sentence += f" Here the best is that by Sharpe ratio, not by {inputs.metric}."
    return Check("ranking carries over", pbo, band, _graded(pbo, PBO_LIMITS), sentence)


def unseen_check(inputs: VerdictInputs) -> Check:
    """Returns the check on bars that the choice did not use: the hold-out's, else those of a walk-forward."""
    found, years = inputs.holdout, inputs.holdout_years
    if found is None and inputs.walk_forward is not None:
        walk = inputs.walk_forward
        found, years = (walk.sharpe, walk.benchmark_sharpe), walk.years
    if found is None:
        why = "set `holdout` or `validation`" if inputs.is_done else "the study is not finished"
        sentence = f"It was not tried on unseen bars: {why}."
        return Check("unseen bars", None, None, "not checked", sentence)
    sharpe, benchmark = found
    limit = benchmark if inputs.has_benchmark and benchmark > 0 else 0.0
    state: State = "fail" if not sharpe > 0 else "pass" if sharpe >= limit else "weak"
    band = (-_WITHIN_90 / math.sqrt(years), _WITHIN_90 / math.sqrt(years)) if years else None
    beside = f"; {inputs.benchmark_name} gave {benchmark:.2f}" if inputs.has_benchmark else ""
    where = "On the hold-out" if inputs.holdout is not None else f"On the test ranges of {inputs.walk_forward_name}"
    return Check(
        "unseen bars",
        sharpe,
        band,
        state,
        f"{where}, the choice gave {figure(sharpe)}{beside}.",
        benchmark if inputs.has_benchmark else None,
    )


def missing_checks(sentence: str) -> tuple[Check, Check]:
    """Returns the checks that need a random sample of trials, as not checked."""
    return (
        Check("beats luck", None, None, "not checked", sentence),
        Check("ranking carries over", None, None, "not checked", sentence),
    )


def _graded(value: float, limits: tuple[float, float]) -> State:
    return "pass" if value <= limits[0] else "weak" if value <= limits[1] else "fail"


def _percent(share: float) -> str:
    if share < 0.001:
        return "less than 0.1 %"
    return f"{100 * share:.1f} %" if share < 0.0995 else f"{100 * share:.0f} %"


def figure(value: float) -> str:
    """Returns a figure as sentences have it."""
    if not math.isfinite(value):
        return "none"
    return f"{value:.2f}" if abs(value) < 1000 else f"{value:.4g}"


def disagreements(checks: Sequence[Check], inputs: VerdictInputs) -> tuple[str, ...]:
    """Returns a sentence for each pair of checks of which one passes and one fails, and for a walk-forward that differs.

    Args:
        checks: the three checks, in the order of `Verdict.checks`.
        inputs: what they were made from.
    """
    states = [check.state for check in checks]
    found = [
        sentence
        for (passes, fails), sentence in _SENTENCES.items()
        if states[passes] == "pass" and states[fails] == "fail"
    ]
    walk, holdout = inputs.walk_forward, inputs.holdout
    if walk is None or holdout is None:
        return tuple(found)
    # A ratio that is not finite does not reach anything.
    if _reaches(*holdout, inputs) != _reaches(walk.sharpe, walk.benchmark_sharpe, inputs):
        beside, there = "", ""
        if inputs.has_benchmark:
            beside, there = (
                f" ({inputs.benchmark_name} {figure(ratio)})" for ratio in (holdout[1], walk.benchmark_sharpe)
            )
        found.append(
            f"The hold-out gave {figure(holdout[0])}{beside}, and {inputs.walk_forward_name} on the training bars "
            f"{figure(walk.sharpe)}{there}."
        )
    return tuple(found)


def _reaches(sharpe: float, benchmark: float, inputs: VerdictInputs) -> bool:
    return sharpe > 0 and (not inputs.has_benchmark or sharpe >= benchmark)

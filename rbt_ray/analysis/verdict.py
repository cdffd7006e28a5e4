"""The verdict on the best trial of a search: three checks, one rule, one word."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, TypeAlias

import numpy as np

from rbt_ray.analysis.checks import Check as Check
from rbt_ray.analysis.checks import VerdictInputs as VerdictInputs
from rbt_ray.analysis.checks import (
    disagreements,
    figure,
    luck_check,
    luck_sentence,
    missing_checks,
    ranking_check,
    unseen_check,
)
from rbt_ray.analysis.evidence import Moments, evidence_of, sharpe_ratios
from rbt_ray.analysis.luck import search_wide_p
from rbt_ray.analysis.overfitting import LogitShares, cscv_of_sums, expected_out_of_sample, without_skill
from rbt_ray.analysis.sharpe import in_range
from rbt_ray.block_sums import BlockSums

Word: TypeAlias = Literal["HOLDS UP SO FAR", "NOT SHOWN", "LUCK EXPLAINS IT", "TOO LITTLE TO SAY"]

_LEAST_TRIALS = 3
_LEAST_BARS = 2
"""Bars per block: fewer have no variance."""
_NO_SAMPLE = (
    "The search learns, so its trials are not a random sample: `audit=128` adds one, for the cost of 128 evaluations."
)
_NOT_DONE = "The search learns and is not finished, so there is no random sample of configs to compare with."
_NO_RETURNS = "No returns are recorded, from a Backtest or as `returns`."


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the best trial of a search is likely to be real.

    Args:
        word: the conclusion.
        sentence: the figures that it follows from, one paragraph.
        checks: the three that vote; empty if there is too little to say.
        evidence: further figures by name, which do not vote; None where one does not exist.
        caveats: sentences that do not vote.
        disagreements: sentences on checks that contradict each other.
        logits: how the splits of the cross-validation are distributed; None if it was not made. Not in `to_dict`.
    """

    word: Word
    sentence: str
    checks: tuple[Check, ...]
    evidence: Mapping[str, float | None]
    caveats: tuple[str, ...] = ()
    disagreements: tuple[str, ...] = ()
    logits: LogitShares | None = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        return f"{self.word}. {self.sentence}"

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON values; None for numbers that are not finite."""
        return {
            "word": self.word,
            "sentence": self.sentence,
            "checks": [_plain(asdict(check)) for check in self.checks],
            "evidence": _plain(dict(self.evidence)),
            "caveats": list(self.caveats),
            "disagreements": list(self.disagreements),
        }


def judge(inputs: VerdictInputs) -> Verdict:
    """Returns the verdict.

    HOLDS UP SO FAR: the winner beats luck, and no check fails or is missing. LUCK EXPLAINS IT: luck is not ruled out, and
    not both other checks pass. NOT SHOWN: anything else. TOO LITTLE TO SAY: the checks cannot be made.
    """
    unseen = unseen_check(inputs)
    if inputs.is_audit and inputs.sums is None and inputs.winner is not None:
        no_sample = _NO_SAMPLE if inputs.is_done else _NOT_DONE
        checks = (*missing_checks(no_sample), unseen)
        sentence = f"{_best(inputs)} {no_sample} {unseen.sentence}"
        return Verdict("NOT SHOWN", sentence, checks, _evidence_without_sample(inputs), inputs.caveats)
    inputs = _without_infinite(inputs)
    sums, benchmark, winner = inputs.sums, inputs.benchmark, inputs.winner
    if winner is None:
        return _too_little("There is no best trial.", inputs)
    if sums is None or benchmark is None:
        return _too_little(_NO_RETURNS, inputs)
    if winner not in sums.trials:
        return _too_little("The returns of the best trial are not recorded.", inputs)
    drawn = sums
    if inputs.is_audit or not inputs.winner_is_drawn:
        drawn = _rows(sums, sums.trials != winner)
    n_bars = float(benchmark.lengths.sum())
    own = float(sharpe_ratios(_rows(sums, sums.trials == winner), n_bars)[0])
    if len(drawn) < _LEAST_TRIALS:
        return _too_little(f"{len(drawn)} trials have returns, and at least {_LEAST_TRIALS} are needed.", inputs)
    if benchmark.lengths.min() < _LEAST_BARS:
        least = _LEAST_BARS * len(benchmark.lengths)
        return _too_little(f"{n_bars:.0f} bars are too few, and at least {least} are needed.", inputs)
    if math.isnan(own):
        return _too_little("The returns of the best trial are constant.", inputs)
    luck = search_wide_p(sums, benchmark, winner, inputs.n_evaluations)
    splits = cscv_of_sums(drawn, benchmark.lengths)
    chosen, beside = expected_out_of_sample(splits, benchmark)
    first = luck_check(inputs, luck)
    noise = without_skill(drawn, benchmark.lengths)
    ranking = ranking_check(inputs, splits, noise.pbo_band)
    gave = f"{_chosen(inputs, splits.n_trials)} gave {chosen:.2f} on the other"
    gave += f"; {inputs.benchmark_name} gave {beside:.2f}." if inputs.has_benchmark else "."
    sentence = " ".join([_best(inputs), gave, luck_sentence(inputs, luck), _on_unseen(inputs, first, unseen)])
    variance = inputs.trials_variance
    if variance is None:
        ratios = sharpe_ratios(drawn, n_bars)
        known = ratios[np.isfinite(ratios)]
        variance = float(known.var(ddof=1)) if len(known) > 1 else 0.0
    moments = inputs.moments or Moments(int(n_bars), own)
    walk = inputs.walk_forward
    evidence = {
        **evidence_of(moments, inputs.n_evaluations, variance, benchmark.periods_per_year),
        "alpha_t": luck.statistic,
        "alpha_t_by_luck": luck.null_median,
        "alpha_t_needed": luck.null_95,
        "out_of_sample_sharpe": chosen,
        "out_of_sample_benchmark": beside,
        "walk_forward_sharpe": walk.sharpe if walk else None,
        "walk_forward_benchmark": walk.benchmark_sharpe if walk else None,
    }
    checks = (first, ranking, unseen)
    return Verdict(
        _word(*checks),
        sentence,
        checks,
        evidence,
        inputs.caveats,
        disagreements(checks, inputs),
        LogitShares.of(splits, noise),
    )


def _best(inputs: VerdictInputs) -> str:
    best = figure(inputs.best_value)
    named = best if inputs.metric == "sharpe" else f"A {inputs.metric} of {best}"
    return f"{named} is the best of {inputs.n_trials:,}."


def _chosen(inputs: VerdictInputs, n_compared: int) -> str:
    """Returns the subject of the sentence about the cross-validation, which chooses by Sharpe ratio."""
    by = "" if inputs.metric == "sharpe" else " by Sharpe ratio"
    if inputs.is_audit:
        return f"Of {n_compared:,} configs drawn at random, the best{by} on one half of history"
    return f"Chosen{by} on one half of history it"


def _evidence_without_sample(inputs: VerdictInputs) -> Mapping[str, float | None]:
    """Returns the statistics that need neither other trials nor their variance."""
    if inputs.moments is None or inputs.benchmark is None:
        return {}
    return evidence_of(inputs.moments, inputs.n_evaluations, math.nan, inputs.benchmark.periods_per_year)


def _word(luck: Check, ranking: Check, unseen: Check) -> Word:
    states = {ranking.state, unseen.state}
    if luck.state == "pass" and not states & {"fail", "not checked"}:
        return "HOLDS UP SO FAR"
    if luck.state == "fail" and states != {"pass"}:
        return "LUCK EXPLAINS IT"
    return "NOT SHOWN"


def _on_unseen(inputs: VerdictInputs, luck: Check, unseen: Check) -> str:
    """Returns whether the check on unseen bars agrees with that of luck."""
    if unseen.value is None:
        return unseen.sentence
    _, benchmark = inputs.holdout or (0.0, inputs.walk_forward.benchmark_sharpe if inputs.walk_forward else 0.0)
    beside = f", {inputs.benchmark_name} {benchmark:.2f}" if inputs.has_benchmark else ""
    figures = f"({figure(unseen.value)}{beside})"
    if unseen.state == "weak" and luck.state == "pass":
        return f"{inputs.unseen_source} did not reach {inputs.benchmark_name} {figures}."
    if (unseen.state == "pass") == (luck.state == "pass"):
        return f"{inputs.unseen_source} agrees {figures}."
    return f"{inputs.unseen_source} disagrees {figures}: more years, not more trials, would decide."


def _too_little(reason: str, inputs: VerdictInputs) -> Verdict:
    return Verdict("TOO LITTLE TO SAY", reason, (), {}, inputs.caveats)


def _without_infinite(inputs: VerdictInputs) -> VerdictInputs:
    """Leaves out trials whose sums are not finite, with a caveat, and a benchmark that is not finite."""
    sums, benchmark = inputs.sums, inputs.benchmark
    if benchmark is not None and not (in_range(benchmark.sums).all() and in_range(benchmark.squares).all()):
        return replace(inputs, benchmark=None)
    if sums is None:
        return inputs
    is_finite = np.all([in_range(part).all(axis=1) for part in (sums.sums, sums.squares, sums.products)], axis=0)
    if is_finite.all():
        return inputs
    caveat = f"{(~is_finite).sum():,} trials with returns that are not finite are left out."
    return replace(inputs, sums=_rows(sums, is_finite), caveats=(*inputs.caveats, caveat))


def _rows(sums: BlockSums, rows: np.ndarray[Any, np.dtype[np.bool_]]) -> BlockSums:
    return BlockSums(sums.trials[rows], sums.sums[rows], sums.squares[rows], sums.products[rows])


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Returns values as JSON has them."""

    def plain(value: Any) -> Any:
        if isinstance(value, tuple):
            return [plain(one) for one in value]
        if isinstance(value, float):
            return float(value) if math.isfinite(value) else None
        return value

    return {key: plain(value) for key, value in values.items()}

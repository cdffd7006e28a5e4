"""The verdict on the best trial of a search: three checks, one rule, one word."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np

from rbt_ray.analysis.checks import Check as Check
from rbt_ray.analysis.checks import VerdictInputs as VerdictInputs
from rbt_ray.analysis.checks import luck_check, luck_sentence, missing_checks, ranking_check, unseen_check
from rbt_ray.analysis.evidence import Moments, evidence_of, sharpe_ratios
from rbt_ray.analysis.luck import search_wide_p
from rbt_ray.analysis.overfitting import cscv_of_sums, expected_out_of_sample, pbo_without_skill
from rbt_ray.block_sums import BlockSums

Word: TypeAlias = Literal["HOLDS UP SO FAR", "NOT SHOWN", "LUCK EXPLAINS IT", "TOO LITTLE TO SAY"]

_LEAST_TRIALS = 3
_LEAST_BARS = 2
"""Bars per block: fewer have no variance."""
_NO_SAMPLE = (
    "The search learns, so its trials are not a random sample: `audit=128` adds one, for the cost of 128 evaluations."
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the best trial of a search is likely to be real.

    Args:
        word: the conclusion.
        sentence: the figures that it follows from, one paragraph.
        checks: the three that vote; empty if there is too little to say.
        evidence: further figures by name, which do not vote; None where one does not exist.
        caveats: sentences that do not vote.
    """

    word: Word
    sentence: str
    checks: tuple[Check, ...]
    evidence: Mapping[str, float | None]
    caveats: tuple[str, ...] = ()

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
        }


def judge(inputs: VerdictInputs) -> Verdict:
    """Returns the verdict.

    HOLDS UP SO FAR: the winner beats luck, and no check fails or is missing. LUCK EXPLAINS IT: luck is not ruled out, and
    not both other checks pass. NOT SHOWN: anything else. TOO LITTLE TO SAY: the checks cannot be made.
    """
    unseen = unseen_check(inputs)
    best = f"{_figure(inputs.best_value)} is the best of {inputs.n_trials:,}."
    if inputs.is_audit and inputs.sums is None:
        checks = (*missing_checks(_NO_SAMPLE), unseen)
        return Verdict("NOT SHOWN", f"{best} {_NO_SAMPLE} {unseen.sentence}", checks, {}, inputs.caveats)
    inputs = _without_infinite(inputs)
    sums, benchmark, winner = inputs.sums, inputs.benchmark, inputs.winner
    if sums is None or benchmark is None or winner is None or winner not in sums.trials:
        return _too_little("no returns of the best trial are recorded", inputs)
    drawn = sums
    if inputs.is_audit or not inputs.winner_is_drawn:
        drawn = _rows(sums, sums.trials != winner)
    n_bars = float(benchmark.lengths.sum())
    ratios, own = sharpe_ratios(drawn, n_bars), float(sharpe_ratios(_rows(sums, sums.trials == winner), n_bars)[0])
    if len(drawn) < _LEAST_TRIALS:
        return _too_little(f"{len(drawn)} trials have returns, and at least {_LEAST_TRIALS} are needed", inputs)
    if benchmark.lengths.min() < _LEAST_BARS:
        least = _LEAST_BARS * len(benchmark.lengths)
        return _too_little(f"{n_bars:.0f} bars are too few, and at least {least} are needed", inputs)
    if math.isnan(own):
        return _too_little("the returns of the best trial are constant", inputs)
    luck = search_wide_p(sums, benchmark, winner, inputs.n_evaluations)
    splits = cscv_of_sums(drawn, benchmark.lengths)
    chosen, beside = expected_out_of_sample(splits, benchmark)
    first = luck_check(inputs, luck)
    ranking = ranking_check(inputs, splits, pbo_without_skill(drawn, benchmark.lengths))
    gave = f"Chosen on one half of history it gave {chosen:.2f} on the other"
    gave += f"; {inputs.benchmark_name} gave {beside:.2f}." if inputs.has_benchmark else "."
    sentence = " ".join([best, gave, luck_sentence(inputs, luck), _on_unseen(inputs, first, unseen)])
    moments = inputs.moments or Moments(int(n_bars), own)
    known = ratios[np.isfinite(ratios)]
    variance = inputs.trials_variance
    if variance is None:
        variance = float(known.var(ddof=1)) if len(known) > 1 else 0.0
    evidence = {
        **evidence_of(moments, inputs.n_evaluations, variance, benchmark.periods_per_year),
        "alpha_t": luck.statistic,
        "alpha_t_by_luck": luck.null_median,
        "alpha_t_needed": luck.null_95,
        "out_of_sample_sharpe": chosen,
        "out_of_sample_benchmark": beside,
        "walk_forward_sharpe": inputs.walk_forward.sharpe if inputs.walk_forward else None,
        "walk_forward_benchmark": inputs.walk_forward.benchmark_sharpe if inputs.walk_forward else None,
    }
    checks = (first, ranking, unseen)
    return Verdict(_word(first, ranking, unseen), sentence, checks, evidence, inputs.caveats)


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
    figures = f"({_figure(unseen.value)}{beside})"
    if unseen.state == "weak" and luck.state == "pass":
        return f"{inputs.unseen_source} did not reach {inputs.benchmark_name} {figures}."
    if (unseen.state == "pass") == (luck.state == "pass"):
        return f"{inputs.unseen_source} agrees {figures}."
    return f"{inputs.unseen_source} disagrees {figures}: more years, not more trials, would decide."


def _too_little(reason: str, inputs: VerdictInputs) -> Verdict:
    return Verdict("TOO LITTLE TO SAY", f"There is too little to judge by: {reason}.", (), {}, inputs.caveats)


def _without_infinite(inputs: VerdictInputs) -> VerdictInputs:
    """Leaves out trials whose sums are not finite, with a caveat, and a benchmark that is not finite."""
    sums, benchmark = inputs.sums, inputs.benchmark
    if benchmark is not None and not (np.isfinite(benchmark.sums).all() and np.isfinite(benchmark.squares).all()):
        return replace(inputs, benchmark=None)
    if sums is None:
        return inputs
    is_finite = np.all([np.isfinite(part).all(axis=1) for part in (sums.sums, sums.squares, sums.products)], axis=0)
    if is_finite.all():
        return inputs
    caveat = f"{(~is_finite).sum():,} trials with returns that are not finite are left out."
    return replace(inputs, sums=_rows(sums, is_finite), caveats=(*inputs.caveats, caveat))


def _rows(sums: BlockSums, rows: np.ndarray[Any, np.dtype[np.bool_]]) -> BlockSums:
    return BlockSums(sums.trials[rows], sums.sums[rows], sums.squares[rows], sums.products[rows])


def _figure(value: float) -> str:
    return f"{value:.2f}" if abs(value) < 1000 else f"{value:.4g}"


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Returns values as JSON has them."""

    def plain(value: Any) -> Any:
        if isinstance(value, tuple):
            return [plain(one) for one in value]
        if isinstance(value, float):
            return float(value) if math.isfinite(value) else None
        return value

    return {key: plain(value) for key, value in values.items()}

"""Where the checks of a verdict contradict each other, in words."""

from __future__ import annotations

from collections.abc import Sequence

from rbt_ray.analysis.checks import Check, VerdictInputs, figure

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

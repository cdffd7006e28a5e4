"""`sequential` measures optimizations in order, each on top of those accepted before."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rbt_ray.bench.comparison import ACCEPTED, REJECTED, Comparison, Thresholds, compare
from rbt_ray.bench.measurement import Sample
from rbt_ray.bench.pairs import Pairs, paired
from rbt_ray.errors import NotEquivalentError

GOAL = 0.90
LEAST_OF_TWO = 0.02

Measure = Callable[[tuple[str, ...], str], Sample | float]
"""Runs once with the given optimizations on, while measuring the named one."""


@dataclass(frozen=True)
class Step:
    """The result for one optimization.

    Args:
        name: the name of the optimization.
        on_top_of: optimizations accepted before.
        verdict: "accepted", "rejected" or "not decided".
        reason: a sentence that says why.
        comparison: of runs with it and without it; None if their results differ, so that times were not compared.
        pairs: the runs, likewise.
        cumulative: 1 - T / T_base after it, where T is the time with all accepted ones: the product of their ratios. Each
            ratio is of alternating runs, so that a drift of the machine has no effect.
    """

    name: str
    on_top_of: tuple[str, ...]
    verdict: str
    reason: str
    comparison: Comparison | None
    pairs: Pairs | None
    cumulative: float

    @property
    def accepted(self) -> bool:
        """Whether it was accepted."""
        return self.verdict == ACCEPTED

    def to_dict(self) -> dict[str, Any]:
        """Returns all fields except the single runs, as plain values."""
        return {
            "name": self.name, "on_top_of": list(self.on_top_of), "verdict": self.verdict, "accepted": self.accepted,
            "reason": self.reason, "cumulative": self.cumulative, "comparison": self.comparison and self.comparison.to_dict(),
        }  # fmt: skip


@dataclass(frozen=True)
class SequentialResult:
    """The results of optimizations in order.

    Args:
        steps: the measured ones.
        left: names of those not measured, since the stopping rule applied.
        stopped: a sentence that says where the rule applied and why.
    """

    steps: tuple[Step, ...]
    left: tuple[str, ...]
    stopped: str

    @property
    def accepted(self) -> tuple[str, ...]:
        """Names of the accepted optimizations."""
        return tuple(step.name for step in self.steps if step.accepted)

    @property
    def cumulative(self) -> float:
        """1 - T_final / T_base."""
        return self.steps[-1].cumulative if self.steps else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Returns all fields except the single runs, as plain values."""
        return {
            "steps": [step.to_dict() for step in self.steps], "accepted": list(self.accepted), "left": list(self.left),
            "cumulative": self.cumulative, "stopped": self.stopped,
        }  # fmt: skip


def sequential(
    names: Sequence[str],
    measure: Measure,
    *,
    runs: int = 10,
    warmup: int = 1,
    discard: int = 0,
    thresholds: Thresholds | None = None,
    to_the_end: bool = False,
) -> SequentialResult:
    """Measures optimizations in order, each on top of those accepted before.

    Stops if the cumulative gain, 1 - T_final / T_base, is above 90 %, or the last two added less than 2 %. An optimization
    that changes the results is rejected without regard to its time.

    Args:
        names: optimizations in order.
        measure: runs once with the optimizations of these names on, while measuring the named one.
        runs: pairs for each.
        warmup: uncounted pairs before them.
        discard: uncounted runs of a side after each change of sides.
        thresholds: None: the default ones.
        to_the_end: measure all; `stopped` says where the rule applied.

    Raises:
        SettingError: as `paired`.
        BenchError: a run failed.
    """

    def judged() -> Iterable[Step]:
        accepted: tuple[str, ...] = ()
        left = 1.0
        for name in names:
            step = _judge(name, accepted, measure, runs, warmup, discard, thresholds)
            if step.comparison is not None and step.accepted:
                accepted, left = (*accepted, name), left * step.comparison.ratio
            yield replace(step, cumulative=1 - left)

    return stop_when_done(names, judged(), to_the_end=to_the_end)


def stop_when_done(names: Sequence[str], judged: Iterable[Step], *, to_the_end: bool = False) -> SequentialResult:
    """Takes steps until the stopping rule applies.

    Args:
        names: of all optimizations.
        judged: their steps, computed lazily.
        to_the_end: take all steps, and record where the rule applied.
    """
    steps: list[Step] = []
    stopped = ""
    for step in judged:
        steps.append(step)
        stopped = stopped or _why_stop(steps)
        if stopped and not to_the_end:
            break
    return SequentialResult(
        tuple(steps), tuple(names[len(steps) :]), stopped or "The stopping rule never applied: all were measured."
    )


def _judge(
    name: str,
    accepted: tuple[str, ...],
    measure: Measure,
    runs: int,
    warmup: int,
    discard: int,
    thresholds: Thresholds | None,
) -> Step:
    try:
        pairs = paired(
            lambda: measure(accepted, name),
            lambda: measure((*accepted, name), name),
            runs=runs,
            warmup=warmup,
            discard=discard,
            name=name,
        )
    except NotEquivalentError as error:
        return Step(name, accepted, REJECTED, f"Rejected: {str(error).removeprefix(f'{name}: ')}", None, None, 0.0)
    comparison = compare(pairs, thresholds=thresholds)
    return Step(name, accepted, comparison.verdict, comparison.reason, comparison, pairs, 0.0)


def _why_stop(steps: Sequence[Step]) -> str:
    last = steps[-1]
    if last.cumulative > GOAL:
        return f"After {last.name} the cumulative gain is {last.cumulative:.1%}, above the goal of {GOAL:.0%}."
    if len(steps) >= 2:
        added = last.cumulative - (steps[-3].cumulative if len(steps) > 2 else 0.0)
        if added < LEAST_OF_TWO:
            return f"After {last.name}: the last two added {added:.1%}, less than {LEAST_OF_TWO:.0%}."
    return ""

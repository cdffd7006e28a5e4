"""sequential: optimizations one after another, each on top of those accepted before it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rbt_ray.bench.comparison import Comparison, Thresholds, compare
from rbt_ray.bench.measurement import Sample
from rbt_ray.bench.pairs import Pairs, paired
from rbt_ray.errors import NotEquivalentError

GOAL = 0.90
LEAST_OF_TWO = 0.02

Measure = Callable[[tuple[str, ...], str], Sample | float]
"""One run with these optimizations on, by name, while the named one is judged."""


@dataclass(frozen=True)
class Step:
    """One optimization as it was judged.

    Args:
        name: of the optimization.
        on_top_of: those accepted before it.
        accepted: whether it was.
        reason: a sentence that says why.
        comparison: with it beside without it; None where they do not give the same, so that no time was compared.
        pairs: the runs, likewise.
        cumulative: 1 - T / T_base after it, where T is the time with all that are accepted: the product of their ratios, each
            of runs by turns, so that a machine that gets slower does not count.
    """

    name: str
    on_top_of: tuple[str, ...]
    accepted: bool
    reason: str
    comparison: Comparison | None
    pairs: Pairs | None
    cumulative: float

    def to_dict(self) -> dict[str, Any]:
        """All of it but the single runs, as plain values."""
        return {
            "name": self.name, "on_top_of": list(self.on_top_of), "accepted": self.accepted, "reason": self.reason,
            "cumulative": self.cumulative, "comparison": self.comparison and self.comparison.to_dict(),
        }  # fmt: skip


@dataclass(frozen=True)
class SequentialResult:
    """Optimizations in the order they were judged.

    Args:
        steps: those that were.
        left: names of those that were not, since the rule said stop.
        stopped: a sentence that says where the rule stopped and why.
    """

    steps: tuple[Step, ...]
    left: tuple[str, ...]
    stopped: str

    @property
    def accepted(self) -> tuple[str, ...]:
        """Names of those that were."""
        return tuple(step.name for step in self.steps if step.accepted)

    @property
    def cumulative(self) -> float:
        """1 - T_final / T_base."""
        return self.steps[-1].cumulative if self.steps else 0.0

    def to_dict(self) -> dict[str, Any]:
        """All of it but the single runs, as plain values."""
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
    thresholds: Thresholds | None = None,
    to_the_end: bool = False,
) -> SequentialResult:
    """Judges optimizations one after another, each on top of those accepted before it.

    Stops where the cumulative gain, 1 - T_final / T_base, is above 90 %, or less than 2 % of it came from the last two. One
    that does not give the same results as without it is rejected, and its time is not looked at.

    Args:
        names: optimizations, in the order in which they are tried.
        measure: one run with the optimizations of these names on, while the named one is judged.
        runs: pairs for each.
        warmup: pairs before them that do not count.
        thresholds: None: the default ones.
        to_the_end: judges those after the stop, too; `stopped` says where it was.

    Raises:
        SettingError: as `paired`.
        BenchError: a run failed.
    """

    def judged() -> Iterable[Step]:
        accepted: tuple[str, ...] = ()
        left = 1.0
        for name in names:
            step = _judge(name, accepted, measure, runs, warmup, thresholds)
            if step.comparison is not None and step.accepted:
                accepted, left = (*accepted, name), left * step.comparison.ratio
            yield replace(step, cumulative=1 - left)

    return stop_when_done(names, judged(), to_the_end=to_the_end)


def stop_when_done(names: Sequence[str], judged: Iterable[Step], *, to_the_end: bool = False) -> SequentialResult:
    """Takes steps until the rule says stop.

    Args:
        names: of all optimizations.
        judged: their steps, made as they are asked for.
        to_the_end: takes all, and says where the rule stopped.
    """
    steps: list[Step] = []
    stopped = ""
    for step in judged:
        steps.append(step)
        stopped = stopped or _why_stop(steps)
        if stopped and not to_the_end:
            break
    return SequentialResult(
        tuple(steps), tuple(names[len(steps) :]), stopped or "The rule never stopped: all were judged."
    )


def _judge(
    name: str,
    accepted: tuple[str, ...],
    measure: Measure,
    runs: int,
    warmup: int,
    thresholds: Thresholds | None,
) -> Step:
    try:
        pairs = paired(
            lambda: measure(accepted, name),
            lambda: measure((*accepted, name), name),
            runs=runs,
            warmup=warmup,
            name=name,
        )
    except NotEquivalentError as error:
        return Step(name, accepted, False, f"Rejected: {str(error).removeprefix(f'{name}: ')}", None, None, 0.0)
    comparison = compare(pairs, thresholds=thresholds)
    return Step(name, accepted, comparison.accepted, comparison.reason, comparison, pairs, 0.0)


def _why_stop(steps: Sequence[Step]) -> str:
    last = steps[-1]
    if last.cumulative > GOAL:
        return f"After {last.name} the cumulative gain is {last.cumulative:.1%}, above the goal of {GOAL:.0%}."
    if len(steps) >= 2:
        brought = last.cumulative - (steps[-3].cumulative if len(steps) > 2 else 0.0)
        if brought < LEAST_OF_TWO:
            return f"After {last.name}: the last two brought {brought:.1%}, less than {LEAST_OF_TWO:.0%}."
    return ""

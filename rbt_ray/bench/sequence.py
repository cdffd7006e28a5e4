"""sequential: optimizations one after another, each on top of those accepted before it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rbt_ray.bench.comparison import Comparison, Thresholds, compare
from rbt_ray.bench.pairs import Pairs, paired
from rbt_ray.bench.sample import Sample

GOAL = 0.90
LEAST_OF_TWO = 0.02

Measure = Callable[[tuple[str, ...]], Sample | float]
"""One run with these optimizations on, by name."""


@dataclass(frozen=True)
class Step:
    """One optimization as it was judged.

    Args:
        name: of the optimization.
        on_top_of: those accepted before it.
        comparison: with it beside without it.
        pairs: the runs.
        cumulative: 1 - T / T_base after it, where T is the time with all that are accepted.
    """

    name: str
    on_top_of: tuple[str, ...]
    comparison: Comparison
    pairs: Pairs
    cumulative: float


@dataclass(frozen=True)
class SequentialResult:
    """Optimizations in the order they were judged.

    Args:
        steps: those that were.
        left: names of those that were not, since the rule said stop.
        stopped: a sentence that says why it ended.
    """

    steps: tuple[Step, ...]
    left: tuple[str, ...]
    stopped: str

    @property
    def accepted(self) -> tuple[str, ...]:
        """Names of those that were."""
        return tuple(step.name for step in self.steps if step.comparison.accepted)

    @property
    def cumulative(self) -> float:
        """1 - T_final / T_base."""
        return self.steps[-1].cumulative if self.steps else 0.0

    def to_dict(self) -> dict[str, Any]:
        """All of it but the single runs, as plain values."""
        steps = [
            {
                "name": step.name,
                "on_top_of": list(step.on_top_of),
                "cumulative": step.cumulative,
                **step.comparison.to_dict(),
            }
            for step in self.steps
        ]
        return {
            "steps": steps, "accepted": list(self.accepted), "left": list(self.left), "cumulative": self.cumulative,
            "stopped": self.stopped,
        }  # fmt: skip


def sequential(
    names: Sequence[str],
    measure: Measure,
    *,
    runs: int = 10,
    warmup: int = 1,
    thresholds: Thresholds | None = None,
) -> SequentialResult:
    """Judges optimizations one after another, each on top of those accepted before it.

    Stops where the cumulative gain, 1 - T_final / T_base, is above 90 %, or less than 2 % of it came from the last two.

    Args:
        names: optimizations, in the order in which they are tried.
        measure: one run with the optimizations of these names on.
        runs: pairs for each.
        warmup: pairs before them that do not count.
        thresholds: None: the default ones.

    Raises:
        SettingError: as `paired`.
        BenchError: as `paired`.
    """

    def judged() -> Iterable[Step]:
        accepted: tuple[str, ...] = ()
        base_s: float | None = None
        now_s = 0.0
        for name in names:
            before, after = accepted, (*accepted, name)
            pairs = paired(lambda: measure(before), lambda: measure(after), runs=runs, warmup=warmup, name=name)  # noqa: B023
            comparison = compare(pairs, thresholds=thresholds)
            if base_s is None:
                base_s = now_s = comparison.baseline_s
            if comparison.accepted:
                accepted, now_s = after, comparison.candidate_s
            yield Step(name, before, comparison, pairs, 1 - now_s / base_s)

    return stop_when_done(names, judged())


def stop_when_done(names: Sequence[str], judged: Iterable[Step]) -> SequentialResult:
    """Takes steps until the rule says stop.

    Args:
        names: of all optimizations.
        judged: their steps, made as they are asked for.
    """
    steps: list[Step] = []
    stopped = "Every optimization was judged."
    for step in judged:
        steps.append(step)
        if step.cumulative > GOAL:
            stopped = f"The cumulative gain is {step.cumulative:.1%}, above the goal of {GOAL:.0%}."
            break
        if len(steps) >= 2:
            before = steps[-3].cumulative if len(steps) > 2 else 0.0
            if step.cumulative - before < LEAST_OF_TWO:
                stopped = f"The last two brought {step.cumulative - before:.1%}, less than {LEAST_OF_TWO:.0%}."
                break
    return SequentialResult(tuple(steps), tuple(names[len(steps) :]), stopped)

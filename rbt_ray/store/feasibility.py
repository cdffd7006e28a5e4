"""How many trials of a study are infeasible, and which constraints exclude them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from rbt_ray.store.table import TrialTable
from rbt_ray.study.study import Study
from rbt_ray.types import COMPLETED, BoolArray, FloatArray


@dataclass(frozen=True, slots=True)
class ConstraintCount:
    """The trials that break one constraint on metrics.

    Args:
        constraint: its text.
        n_broken: the number of trials that break it.
        n_alone: the number of trials that break no other.
        n_better: the number of trials at full fidelity that break no other, and have a better metric than the best feasible
            one; if there is no feasible one, all that break no other. In a study of several metrics, those that no feasible
            one dominates or equals.
        best: the best metric of those, the first of several; None if there are none.
    """

    constraint: str
    n_broken: int
    n_alone: int
    n_better: int
    best: float | None


@dataclass(frozen=True, slots=True)
class Feasibility:
    """The infeasible trials of a study.

    Args:
        n_judged: the number of trials at full fidelity, and of infeasible ones at lower fidelities.
        n_infeasible: the number of trials that break a constraint on metrics.
        by_constraint: the same for each constraint, in order of definition.
        n_allowed: the number of configs that satisfy the constraints on parameters; None if that is infinite or unknown.
        n_configs: the number of configs without these constraints.
    """

    n_judged: int
    n_infeasible: int
    by_constraint: tuple[ConstraintCount, ...]
    n_allowed: int | None
    n_configs: int | None

    def sentences(self, study: Study) -> Iterator[str]:
        """Yields what the constraints exclude, a sentence each."""
        if study.space.constraints:
            shown = ", ".join(f"`{one.text}`" for one in study.space.constraints)
            counted = self.n_allowed is not None and self.n_configs is not None
            left = f"leave {self.n_allowed:,} of {self.n_configs:,} configs" if counted else "hold for every config"
            yield f"constraints on parameters ({shown}) {left}."
        if study.constraints:
            yield from self.of_metrics(study)

    def of_metrics(self, study: Study) -> Iterator[str]:
        """Yields how many trials break the constraints on metrics, and which of these bind."""
        yield f"{self.n_infeasible:,} of {self.n_judged:,} trials are infeasible{self._by_constraint()}."
        for one in self.by_constraint:
            if one.n_better and self.n_infeasible < self.n_judged and study.further_goals:
                yield f"`{one.constraint}` binds: it alone excludes {one.n_better:,} that no feasible trial dominates or equals."
            elif one.n_better and self.n_infeasible < self.n_judged:
                yield (
                    f"`{one.constraint}` binds: it alone excludes {one.n_better:,} with a better {study.metric} than the best "
                    f"feasible trial, up to {one.best:.6g}."
                )

    def _by_constraint(self) -> str:
        broken = [one for one in self.by_constraint if one.n_broken]
        if not broken:
            return ""
        parts = [f"`{one.constraint}` {one.n_broken:,} ({one.n_alone:,} break only this)" for one in broken]
        return f": {', '.join(parts)}"


def feasibility_of(table: TrialTable) -> Feasibility:
    """Returns the infeasible trials of a table."""
    study = table.study
    violations = table.violations
    broken = violations > 0
    n_broken = broken.sum(axis=0)
    whole = (table.fidelity == 1.0) & (table.outcomes.status == COMPLETED)
    loss = np.where(whole, table.loss, np.nan)
    is_better = _is_better(table, loss, (n_broken == 0) & ~np.isnan(loss))
    sign = -1.0 if study.mode == "max" else 1.0
    counts = []
    for constraint, row in zip(study.metric_constraints, broken, strict=True):
        alone = row & (n_broken == 1)
        better = loss[alone & is_better]
        best = sign * float(better.min()) if len(better) else None
        counts.append(ConstraintCount(constraint.text, int(row.sum()), int(alone.sum()), len(better), best))
    without = study.space.without_constraints
    return Feasibility(
        n_judged=int((whole | (n_broken > 0)).sum()),
        n_infeasible=int((n_broken > 0).sum()),
        by_constraint=tuple(counts),
        n_allowed=study.space.size,
        n_configs=without.size,
    )


def _is_better(table: TrialTable, loss: FloatArray, feasible: BoolArray) -> BoolArray:
    """Returns ``(n_trials,)`` which trials have a loss below that of each feasible one; of several, which none dominates or equals."""
    if not table.study.further_goals:
        is_less: BoolArray = loss < (loss[feasible].min() if feasible.any() else np.inf)
        return is_less
    found = ~np.isnan(loss)
    losses = table.losses
    for point in losses[table.front]:
        found &= ~(point <= losses).all(axis=1)
    return found

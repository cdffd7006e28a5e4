"""Evaluates configs after the search for the verdict: an audit set drawn at random, and the best trial's block sums."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rbt_ray.engine.dispatcher import Dispatcher
from rbt_ray.engine.stop_conditions import Interrupt
from rbt_ray.search.random_draws import RandomSearch
from rbt_ray.store.events import Role
from rbt_ray.store.journal import Evaluated, Journal
from rbt_ray.store.table import TrialTable
from rbt_ray.study.draw import AUDIT_FIRST
from rbt_ray.study.study import Study
from rbt_ray.study.trials import mix64
from rbt_ray.types import FloatArray, IntArray

_TICK_SECONDS = 0.1
_GRACE_SECONDS = 1.0
_SIZE = 128
_LEAST_COST = 20 * _SIZE
"""A smaller search has no audit set by default, which would cost more than 5 % of it."""


def audit_size(study: Study, table: TrialTable) -> int:
    """Returns how many configs the audit set of a study has: `study.audit`, or the default for what its search cost."""
    if study.audit is not None:
        return study.audit
    wanted = study.is_adaptive and table.outcomes.block_sums is not None and table.cost >= _LEAST_COST
    return _SIZE if wanted else 0


@dataclass(frozen=True, slots=True, eq=False)
class VerdictTrials:
    """Evaluates configs for the verdict, after the search or a run of it has ended.

    Args:
        table: all trials of the search.
        done: what was evaluated after the search before this run.
        dispatcher: with no trials, for the purpose "sums".
        journal: records each batch as it finishes.
        interrupt: set to stop the study.
    """

    table: TrialTable
    done: list[Evaluated]
    dispatcher: Dispatcher
    journal: Journal
    interrupt: Interrupt

    def evaluate_winner(self) -> bool:
        """Evaluates the best trial again if its block sums are not recorded; returns False if interrupted."""
        recorded, best = self.table.outcomes.block_sums, self.table.ranking(1)
        is_done = any(event.role == "winner" for event in self.done)
        if recorded is None or is_done or np.isin(best, recorded.rows).all():
            return True
        return self._evaluate("winner", self.table.trials[best], self.table.points[best])

    def evaluate_audit_set(self) -> bool:
        """Evaluates the configs of the audit set that are not done yet; returns False if interrupted."""
        study = self.table.study
        points = _drawn(study, audit_size(study, self.table))
        trials = AUDIT_FIRST + np.arange(len(points), dtype=np.int64)
        known = [event.batch.trials for event in self.done if event.role == "audit"]
        left = ~np.isin(trials, np.concatenate(known)) if known else np.ones(len(trials), bool)
        return self._evaluate("audit", trials[left], points[left])

    def _evaluate(self, role: Role, trials: IntArray, points: FloatArray) -> bool:
        self.dispatcher.add(trials, points, np.ones(len(trials)))
        while not self.dispatcher.idle:
            stop = self.interrupt.is_set()
            finished = self.dispatcher.drain(_GRACE_SECONDS) if stop else self.dispatcher.step(_TICK_SECONDS)
            if not self.interrupt.discards_results:
                for batch in finished:
                    self.journal.append(Evaluated(role, batch))
            if stop:
                return False
        return True


def _drawn(study: Study, n: int) -> FloatArray:
    """Returns ``(n, n_params)`` configs drawn from the space by the study's seed, none twice; fewer in a smaller space."""
    if not n:
        return np.empty((0, study.space.n_params))
    seed = int(mix64(study.seed, np.array([AUDIT_FIRST]))[0])
    return RandomSearch(study.space, limit=n, seed=seed).ask(n).points

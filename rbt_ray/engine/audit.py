"""Evaluates configs after the search for the verdict: an audit set drawn at random, and the best trial's block sums."""

from __future__ import annotations

import numpy as np

from rbt_ray.engine.dispatcher import Dispatcher
from rbt_ray.engine.stop_conditions import Interrupt
from rbt_ray.search.random_search import RandomSearch
from rbt_ray.store.events import Role
from rbt_ray.store.journal import Evaluated, Journal
from rbt_ray.store.table import TrialTable
from rbt_ray.study.draw import AUDIT_FIRST
from rbt_ray.study.seeds import mix64
from rbt_ray.study.study import Study
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


def evaluate_after_search(
    study: Study,
    table: TrialTable,
    done: list[Evaluated],
    dispatcher: Dispatcher,
    journal: Journal,
    interrupt: Interrupt,
) -> bool:
    """Evaluates the audit set, and the best trial if its block sums are not recorded; returns False if interrupted.

    Args:
        study: the study's definition.
        table: all trials of the search.
        done: what was evaluated after the search before this run.
        dispatcher: with no trials, for the purpose "sums".
        journal: records each batch as it finishes.
        interrupt: set to stop the study.
    """

    def evaluate(role: Role, trials: IntArray, points: FloatArray) -> bool:
        dispatcher.add(trials, points, np.ones(len(trials)))
        while not dispatcher.idle:
            stop = interrupt.is_set()
            finished = dispatcher.drain(_GRACE_SECONDS) if stop else dispatcher.step(_TICK_SECONDS)
            if not interrupt.discards_results:
                for batch in finished:
                    journal.append(Evaluated(role, batch))
            if stop:
                return False
        return True

    recorded = table.outcomes.block_sums
    best = table.ranking(1)
    again = recorded is not None and not np.isin(best, recorded.rows).all()
    is_done = any(event.role == "winner" for event in done)
    if again and not is_done and not evaluate("winner", table.trials[best], table.points[best]):
        return False
    points = _drawn(study, audit_size(study, table))
    trials = AUDIT_FIRST + np.arange(len(points), dtype=np.int64)
    known = [event.batch.trials for event in done if event.role == "audit"]
    left = ~np.isin(trials, np.concatenate(known)) if known else np.ones(len(trials), bool)
    return evaluate("audit", trials[left], points[left])


def _drawn(study: Study, n: int) -> FloatArray:
    """Returns ``(n, n_params)`` configs drawn from the space by the study's seed, none twice; fewer in a smaller space."""
    if not n:
        return np.empty((0, study.space.n_params))
    seed = int(mix64(study.seed, np.array([AUDIT_FIRST]))[0])
    return RandomSearch(study.space, limit=n, seed=seed).ask(n).points

"""Runs the objective of a study again, on the study's workers, for its results."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np

from rbt_ray.analysis.permutation import PermutationTest
from rbt_ray.analysis.robustness import Robustness
from rbt_ray.errors import StudyInterrupted
from rbt_ray.store.table import TrialTable
from rbt_ray.tuner.nested import evaluator
from rbt_ray.tuner.permutation import check_permutations, permutation_test
from rbt_ray.tuner.robustness import Checks, Settings, StudyWorkers
from rbt_ray.types import FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class OnWorkers:
    """See `rbt_ray.tuner.reruns.Runner`.

    Args:
        workers: opens idle workers of the study.
    """

    workers: Callable[[], AbstractContextManager[StudyWorkers]]

    def permutation_test(self, table: TrialTable, n: int) -> PermutationTest:
        """Runs the search on `n` random orders of the bars.

        Raises:
            StudyInterrupted: it was stopped.
        """
        n = check_permutations(table.study, n)
        with self.workers() as workers:
            verbose = workers.nested.run_config.verbose
            found = permutation_test(table, workers.objective, n, workers.nested, verbose=verbose)
        if found is None:
            raise StudyInterrupted("the permutation test was stopped. Call `permutation_test` again to continue it.")
        return found

    def robustness(self, table: TrialTable, audit: TrialTable | None, settings: dict[str, Any]) -> Robustness:
        """Runs the checks of the best trial."""
        checked = Settings(**settings)
        with self.workers() as workers:
            return Checks(table, _typical(audit or table), workers, checked).run()

    def evaluate(self, table: TrialTable, points: FloatArray) -> TrialTable:
        """Evaluates ``(n, n_params)`` configs at full fidelity."""
        with self.workers() as workers:
            return evaluator(table.study, workers.objective, workers.nested, "neighbours")(points)


def _typical(table: TrialTable) -> float:
    """Returns the median of the study's metric over the feasible trials at full fidelity."""
    ranking = table.ranking()
    return float(np.median(table.numbers(table.study.metric)[ranking])) if len(ranking) else np.nan

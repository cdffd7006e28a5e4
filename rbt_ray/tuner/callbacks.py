"""Calls the user's callbacks during a study."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rbt_ray.columns import Proposals, Results
from rbt_ray.store.journal import Finished
from rbt_ray.study.study import Study

if TYPE_CHECKING:
    from rbt_ray.tuner.result_grid import ResultGrid


class Callbacks:
    """Calls `on_trial_complete(result)` and `on_study_end(results)` of each callback object that has them.

    Callbacks run in the driver, between batches. An exception that one raises stops the study, which can be resumed.
    """

    def __init__(self, callbacks: Sequence[Any], study: Study) -> None:
        self._study = study
        self._on_trial = [c.on_trial_complete for c in callbacks if hasattr(c, "on_trial_complete")]
        self._on_end = [c.on_study_end for c in callbacks if hasattr(c, "on_study_end")]

    def on_finished(self, event: Finished) -> None:
        """Calls `on_trial_complete` for each trial of a batch that finished in this run."""
        if not self._on_trial:
            return
        n = len(event.trials)
        fidelity = event.outcomes.reached(np.full(n, event.fidelity))
        proposals = Proposals(event.points, fidelity, self._study.space)
        loss = self._study.loss_of(event.outcomes.metrics, n)
        violation = self._study.violation(event.points, event.outcomes, event.fidelity)
        for result in Results(event.trials, proposals, event.outcomes, loss, [event.worker] * n, violation):
            for call in self._on_trial:
                call(result)

    def on_study_end(self, results: ResultGrid) -> None:
        """Calls `on_study_end` after a run has completed or stopped."""
        for call in self._on_end:
            call(results)

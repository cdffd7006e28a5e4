"""Studies within the folder of another study, on the same workers: those of a validation, a permutation test or given configs."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rbt_ray.errors import SettingError, StudyInterrupted
from rbt_ray.search.fixed_sequence import FixedConfigs
from rbt_ray.store.journal import EndReason
from rbt_ray.store.journal_file import FILE_NAME
from rbt_ray.store.location import OWN_BUNDLE, StudyLocation
from rbt_ray.store.table import TrialTable
from rbt_ray.store.trust import UNCHECKED
from rbt_ray.study.study import Study
from rbt_ray.study.trials import nested_seed
from rbt_ray.study.windows import Window
from rbt_ray.tuner.config import RunConfig
from rbt_ray.tuner.neighbours import Evaluate
from rbt_ray.tuner.plan import StudyPlan
from rbt_ray.tuner.result_grid import ResultGrid
from rbt_ray.types import FloatArray

if TYPE_CHECKING:
    from rbt_ray.data.bundle import Bundle

_ROBUSTNESS = "robustness"
"""The folder, in a study's, of the studies of its robustness checks."""
_MAX_PENDING = 2**17


@dataclass(frozen=True, slots=True, eq=False)
class NestedStudies:
    """Runs studies below a study's folder, each resumed if it has begun and read if it is done.

    Args:
        folder: the other study's.
        prices: the other study's; None if it has none.
        run_config: the other study's.
        run: runs a study on the same workers and returns why it ended.
        new_search: returns a new copy of the user's searcher or sampler object; None if the study names its search.
    """

    folder: Path
    prices: Bundle | None
    run_config: RunConfig
    run: Callable[[StudyPlan], EndReason]
    new_search: Callable[[], Any]

    @property
    def bundle(self) -> Bundle:
        """The prices of a study that has some."""
        assert self.prices is not None
        return self.prices

    def finished(self, name: str, study: Study) -> TrialTable | None:
        """Returns the trials of a study that is done; None if it is not."""
        path = self.folder / name
        results = ResultGrid(path, study) if (path / FILE_NAME).exists() else None
        return results.table if results is not None and results.is_done else None

    def table_of(
        self,
        name: str,
        study: Study,
        objective: Any,
        *,
        search_alg: Any = None,
        window: Window | None = None,
        bundle: Bundle | None = None,
        runs_per_trial: int = 1,
        verbose: int = 0,
    ) -> TrialTable | None:
        """Runs a study and returns its trials; None if it was interrupted.

        Args:
            name: its folder, below the other study's.
            study: its definition.
            objective: its objective.
            search_alg: a new searcher or sampler object, if the definition names none.
            window: the window whose training bars fidelities are a share of; None: all training bars.
            bundle: its prices, which are removed when it is done; None: those of the other study.
            runs_per_trial: how often a trial may run the user's objective, each time for as long as a trial may take.
            verbose: 1 shows its progress.
        """
        path = self.folder / name
        if (table := self.finished(name, study)) is not None:
            return table
        timeout_s = self.run_config.trial_timeout_s
        run_config = replace(
            self.run_config,
            callbacks=(),
            verbose=verbose,
            max_failures=None,
            stop_on_identical_failures=False,
            trial_timeout_s=None if timeout_s is None else timeout_s * runs_per_trial,
        )
        plan = StudyPlan(
            objective=objective,
            study=study,
            bundle=self.prices if bundle is None else bundle,
            location=StudyLocation(path),
            run_config=run_config,
            search_alg=search_alg,
            is_new=not (path / FILE_NAME).exists(),
            accept_changes=True,
            window=window,
        )
        with plan.location.locked():
            reason = self.run(plan)
        if reason == UNCHECKED:
            return None
        if bundle is not None:
            (path / OWN_BUNDLE).unlink(missing_ok=True)
        return ResultGrid(path, study).table


def copies_of(search_alg: Any) -> Callable[[], Any]:
    """Returns a function that returns a new copy of a searcher or sampler object, which has not run yet.

    Raises:
        SettingError: when that function is called, and the object cannot be copied.
    """
    try:
        unused = copy.deepcopy(search_alg)
    except Exception as error:  # the object's own code
        reason = f"{type(error).__name__}: {error}"
    else:
        return lambda: copy.deepcopy(unused)

    def refuse() -> Any:
        raise SettingError(
            f"the search runs again on other bars, each time with a copy of `search_alg`, and this object cannot be copied: "
            f"{reason}. Name the search instead."
        )

    return refuse


def alone(study: Study, **changes: Any) -> Study:
    """Returns the study's definition for given configs at full fidelity, without what only the whole study does."""
    return replace(
        study,
        seed=nested_seed(study.seed, "robust", 0),
        search_alg="custom",
        search_options={},
        max_pending=_MAX_PENDING,
        max_cost=None,
        points_to_evaluate=(),
        warm_start=(),
        scheduler=None,
        lowest_fidelity=1.0,
        recheck=0,
        benchmark=None,
        validation=None,
        audit=None,
        why="",
        **changes,
    )


def run_configs(
    nested: NestedStudies, study: Study, objective: Any, points: FloatArray, *, of: tuple[Any, ...]
) -> TrialTable:
    """Runs given configs at full fidelity in a study within another study's folder, and returns its trials.

    Args:
        nested: runs studies within the other study's folder.
        study: the definition; see `alone`.
        objective: its objective.
        points: ``(n, n_params)`` the configs.
        of: the other study, and what else the results depend on. A study of the same is resumed and read again.

    Raises:
        StudyInterrupted: it was stopped.
    """
    other, *parts = of
    digest = hashlib.sha256(f"{other.objective.code} {other.objective.fingerprint} {other.seed}".encode())
    for part in parts:
        digest.update(part.tobytes() if isinstance(part, np.ndarray) else repr(part).encode())
    found = nested.table_of(
        f"{_ROBUSTNESS}/{study.name}-{digest.hexdigest()[:16]}",
        study,
        objective,
        search_alg=FixedConfigs(study.space, points),
        verbose=nested.run_config.verbose,
    )
    if found is None:
        raise StudyInterrupted("the robustness checks were stopped. Call the method again to continue them.")
    return found


def evaluator(study: Study, objective: Any, nested: NestedStudies, name: str) -> Evaluate:
    """Returns a function that evaluates points in a study of their own.

    Args:
        study: of which the points are configs.
        objective: of the study.
        nested: runs studies within the study's folder.
        name: of the study's folder, with a digest of the points.
    """

    def evaluate(points: FloatArray) -> TrialTable:
        inner = alone(study, name=name, num_samples=len(points))
        return run_configs(nested, inner, objective, points, of=(study, points))

    return evaluate

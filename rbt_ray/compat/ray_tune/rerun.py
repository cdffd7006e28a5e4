"""Trials that failed, run again: each time as a small study of its own below the study's folder."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from rbt_ray.compat.ray_tune.results import ResultGrid
from rbt_ray.compat.ray_tune.trainable_objective import SAMPLE, TrainableObjective
from rbt_ray.errors import NotSupportedError
from rbt_ray.study.primitives import choice
from rbt_ray.tuner.config import RunConfig, TuneConfig
from rbt_ray.tuner.result_grid import ResultGrid as StudyResults
from rbt_ray.tuner.tuner import Tuner

_FOLDER = "again"


@dataclass(frozen=True)
class Rerun:
    """Runs failed trials again.

    Args:
        from_start: from their start; else from their latest checkpoints.
        accept_changes: go on with what an earlier time left open though the trainable has changed since.
    """

    from_start: bool
    accept_changes: bool

    def run(self, folder: Path, objective: TrainableObjective, results: ResultGrid, run_config: RunConfig) -> None:
        """Goes on with what an earlier time left open, then runs what has failed until now.

        Raises:
            NotSupportedError: a searcher proposed the configs.
        """
        below = folder / _FOLDER
        if any(not study.is_done for study in studies_in(folder)):
            Tuner.restore(
                studies_in(folder)[-1].path,
                objective,
                run_config=replace(run_config, name=None),
                accept_changes=self.accept_changes,
            ).fit()
            return
        failed = [result for result in results if result.error is not None]
        if not failed:
            return
        if not objective.has_samples:
            raise NotSupportedError(
                "trials that failed are run again only in studies without a `search_alg`: a searcher has learned of them already."
            )
        numbers = [objective.sample_number(result.path) for result in failed]
        if self.from_start:
            for result in failed:
                shutil.rmtree(result.path, ignore_errors=True)
        study = results.study_results.study
        Tuner(
            objective,
            param_space={SAMPLE: choice(numbers)},
            tune_config=TuneConfig(metric=study.metric, mode=study.mode, search_alg="grid", seed=study.seed),
            run_config=replace(run_config, name=f"{len(studies_in(folder)) + 1:03d}", storage_path=below),
        ).fit()


def studies_in(folder: Path) -> list[StudyResults]:
    """What was run again, the oldest first."""
    below = folder / _FOLDER
    return [StudyResults(path) for path in sorted(below.iterdir())] if below.is_dir() else []

"""Reruns of failed trials: each rerun is a small study in a subfolder of the study."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from rbt_ray.compat.ray_tune.results import ResultGrid
from rbt_ray.compat.ray_tune.trainable_objective import SAMPLE, TrainableObjective
from rbt_ray.errors import NotSupportedError
from rbt_ray.study.primitives import choice
from rbt_ray.tuner import result_grid
from rbt_ray.tuner.config import RunConfig, TuneConfig
from rbt_ray.tuner.tuner import Tuner

_FOLDER = "again"


@dataclass(frozen=True)
class Rerun:
    """How to run failed trials again.

    Args:
        from_start: run them from their start; else from their latest checkpoints.
        accept_changes: continue an interrupted rerun although the trainable has changed.
    """

    from_start: bool
    accept_changes: bool

    def run(self, folder: Path, objective: TrainableObjective, results: ResultGrid, run_config: RunConfig) -> None:
        """Continues an interrupted rerun if there is one; else runs all failed trials again.

        Raises:
            NotSupportedError: a searcher proposes the configs.
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
                "failed trials can be run again only in a study without a `search_alg`: the searcher already knows their results."
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


def studies_in(folder: Path) -> list[result_grid.ResultGrid]:
    """Returns the results of the reruns, the oldest first."""
    below = folder / _FOLDER
    return [result_grid.ResultGrid(path) for path in sorted(below.iterdir())] if below.is_dir() else []

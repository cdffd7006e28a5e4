"""Studies of given configs within another study's folder, on the same workers."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import numpy as np

from rbt_ray.errors import StudyInterrupted
from rbt_ray.search.fixed_sequence import FixedConfigs
from rbt_ray.store.table import TrialTable
from rbt_ray.study.study import Study
from rbt_ray.study.trials import nested_seed
from rbt_ray.tuner.near_configs import Evaluate
from rbt_ray.tuner.nested import NestedStudies
from rbt_ray.types import FloatArray

FOLDER = "robustness"
"""The folder, in a study's, of the studies of its robustness checks."""
_MAX_PENDING = 2**17


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


def run(nested: NestedStudies, study: Study, objective: Any, points: FloatArray, *, of: tuple[Any, ...]) -> TrialTable:
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
        f"{FOLDER}/{study.name}-{digest.hexdigest()[:16]}",
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
        return run(nested, inner, objective, points, of=(study, points))

    return evaluate

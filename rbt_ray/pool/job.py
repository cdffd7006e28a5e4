"""What a study's workers need to know, sent once a study."""

from __future__ import annotations

import hashlib
import pickle
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cloudpickle

from rbt_ray.data.fidelity import Portion
from rbt_ray.errors import ObjectiveError
from rbt_ray.objectives.fingerprint.own_code import Source, own_sources
from rbt_ray.pool import shipped_code
from rbt_ray.pool.driver_state import DriverState
from rbt_ray.pool.main_module import pickle_main_by_value
from rbt_ray.pool.pool import BundleRef, FilesRef, Job
from rbt_ray.study.space import Space


@dataclass(frozen=True, slots=True)
class Task:
    """The objective and what it is asked about.

    Args:
        objective: the user's own, of any kind `as_evaluator` takes.
        space: turns points into configs.
        metric: the study's metric, which a bare number is called.
        seed: the study's; each trial's follows from it and the trial's number.
        bundle: where the prices are; None for a study without.
        train_bars: how many bars from the start the search may see.
        fidelity: what a fidelity below 1 leaves out.
        max_reports: what fidelity 1 is, where fidelity is counted in the objective's reports.
        files: where the files are that the objective brings; None for one that brings none.
    """

    objective: Any
    space: Space
    metric: str
    seed: int
    bundle: BundleRef | None
    train_bars: int
    fidelity: Portion = "prefix"
    max_reports: int | None = None
    files: FilesRef | None = None

    def pack(self, sources: Mapping[str, Source] | None = None) -> Job:
        """The task as bytes, with the user's own modules and the driver's state as they are now.

        Every call makes another job, which workers load again: what its modules read may have changed.

        Args:
            sources: the user's own modules, which workers import as they are here; None: see `own_sources`.

        Raises:
            ObjectiveError: the objective holds something that cannot be sent to another process.
        """
        pickle_main_by_value()
        modules = own_sources() if sources is None else dict(sources)
        try:
            # Packed twice: unpacking the task may need the user's modules to be in place.
            payload = pickle.dumps((modules, cloudpickle.dumps(self)))
        except Exception as error:  # pickling runs the objects' own code, which may raise anything
            raise ObjectiveError(
                f"the objective cannot be sent to the workers: {type(error).__name__}: {error}. "
                f"Open files, connections and locks inside the objective, not around it."
            ) from error
        reads = tuple(ref.version for ref in (self.bundle, self.files) if ref is not None)
        key = f"{hashlib.sha256(payload).hexdigest()}-{secrets.token_hex(8)}"
        return Job(key, payload, reads, self.metric, DriverState.here())

    @staticmethod
    def sources(job: Job) -> Mapping[str, Source]:
        """The user's own modules that a job brings, by name."""
        sources: Mapping[str, Source] = pickle.loads(job.payload)[0]
        return sources

    @staticmethod
    def unpack(job: Job) -> Task:
        """The task again, in a worker.

        Raises:
            ObjectiveError: a module it needs cannot be imported here.
        """
        sources, packed = pickle.loads(job.payload)
        shipped_code.use(sources)
        try:
            task = pickle.loads(packed)
        except Exception as error:  # unpickling imports and runs the user's own modules
            raise ObjectiveError(
                f"the workers cannot load the objective: {type(error).__name__}: {error}. "
                f"Its module must be importable where they run."
            ) from error
        if not isinstance(task, Task):
            raise ObjectiveError(f"the workers got a {type(task).__name__} in place of a task.")
        return task

"""Task: what workers need to evaluate the trials of a study, packed once per study."""

from __future__ import annotations

import hashlib
import pickle
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cloudpickle

from rbt_ray.data.fidelity import FidelityKind
from rbt_ray.errors import ObjectiveError
from rbt_ray.objectives import pickling
from rbt_ray.objectives.fingerprint.own_code import Source, own_sources
from rbt_ray.pool import shipped_code
from rbt_ray.pool.driver_state import DriverState
from rbt_ray.pool.pool import BundleRef, FilesRef, Job
from rbt_ray.study.space import Space
from rbt_ray.study.windows import Window
from rbt_ray.types import FloatArray


@dataclass(frozen=True, slots=True)
class Task:
    """The objective of a study and what it is evaluated on.

    Args:
        objective: of any kind that `as_evaluator` takes.
        space: converts points to configs.
        metric: the name of a bare number that the objective returns.
        seed: the study's; each trial's follows from it and the trial's number.
        bundle: a reference to the prices; None for a study without prices.
        train_bars: how many bars, from the first, trials may use.
        fidelity: what a fidelity below 1 leaves out.
        max_reports: the number of reports that is fidelity 1, if fidelity is counted in reports.
        files: a reference to the files that the objective provides; None if it provides none.
        window: the window whose training bars a fidelity is a share of; None: all training bars.
        benchmark: ``(train_bars,)`` returns of the benchmark, for block sums; None: no block sums are recorded.
        n_planned: how many trials the study will have at most; 0 if that is not known.
        also_needed: the metrics that constraints name, which every trial must have too.
        also_optimized: the metrics that the study optimizes beside `metric`, which must be finite too.
    """

    objective: Any
    space: Space
    metric: str
    seed: int
    bundle: BundleRef | None
    train_bars: int
    fidelity: FidelityKind = "prefix"
    max_reports: int | None = None
    files: FilesRef | None = None
    window: Window | None = None
    benchmark: FloatArray | None = None
    n_planned: int = 0
    also_needed: tuple[str, ...] = ()
    also_optimized: tuple[str, ...] = ()

    def pack(self, sources: Mapping[str, Source] | None = None) -> Job:
        """Returns the task as a job, with the user's own modules and the driver's state as they are now.

        Every call makes a new job, which workers load again, since what the modules read may have changed.

        Args:
            sources: the user's own modules, which workers import from here; None: those that `own_sources` finds.

        Raises:
            ObjectiveError: the objective cannot be pickled.
        """
        pickle_main_by_value()
        modules = own_sources() if sources is None else dict(sources)
        try:
            # The task is pickled on its own: unpickling it may need the user's modules to be in place.
            payload = pickle.dumps((modules, pickling.dumps(self)))
        except Exception as error:  # pickling runs the objects' own code, which may raise anything
            raise ObjectiveError(
                f"the objective cannot be sent to the workers: {type(error).__name__}: {error}. "
                f"Open files, connections and locks inside the objective, not around it."
            ) from error
        reads = tuple(ref.version for ref in (self.bundle, self.files) if ref is not None)
        key = f"{hashlib.sha256(payload).hexdigest()}-{secrets.token_hex(8)}"
        return Job(key, payload, reads, self.metric, DriverState.here())

    @staticmethod
    def split(job: Job) -> tuple[Mapping[str, Source], bytes]:
        """Returns the user's own modules that a job contains, by name, and the pickled task for `unpack`."""
        sources, packed = pickle.loads(job.payload)
        return sources, packed

    @staticmethod
    def unpack(sources: Mapping[str, Source], packed: bytes) -> Task:
        """Returns the task, in a worker that imports the user's own modules from `sources`.

        Raises:
            ObjectiveError: a module it needs cannot be imported here.
        """
        shipped_code.use(sources)
        try:
            task = pickle.loads(packed)
        except ObjectiveError:
            raise
        except Exception as error:  # unpickling imports and runs the user's own modules
            raise ObjectiveError(
                f"the workers cannot load the objective: {type(error).__name__}: {error}. "
                f"Make its module importable on the hosts where they run."
            ) from error
        if not isinstance(task, Task):
            raise ObjectiveError(f"the workers got a {type(task).__name__} in place of a task.")
        return task


def pickle_main_by_value() -> None:
    """Makes cloudpickle pickle the definitions of the user's script by value, also in a process that multiprocessing spawned.

    There the script is the module ``__mp_main__``, which no other process can import.
    """
    module = sys.modules.get("__mp_main__")
    if module is not None:
        cloudpickle.register_pickle_by_value(module)

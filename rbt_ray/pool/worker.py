"""Worker: evaluates batches on every backend. No other module calls an objective."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from importlib import invalidate_caches
from os import _exit, fstat
from os import getpid as _getpid
from time import perf_counter as _perf_counter
from time import thread_time as _thread_time
from time import time as _time
from typing import TYPE_CHECKING, Any

import numpy as np

from rbt_ray.block_sums import OF_GROWTH
from rbt_ray.data.bundle import Bundle, PriceChecker
from rbt_ray.data.fidelity import cut_to_fidelity, share_of
from rbt_ray.data.memo import Memo
from rbt_ray.objectives.blocks import BlockRequest
from rbt_ray.objectives.fingerprint.own_code import Source
from rbt_ray.objectives.isolation import limits
from rbt_ray.objectives.objective import Evaluator, as_evaluator, describe
from rbt_ray.objectives.out_of_sample import OutOfSample, out_of_sample
from rbt_ray.objectives.reports import ReportRange
from rbt_ray.objectives.review import Review, review
from rbt_ray.pool import shipped_code
from rbt_ray.pool.driver_state import DriverState
from rbt_ray.pool.job import Task
from rbt_ray.pool.pool import Answer, Batch, Job, PricesChanged, Returned
from rbt_ray.study.draw import is_recorded
from rbt_ray.study.trials import trial_seeds

if TYPE_CHECKING:
    from rbt_ray.columns import Outcomes
    from rbt_ray.data.view import BundleView

_WHAT = (
    "closed or replaced stdout",
    "closed or replaced stderr",
    "changed the root folder",
    "changed the user",
    "lowered a limit",
)


def import_price_modules() -> None:
    """Imports the modules that evaluating on prices needs, which takes half a second.

    An objective that reads prices itself, without a bundle, imports them in the first trial of each worker.
    """
    import numba  # noqa: F401
    import pyarrow.ipc  # noqa: F401

    import rbt_ray.data.view
    import rbt_ray.objectives.sweep.crossing
    import rbt_ray.objectives.sweep.run
    import rbt_ray.simulate.backtest
    import rbt_ray.simulate.indicators  # noqa: F401
    from rbt_ray.objectives.sweep.drifting import drift

    drift(segmented=False)


class Worker:
    """Evaluates batches. It keeps the bundle, what was computed from it and the objective across batches and studies."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._process = _getpid()
        self._check = ProcessCheck()
        self._state = DriverState.here()
        self._modules = shipped_code.of_this_process()
        self._is_fresh = True
        self._memo = Memo()
        self._checked = PriceChecker()
        self._bundle: Bundle | None = None
        self._changed: str | None = None
        self._views: dict[float, BundleView] = {}
        self._task: Task
        self._evaluator: Evaluator

    def load(self, job: Job) -> str | None:
        """Loads a study's job, and keeps what was computed from the same prices before.

        Returns:
            None, or why only a new process can load the job; nothing is loaded then. A new process can always load it.

        Raises:
            ObjectiveError: the objective cannot be rebuilt here, such as when its module is missing.
            OSError: the driver's working directory cannot be entered.
        """
        sources, packed = Task.split(job)
        if not self._is_fresh and (reason := self._outdated(job, sources)) is not None:
            return reason
        self._is_fresh = False
        if job.state is not None:
            job.state.enter(self._state)
            self._state = job.state
        invalidate_caches()  # a module that was written just now would not be found
        started = _time()
        try:
            self._load(Task.unpack(sources, packed))
        finally:
            self._modules.look(started)
        return None

    def _outdated(self, job: Job, sources: Mapping[str, Source]) -> str | None:
        """Returns why modules of this process may differ from those that a new process would import; None if none can.

        Modules may keep what they read when they were imported: files in the working directory, and variables. Installed
        packages are assumed to read variables only.
        """
        if (name := self._modules.changed()) is not None:
            return f"the file of the module {name} has changed"
        if (name := shipped_code.loaded_version_differs(sources)) is not None:
            return f"the module {name} was sent in another version"
        if job.state is None or job.state == self._state:
            return None
        here, wanted = self._state, job.state
        may_differ = self._modules.has_installed and (here.variables, here.paths) != (wanted.variables, wanted.paths)
        return "modules were imported in another state of the driver" if may_differ or self._modules.has_users else None

    def _load(self, task: Task) -> None:
        self._task, self._views = task, {}
        self._evaluator = as_evaluator(task.objective, task.space, task.metric, task.also_needed, task.also_optimized)
        if task.bundle is not None:
            import_price_modules()  # before the first trial, whose time limit does not cover imports
            self._bundle = task.bundle.open()
            self._changed = self._checked.changed(self._bundle, again=False)
        else:
            self._bundle, self._changed = None, None
        if task.files is not None:
            task.objective.open(task.files.open())

    def run(self, batch: Batch) -> Returned:
        """Evaluates a batch of the loaded job; an error is part of what it returns.

        A batch of several trials that damaged the process beyond repair is lost, since some of them may have run after the
        damage. A batch of one trial keeps its result.
        """
        started, wall, cpu = _time(), _perf_counter(), _thread_time()
        answer: Answer = None
        lost: str | None = None
        try:
            answer = self._answer(batch)
            self._modules.look(started)
        except BaseException as error:
            lost = f"the worker failed: {describe(error)}"
        if _getpid() != self._process:  # the objective forked it, and it returned from the objective too
            _exit(0)
        damage = self._check.damage()
        if damage is not None and len(batch) > 1:
            answer, lost = None, f"a trial {damage}"
        return Returned(
            number=batch.number,
            worker=self.name,
            answer=answer,
            lost=lost,
            cpu_s=_thread_time() - cpu,
            started=started,
            wall_s=_perf_counter() - wall,
            unfit=damage is not None or lost is not None,
        )

    def _answer(self, batch: Batch) -> Answer:
        if batch.purpose == "check" and self._bundle is not None:
            self._changed = self._checked.changed(self._bundle, again=True)
        if self._changed is not None:
            return PricesChanged(self._changed)
        if batch.purpose == "check":
            return None
        if batch.purpose == "test":
            return self._test(batch)
        return self._review(batch) if batch.purpose == "review" else self._score(batch)

    def _score(self, batch: Batch) -> Outcomes:
        seeds = trial_seeds(self._task.seed, batch.trials).tolist()
        trials, blocks = batch.trials.tolist(), self._blocks(batch)
        if self._task.max_reports is None:
            span = ReportRange(trials=trials)
            return self._evaluator.score(self._view(batch.fidelity), batch.points, seeds, span, blocks)
        span = ReportRange(share_of(batch.fidelity, self._task.max_reports), batch.starts, trials)
        return self._evaluator.score(self._view(1.0), batch.points, seeds, span, blocks)

    def _blocks(self, batch: Batch) -> BlockRequest | None:
        """Returns the request for the block sums of those trials that have them recorded."""
        benchmark = self._task.benchmark
        if benchmark is None or batch.fidelity < 1:
            return None
        all_trials = batch.purpose == "sums"
        recorded = (
            np.ones(len(batch), bool)
            if all_trials
            else is_recorded(self._task.seed, batch.trials, self._task.n_planned)
        )
        return BlockRequest.of(np.flatnonzero(recorded), benchmark, self._task.metric in OF_GROWTH)

    def _review(self, batch: Batch) -> Review:
        seed = int(trial_seeds(self._task.seed, batch.trials)[0])
        config = self._task.space.decode(batch.points)[0]
        task = self._task
        return review(
            task.objective, config, task.metric, self._bundle, task.train_bars, seed, max_reports=task.max_reports
        )

    def _test(self, batch: Batch) -> OutOfSample:
        task, bundle, window = self._task, self._bundle, batch.window
        assert bundle is not None
        assert window is not None
        seed = int(trial_seeds(task.seed, batch.trials)[0])
        return out_of_sample(task.objective, task.space.decode(batch.points)[0], task.metric, bundle, window, seed)

    def _view(self, fidelity: float) -> BundleView | None:
        task = self._task
        if self._bundle is None:
            return None
        if fidelity not in self._views:
            bundle, n_bars = cut_to_fidelity(self._bundle, task.fidelity, fidelity, task.train_bars, task.seed)
            if task.window is not None and task.fidelity == "prefix":
                bars = task.window.train_bars
                n_bars = int(bars[share_of(fidelity, len(bars)) - 1]) + 1
            self._views[fidelity] = bundle.view(n_bars, self._memo)
        return self._views[fidelity]


class ProcessCheck:
    """Records the state of the process when it is created."""

    def __init__(self) -> None:
        self._before = _state()
        self._streams = sys.stdout, sys.stderr

    def damage(self) -> str | None:
        """Returns what trials have changed in the process since; None if it is still usable. Takes a few microseconds."""
        for what, before, now in zip(_WHAT, self._before, _state(), strict=True):
            if before != now:
                return what
        if any(getattr(stream, "closed", False) for stream in self._streams):
            return "closed a standard stream"
        return None


def _state() -> tuple[Any, ...]:
    user = os.getresuid() if hasattr(os, "getresuid") else None
    return _file(1), _file(2), _root(), user, [hard for _, hard in limits().values()]


def _file(descriptor: int) -> tuple[int, int] | None:
    try:
        found = fstat(descriptor)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _root() -> tuple[int, int]:
    found = os.stat("/")  # noqa: PTH116 - pathlib takes five times as long
    return found.st_dev, found.st_ino

"""The code a worker runs, whatever carries its batches: the only place that calls an objective."""

from __future__ import annotations

from importlib import invalidate_caches
from os import _exit
from os import getpid as _getpid
from time import perf_counter as _perf_counter
from time import thread_time as _thread_time
from time import time as _time
from typing import TYPE_CHECKING

from rbt_ray.data.checked import CheckedBundles
from rbt_ray.data.fidelity import portion, share_of
from rbt_ray.data.memo import Memo
from rbt_ray.objectives.objective import Evaluator, as_evaluator, describe
from rbt_ray.objectives.reports import Span
from rbt_ray.objectives.review import Review, review
from rbt_ray.pool import loaded_modules, shipped_code
from rbt_ray.pool.driver_state import DriverState
from rbt_ray.pool.job import Task
from rbt_ray.pool.pool import Answer, Batch, Job, PricesChanged, Returned
from rbt_ray.pool.process_check import ProcessCheck
from rbt_ray.study.seeds import trial_seeds

if TYPE_CHECKING:
    from rbt_ray.columns import Outcomes
    from rbt_ray.data.bundle import Bundle
    from rbt_ray.data.view import BundleView


class Worker:
    """Holds the bundle, what was derived from it and the objective, from batch to batch and from study to study."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._process = _getpid()
        self._check = ProcessCheck()
        self._state = DriverState.here()
        self._modules = loaded_modules.of_this_process()
        self._is_fresh = True
        self._memo = Memo()
        self._checked = CheckedBundles()
        self._bundle: Bundle | None = None
        self._changed: str | None = None
        self._views: dict[float, BundleView] = {}
        self._task: Task
        self._evaluator: Evaluator

    def outdated(self, job: Job) -> str | None:
        """Returns why a new process has to load the job in place of this one; None where this one can.

        Modules may keep what they read when they were imported: files in the working directory, and variables. Installed
        packages are taken to read variables only. A new process can always load the job.
        """
        if self._is_fresh:
            return None
        if (name := self._modules.changed()) is not None:
            return f"the file of the module {name} has changed"
        if (name := shipped_code.held_in_another_version(Task.sources(job))) is not None:
            return f"the module {name} was sent in another version"
        if job.state is None or job.state == self._state:
            return None
        here, wanted = self._state, job.state
        may_differ = self._modules.has_installed and (here.variables, here.paths) != (wanted.variables, wanted.paths)
        return "modules were imported in another state of the driver" if may_differ or self._modules.has_users else None

    def load(self, job: Job) -> None:
        """Makes ready for a study's batches; what was derived from the same prices before stays warm.

        Raises:
            ObjectiveError: the objective cannot be rebuilt here, such as when its module is missing.
            OSError: the driver's working directory cannot be entered.
        """
        self._is_fresh = False
        if job.state is not None:
            job.state.enter(self._state)
            self._state = job.state
        invalidate_caches()  # a module that was written just now would not be found
        started = _time()
        try:
            self._load(job)
        finally:
            self._modules.look(started)

    def _load(self, job: Job) -> None:
        task = Task.unpack(job)
        self._task, self._views = task, {}
        self._evaluator = as_evaluator(task.objective, task.space, task.metric)
        if task.bundle is not None:
            import rbt_ray.pool.preload_prices  # noqa: F401 - now, so that no trial's time is spent on importing

            self._bundle = task.bundle.open()
            self._changed = self._checked.changed(self._bundle, again=False)
        else:
            self._bundle, self._changed = None, None
        if task.files is not None:
            task.objective.open(task.files.open())

    def run(self, batch: Batch) -> Returned:
        """Evaluates a batch of the loaded job; whatever happens, the answer says so.

        A batch of several trials that damaged the process beyond repair is lost, since some of them may have run in what
        others left. A trial that was alone keeps its result.
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
        return self._review(batch) if batch.purpose == "review" else self._score(batch)

    def _score(self, batch: Batch) -> Outcomes:
        seeds = trial_seeds(self._task.seed, batch.trials).tolist()
        trials = batch.trials.tolist()
        if self._task.max_reports is None:
            return self._evaluator.score(self._view(batch.fidelity), batch.points, seeds, Span(trials=trials))
        span = Span(share_of(batch.fidelity, self._task.max_reports), batch.starts, trials)
        return self._evaluator.score(self._view(1.0), batch.points, seeds, span)

    def _review(self, batch: Batch) -> Review:
        seed = int(trial_seeds(self._task.seed, batch.trials)[0])
        config = self._task.space.decode(batch.points)[0]
        task = self._task
        return review(
            task.objective, config, task.metric, self._bundle, task.train_bars, seed, max_reports=task.max_reports
        )

    def _view(self, fidelity: float) -> BundleView | None:
        task = self._task
        if self._bundle is None:
            return None
        if fidelity not in self._views:
            bundle, n_bars = portion(self._bundle, task.fidelity, fidelity, task.train_bars, task.seed)
            self._views[fidelity] = bundle.view(n_bars, self._memo)
        return self._views[fidelity]

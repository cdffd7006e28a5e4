"""The Tuner: sets up a study, runs or continues it, and returns its results."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rbt_ray.engine import loop
from rbt_ray.engine.dispatcher import Dispatcher
from rbt_ray.engine.frontier import idle_note
from rbt_ray.engine.journal_retry import JournalRetry
from rbt_ray.engine.monitor import Monitor
from rbt_ray.engine.progress import Progress
from rbt_ray.engine.stop_conditions import Interrupt, StopConditions, interrupt_on_signals
from rbt_ray.errors import (
    FailedTrialsWarning,
    PricesChangedError,
    SettingError,
    StudyInterrupted,
)
from rbt_ray.objectives.address import locate
from rbt_ray.objectives.fingerprint.own_code import Source, own_sources
from rbt_ray.objectives.kind import kind_of
from rbt_ray.os_errors import explain_os_errors
from rbt_ray.pool.job import Task
from rbt_ray.pool.local.start_method import prepare
from rbt_ray.pool.pool import Job, WorkerPool
from rbt_ray.search.planned import planned_trials
from rbt_ray.search.registry import make_searcher
from rbt_ray.store.journal import Ended, EndReason, Journal
from rbt_ray.store.location import OWN_BUNDLE
from rbt_ray.study.limits import Limits
from rbt_ray.study.study import Study
from rbt_ray.tuner.after_search import AfterSearch
from rbt_ray.tuner.benchmark import benchmark_returns
from rbt_ray.tuner.changed_prices import check_bundle, prices_changed_error
from rbt_ray.tuner.config import RunConfig, TuneConfig
from rbt_ray.tuner.existing import first_choice, locked
from rbt_ray.tuner.export_metrics import MetricsExporter
from rbt_ray.tuner.extension import record_extension
from rbt_ray.tuner.nested import NestedStudies, copies_of
from rbt_ray.tuner.on_workers import OnWorkers
from rbt_ray.tuner.plan import StudyPlan, plan_new, plan_restored
from rbt_ray.tuner.pools import backend_of, pool_for, shutdown
from rbt_ray.tuner.progress import Callbacks, show_progress
from rbt_ray.tuner.result_grid import ResultGrid
from rbt_ray.tuner.results_home import announced
from rbt_ray.tuner.robustness import StudyWorkers
from rbt_ray.tuner.same_objective import (
    changed_parts,
    describe_changes,
    record_sources,
    refuse_changed_code,
    require_same_accounting,
    require_same_objective,
)
from rbt_ray.types import FloatArray

if TYPE_CHECKING:
    from rbt_ray.data.bundle import Bundle

__all__ = ["Tuner", "shutdown"]


class Tuner:
    """A study that is ready to run.

    Args:
        objective: a function of (params, data) that returns a number, a dict of metrics or a Backtest; one marked
            `rbt.batched`; or a built-in one from `rbt.objectives`. A dict of metrics may hold the simple `returns` of each bar
            as an array, which the verdict needs and which is no metric.
        param_space: the parameters to search: a dict of domains, which may be nested, or a ConfigSpace.
        bundle: the prices, as a Bundle or the name of a registered one; None for an objective that needs none or provides
            its own.
        tune_config: what to search, and how.
        run_config: where and how to run it.

    Raises:
        InputError: an argument cannot be used; the message says what is wrong and what to do.
    """

    @explain_os_errors()
    def __init__(
        self,
        objective: Any,
        *,
        param_space: Any,
        bundle: Bundle | str | None = None,
        tune_config: TuneConfig | None = None,
        run_config: RunConfig | None = None,
        _plan: StudyPlan | None = None,
    ) -> None:
        if _plan is None:
            plan = plan_new(
                objective, param_space, bundle, tune_config or TuneConfig(), run_config or RunConfig(), stacklevel=3
            )  # one level is `explain_os_errors`
            _plan = first_choice(plan)
        self._has_run = False
        self._may_warn = False
        self._new_search = copies_of(_plan.search_alg)
        self._use(_plan)

    def _use(self, plan: StudyPlan) -> None:
        self._plan, self._location, self._is_new = plan, plan.location, plan.is_new
        self._study, self._bundle = plan.study, plan.bundle

    @classmethod
    @explain_os_errors()
    def restore(
        cls,
        path: str | Path,
        objective: Any,
        *,
        param_space: Any = None,
        search_alg: Any = None,
        callbacks: Sequence[Any] | None = None,
        run_config: RunConfig | None = None,
        num_samples: int | None = None,
        accept_changes: bool = False,
    ) -> Tuner:
        """Opens a study to continue it from the end of its journal; a finished study returns its results.

        A larger `num_samples`, or a grid that contains the study's, extends the study: only the new configs are evaluated.

        Args:
            path: the study's folder or URI. For a URI, the newer of the local journal and the mirror is used.
            objective: the objective that the study was begun with.
            param_space: the study's space; needed only if it holds options that JSON cannot, or to extend a grid.
            search_alg: a new searcher or sampler object; needed only if the study was begun with one.
            callbacks: as in RunConfig.
            run_config: where and how to run it. `name`, `storage_path` and `recheck` come from the study, as do
                the saved settings (see RunConfig) that you leave at their defaults.
            num_samples: the number of new configs in all, those of the study included; None: as many as the study has.
            accept_changes: continue even if the objective's code, state or settings, or the accounting rules of
                backtests, have changed since the study was begun. Later trials are then not comparable with earlier ones.

        Raises:
            StudyNotFoundError: there is no study.
            SettingError: `num_samples` is lower than the study's.
            StudyMismatchError: the objective, space or searcher is not the one the study was begun with; the message says
                what differs.
            BundleError: the prices are gone or damaged; trials that may have used damaged ones are marked.
            SpaceError: `param_space` has to be passed.
        """
        run_config = run_config or RunConfig()
        if callbacks is not None:
            run_config = replace(run_config, callbacks=callbacks)
        TuneConfig(num_samples=num_samples)  # checks it
        plan = plan_restored(
            path,
            objective,
            param_space,
            search_alg,
            run_config,
            accept_changes=accept_changes,
            limits=lambda study: Limits(num_samples or study.num_samples, study.max_cost),
        )
        return cls(objective, param_space=plan.study.space, _plan=plan)

    @property
    def path(self) -> Path:
        """The study's folder; for a study at a URI, its folder on this machine."""
        return self._location.folder

    @property
    def study(self) -> Study:
        """The study's definition."""
        return self._study

    @explain_os_errors()
    def fit(self) -> ResultGrid:
        """Runs the study to its end, from the start or from the end of its journal, and returns its results.

        Raises:
            ResourceError: the machine has too little memory, disk space, descriptors or processes left.
            StudyLockedError: another process runs the study.
            StudyMismatchError: the study was begun by other accounting rules, with another objective or with another
                version of a module, and `accept_changes` was not given.
            ObjectiveError: the objective cannot be sent to workers.
            StudyInterrupted: Ctrl-C stopped the study; the finished trials are recorded.
            PricesChangedError: the prices changed during the run; the trials since the last check are marked as failed
                and run again when the study is resumed.
            BundleError: the prices are not those that the bundle was made with.
            WorkerStartError: no worker could be started.
            JournalError: the journal, or its mirror at the end, cannot be written.

        Warns:
            FailedTrialsWarning: trials failed, or none can be the best.
        """
        if self._is_done():
            self._location.sync()
            return self._results()
        if not self._plan.accept_changes:
            require_same_accounting(self._study, self.path)
        name = self._location.display_name
        if self._plan.search_alg is not None and self._has_run:
            raise SettingError(
                f"a searcher object serves one run. To continue, pass a new one: "
                f"`Tuner.restore({name!r}, objective, search_alg=...)`."
            )
        with closing(MetricsExporter(self._plan.run_config)) as exporter, locked(self._plan) as plan:
            if plan is not self._plan:
                self._use(plan)
            if self._is_done():  # another driver of the same study was faster
                return self._results()
            home = announced(plan.run_config, self._location)
            try:
                with interrupt_on_signals() as interrupt, self._pool() as pool, home:
                    reason = self._run(pool, interrupt, exporter=exporter)
            except KeyboardInterrupt:  # a second Ctrl-C
                raise self._interrupted("stopped at once") from None
        results = self._results()
        if reason == "interrupted":
            raise self._interrupted(f"stopped with {len(results):,} trials recorded")
        if self._may_warn and reason != "max_failures" and (note := results.failure_note):
            warnings.warn(note, FailedTrialsWarning, stacklevel=3)  # one level is `explain_os_errors`
        return results

    def _interrupted(self, what: str) -> StudyInterrupted:
        name = self._location.display_name
        return StudyInterrupted(
            f"{what}. Continue with `rbt-ray resume {name}` or `Tuner.restore({name!r}, objective)`."
        )

    def _is_done(self) -> bool:
        return not self._is_new and self._plan.extension is None and self._results().is_done

    def _results(self) -> ResultGrid:
        return ResultGrid(self.path, self._study, OnWorkers(self._workers))

    @contextmanager
    def _workers(self) -> Iterator[StudyWorkers]:
        with self._location.locked(), interrupt_on_signals() as interrupt, self._pool() as pool:
            sources = self._own_sources()
            nested, job = self._nested(pool, interrupt, sources), self._task(pool).pack(sources)
            yield StudyWorkers(self._plan.objective, nested, pool, job, interrupt)

    def _pool(self) -> AbstractContextManager[WorkerPool]:
        # An objective with prices of its own may use numba too: then the driver has usually imported it.
        if backend_of(self._plan.run_config) == "local" and (self._bundle is not None or "numba" in sys.modules):
            prepare()
        return pool_for(self._plan.run_config)

    def _own_sources(self) -> dict[str, Source]:
        """Returns the user's own modules, for workers, after comparing the objective with the recorded one."""
        may_differ = self._is_new or self._plan.accept_changes
        found = locate(self._plan.objective)
        if self._is_new:
            self._study = replace(self._study, objective=found.address)
        elif not may_differ:
            require_same_objective(self._study.objective, found.address, self.path)
        if found.fingerprint is None:
            return own_sources()
        sources = own_sources(found.fingerprint.imports)
        if differing := changed_parts(found.fingerprint, sources):
            if not may_differ:
                refuse_changed_code(differing, sources, self.path)
            warnings.warn(describe_changes(differing, sources), stacklevel=5)  # one level is `explain_os_errors`
        record_sources(sources, self.path)
        return sources

    def _run(
        self,
        pool: WorkerPool,
        interrupt: Interrupt,
        sources: dict[str, Source] | None = None,
        exporter: MetricsExporter | None = None,
    ) -> EndReason:
        sources = self._own_sources() if sources is None else sources
        self._save_bundle()
        study, run_config = self._study, self._plan.run_config
        if study.max_pending is not None and pool.n_workers > study.max_pending:
            warnings.warn(
                f"the study keeps at most {study.max_pending} trials open, so some of its {pool.n_workers} workers will "
                f"idle. Set `max_pending` of TuneConfig to twice the number of workers or more; in `rbt_ray.tune`, set "
                f"`max_concurrent_trials` to the number of workers or more.",
                stacklevel=4,  # one level is `explain_os_errors`
            )
        task = self._task(pool)
        job = task.pack(sources)
        after_search = AfterSearch(
            study,
            pool,
            task,
            job,
            sources,
            None if self._bundle is None else self._nested(pool, interrupt, sources),
            partial(self._dispatcher, pool, job),
            interrupt,
            run_config.trial_timeout_s,
        )
        is_new = self._is_new
        journal = Journal.create(self.path, study.to_json()) if is_new else Journal(self.path, write=True)
        event, self._has_run = self._plan.extension, True
        self._is_new = False
        self._plan = replace(self._plan, is_new=False, extension=None)
        callbacks = Callbacks(run_config.callbacks, study)
        with closing(journal):
            if event is not None:
                record_extension(journal, event, study)
            dispatcher = self._dispatcher(pool, job, "score")
            searcher = make_searcher(study, self._plan.search_alg)
            progress = Progress(study, total=planned_trials(study))
            if run_config.verbose:
                for line in filter(
                    None, (study.why, idle_note(study, getattr(searcher, "n_first", 0), pool.n_workers))
                ):
                    print(line, file=sys.stderr)
            stop_conditions = StopConditions(
                self._plan.time_budget_s, run_config.max_failures, interrupt, run_config.stop_on_identical_failures
            )
            journal.when_blocked = JournalRetry(interrupt.wait, self._location.display_name)
            ended = partial(Ended, n_workers=pool.n_workers, backend=backend_of(run_config))
            monitor = Monitor(self.path.name, progress, pool, journal)
            exporting = nullcontext() if exporter is None else exporter.exporting(monitor)
            with self._location.mirrored(), show_progress(progress, verbose=run_config.verbose), exporting:
                try:
                    search = loop.run(
                        study, searcher, dispatcher, journal, stop_conditions, progress, callbacks.on_finished
                    )
                    wall_s = progress.wall_s
                    reason = after_search.run(search, searcher, progress, journal)
                except PricesChangedError as error:
                    assert self._bundle is not None
                    changed = prices_changed_error(self._bundle, str(error), journal, self._location)
                    journal.append(ended("prices changed", progress.wall_s, notes=[str(changed)]))
                    raise changed from None
                journal.append(ended(reason, wall_s, notes=list(progress.notes)))
        self._may_warn = (
            progress.n_failed > 0 or progress.best is None
        )  # otherwise the results are not read before they are used
        callbacks.on_study_end(ResultGrid(self.path, study))
        return reason

    def _save_bundle(self) -> None:
        """Saves an unregistered bundle in the study's folder, and compares the prices with their checksums."""
        if self._bundle is None:
            return
        own = (self.path / OWN_BUNDLE).absolute()
        if self._bundle.path is None:
            self._bundle.save(own)
            self._bundle = type(self._bundle).open(own)
        elif self._is_new and self._bundle.path != own:
            own.unlink(missing_ok=True)  # left by a study that never began
        check_bundle(self._bundle, self._location, is_new=self._is_new)

    def _task(self, pool: WorkerPool) -> Task:
        study, objective = self._study, self._plan.objective
        provider = kind_of(objective).provider
        return Task(
            objective,
            study.space,
            study.metric,
            study.seed,
            bundle=None if self._bundle is None else pool.share(self._bundle),
            train_bars=study.bundle.train_bars if study.bundle else 0,
            fidelity="prefix" if study.fidelity == "reports" else study.fidelity,
            max_reports=study.max_reports,
            files=None if provider is None else pool.share_files(provider.files),
            window=self._plan.window,
            benchmark=self._benchmark(),
            n_planned=study.n_planned,
            also_needed=study.constrained_metrics,
            also_optimized=tuple(goal.metric for goal in study.further_goals),
        )

    def _benchmark(self) -> FloatArray | None:
        study = self._study
        if self._bundle is None or study.bundle is None or study.benchmark is None:
            return None
        return benchmark_returns(study.benchmark, self._bundle, study.bundle.train_bars)

    def _dispatcher(self, pool: WorkerPool, job: Job, purpose: Literal["score", "sums"]) -> Dispatcher:
        run_config = self._plan.run_config
        return Dispatcher(
            pool,
            job,
            trial_timeout_s=run_config.trial_timeout_s,
            max_retries=run_config.max_retries,
            max_batch=run_config.recycle_after,
            purpose=purpose,
        )

    def _nested(self, pool: WorkerPool, interrupt: Interrupt, sources: dict[str, Source]) -> NestedStudies:
        def run(plan: StudyPlan) -> EndReason:
            return Tuner(plan.objective, param_space=plan.study.space, _plan=plan)._run(pool, interrupt, sources)

        # The nested studies of an extended study differ from those before, which it leaves where they are.
        n = len(self._study.phases)
        folder = self.path / f"extension-{n}" if n else self.path
        return NestedStudies(folder, self._bundle, self._plan.run_config, run, self._new_search)

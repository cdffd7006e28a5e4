"""The Tune-style front door: a study is set up, run or gone on with, and handed back as a ResultGrid."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rbt_ray.engine import loop
from rbt_ray.engine.dispatcher import Dispatcher
from rbt_ray.engine.journal_retry import JournalRetry
from rbt_ray.engine.price_check import check_prices
from rbt_ray.engine.progress import Progress
from rbt_ray.engine.review import review_best
from rbt_ray.engine.stop_conditions import StopConditions
from rbt_ray.errors import (
    BundleError,
    BundleNotFoundError,
    PricesChangedError,
    SettingError,
    StudyExistsError,
    StudyInterrupted,
    StudyMismatchError,
)
from rbt_ray.objectives.address import address_of, find
from rbt_ray.objectives.data_provider import OwnData
from rbt_ray.objectives.own_code import Source, own_sources
from rbt_ray.objectives.validate import check_objective
from rbt_ray.os_errors import explain_os_errors
from rbt_ray.pool.job import Task
from rbt_ray.pool.local.start_method import require_children
from rbt_ray.search.bohb import BOHB
from rbt_ray.search.registry import is_search_alg, make
from rbt_ray.search.scheduled_search import ScheduledSearch
from rbt_ray.store.journal import Ended, Journal
from rbt_ray.store.location import OWN_BUNDLE, StudyLocation
from rbt_ray.store.table import table_of
from rbt_ray.store.trust import KINDS, UNCHECKED, trusted
from rbt_ray.store.uri import child, is_uri
from rbt_ray.study.space import Space
from rbt_ray.study.study import Study
from rbt_ray.tuner.callbacks import Callbacks
from rbt_ray.tuner.changed_prices import check_bundle, damaged_bundle_error, prices_changed_error
from rbt_ray.tuner.config import RunConfig, TuneConfig, with_saved_settings
from rbt_ray.tuner.definition import define, reopen_bundle, resolve_bundle
from rbt_ray.tuner.interrupt import interrupt_on_signals
from rbt_ray.tuner.pools import backend_of, check, pool_for, shutdown
from rbt_ray.tuner.progress import show_progress
from rbt_ray.tuner.result_grid import ResultGrid
from rbt_ray.tuner.same_objective import (
    changed_parts,
    describe_changes,
    record_sources,
    refuse_changed_code,
    require_same_objective,
)
from rbt_ray.types import ACCOUNTING

if TYPE_CHECKING:
    from rbt_ray.data.bundle import Bundle

__all__ = ["Tuner", "shutdown"]


class Tuner:
    """A study about to run.

    Args:
        objective: a function of (params, data) that returns a number, a dict of metrics or a Backtest; one marked
            `rbt.batched`; or a built-in one from `rbt.objectives`.
        param_space: what may vary: a dict of domains, nested as you like, or a ConfigSpace.
        bundle: prices, as a Bundle or the name of a registered one; None for an objective without, or with its own.
        tune_config: what is searched, and how.
        run_config: where and how it is run.

    Raises:
        InputError: something given cannot be used; the message says what, and what to do.
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
    ) -> None:
        tune_config = tune_config or TuneConfig()
        self._run_config = run_config or RunConfig()
        if backend_of(self._run_config) == "local":
            require_children()
        check(self._run_config)
        self._objective = objective
        self._search_alg = None if isinstance(tune_config.search_alg, (str, BOHB)) else tune_config.search_alg
        self._time_budget_s = tune_config.time_budget_s
        self._bundle = resolve_bundle(bundle, objective, tune_config)
        if self._bundle is not None and not isinstance(objective, OwnData):
            from rbt_ray.data.holes import warn_of_holes

            warn_of_holes(self._bundle, stacklevel=3)  # `explain_os_errors` is one of them
        space = Space.of(param_space)
        check_objective(objective, space, tune_config.metric, self._bundle, reports=tune_config.fidelity == "reports")
        self._study = define(objective, space, self._bundle, tune_config, self._run_config)
        storage = self._run_config.storage_path or "studies"
        path = child(str(storage), self._study.name) if is_uri(storage) else Path(storage) / self._study.name
        self._location = StudyLocation(path, self._run_config.mirror_interval_s)
        self._folder = self._location.folder
        self._is_new, self._has_run = True, False
        self._accept_changes = False
        self._refuse_existing()

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
        accept_changes: bool = False,
    ) -> Tuner:
        """A study as its journal has it, to go on where it stopped; a finished one gives its results.

        Args:
            path: the study's folder, or its URI: the newer of the local journal and its mirror (see `StudyLocation`).
            objective: the same as when it was begun.
            param_space: the same, where it holds options that JSON cannot.
            search_alg: a fresh searcher or sampler object, where the study was begun with one.
            callbacks: as in RunConfig.
            run_config: where and how to run it from here on; `name` and `storage_path` are the study's, and time-outs,
                retries, memory stop_conditions and resources that are left at their defaults are as they were.
            accept_changes: continue although the objective's code, state or settings are not those that the study was begun
                with, or backtests are accounted by other rules now: later trials are then not comparable with the earlier.

        Raises:
            StudyNotFoundError: there is no study.
            StudyMismatchError: the objective, space or searcher is not the one the study was begun with; the message
                 says what differs.
            BundleError: its prices are gone or damaged; trials that may have used damaged ones are marked.
            SpaceError: `param_space` has to be passed.
        """
        run_config = run_config or RunConfig()
        location = StudyLocation(path, run_config.mirror_interval_s)
        folder = location.fetch()
        journal = Journal(folder)
        definition = journal.definition
        journal.close()
        study = Study.from_json(definition, None if param_space is None else Space.of(param_space))
        if study.space.fingerprint != definition["space_fingerprint"]:
            raise StudyMismatchError(f"`param_space` is not the one the study in {folder} was begun with.")
        study.space.require_options()
        if not accept_changes:
            require_same_objective(study.objective, address_of(objective), folder)
        if isinstance(search_alg, BOHB) and asdict(search_alg) == study.search_options:
            search_alg = None  # what the study holds already
        is_object = is_search_alg(search_alg) and not isinstance(search_alg, BOHB)
        if not (is_object if study.search_alg == "custom" else search_alg is None):
            wanted = "a searcher object of your own" if study.search_alg == "custom" else repr(study.search_alg)
            raise StudyMismatchError(f"the study in {folder} was begun with {wanted} as `search_alg`; pass the same.")
        tuner = cls.__new__(cls)
        run_config = with_saved_settings(run_config, study.run)
        tuner._run_config = run_config if callbacks is None else replace(run_config, callbacks=callbacks)
        tuner._objective = objective
        tuner._search_alg = search_alg
        tuner._time_budget_s = None
        try:
            tuner._bundle = reopen_bundle(study.bundle, folder, objective, verify=is_uri(path))
        except BundleNotFoundError:
            raise
        except BundleError as damage:
            raise damaged_bundle_error(damage, location) from None
        tuner._study = study
        tuner._location, tuner._folder = location, folder
        tuner._is_new, tuner._has_run = False, False
        tuner._accept_changes = accept_changes
        return tuner

    @property
    def path(self) -> Path:
        """The study's folder; of one that is kept at a URI, the folder of this machine."""
        return self._folder

    @property
    def study(self) -> Study:
        """The study's definition."""
        return self._study

    @explain_os_errors()
    def fit(self) -> ResultGrid:
        """Runs the study to its end, from the start or from where its journal stops.

        Raises:
            ResourceError: the machine has too little memory, disk space, descriptors or processes left.
            StudyLockedError: another process runs it.
            StudyMismatchError: it was begun by other accounting rules or with another objective, or it continues with a
                module whose file is not the one that was imported, and `accept_changes` was not given.
            ObjectiveError: the objective cannot be sent to workers.
            StudyInterrupted: Ctrl-C stopped it; what finished is recorded.
            PricesChangedError: the prices changed while it ran; the trials since the last check are marked as failed,
                and run again when the study is resumed.
            BundleError: the prices are not those that the bundle was made with.
            WorkerStartError: no worker could be started.
            JournalError: the journal, or its mirror at the end, cannot be written.
        """
        if not self._is_new and (results := ResultGrid(self._folder, self._study)).is_done:
            self._location.bring_up_to_date()
            return results
        self._refuse_another_accounting()
        if self._search_alg is not None and self._has_run:
            raise SettingError(
                f"a searcher object serves one run; go on with `Tuner.restore({self._location.display_name!r}, objective, "
                f"search_alg=...)` and a fresh one."
            )
        with self._location.locked():
            if self._is_new:
                self._refuse_existing()  # another Tuner of that name may have run since this one was made
            else:
                self._location.reconcile()
            # An objective that brings its own prices may use numba too: its driver has mostly loaded it then.
            prices = self._bundle is not None or "numba" in sys.modules
            with interrupt_on_signals() as interrupt, pool_for(self._run_config, prices=prices) as pool:
                reason = self._run(pool, interrupt)
        if reason == "interrupted":
            done = len(ResultGrid(self._folder, self._study))
            raise StudyInterrupted(
                f"stopped with {done:,} trials recorded; go on with `rbt-ray resume {self._location.display_name}` "
                f"or `Tuner.restore({self._location.display_name!r}, objective)`."
            )
        return ResultGrid(self._folder, self._study)

    def _refuse_existing(self) -> None:
        if (holder := self._location.holder()) is not None:
            shown = self._location.display_name
            raise StudyExistsError(
                f"there is a study in {holder} already. Go on with it by `rbt-ray resume {shown}` or "
                f"`Tuner.restore({shown!r}, objective)`, or give this one another `name`."
            )

    def _refuse_another_accounting(self) -> None:
        study = self._study
        if study.bundle is not None and study.accounting != ACCOUNTING and not self._accept_changes:
            raise StudyMismatchError(
                f"the study in {self._folder} was begun by version {study.accounting} of the accounting of backtests; this "
                f"is version {ACCOUNTING}, by which the same config scores otherwise. Begin a new study under another name, "
                f"or go on all the same by Tuner.restore(..., accept_changes=True)."
            )

    def _own_sources(self) -> dict[str, Source]:
        """The user's own modules, for workers; and a look at whether the objective is still what the study records."""
        found = find(self._objective)
        if self._is_new:
            self._study = replace(self._study, objective=found.address)
        elif not self._accept_changes:
            require_same_objective(self._study.objective, found.address, self._folder)
        if found.fingerprint is None:
            return own_sources()
        sources = own_sources(found.fingerprint.imports)
        if differing := changed_parts(found.fingerprint, sources):
            if not self._is_new and not self._accept_changes:
                refuse_changed_code(differing, sources, self._folder)
            warnings.warn(describe_changes(differing, sources), stacklevel=5)  # `explain_os_errors` is one of them
        record_sources(sources, self._folder)
        return sources

    def _run(self, pool: Any, interrupt: Any) -> str:
        sources = self._own_sources()
        study, run_config = self._study, self._run_config
        own = (self._folder / OWN_BUNDLE).absolute()
        if self._bundle is not None and self._bundle.path is None:
            self._bundle.save(own)
            self._bundle = type(self._bundle).open(own)
        elif self._is_new and self._bundle is not None and self._bundle.path != own:
            own.unlink(missing_ok=True)  # of a study that was never begun
        if self._bundle is not None:
            check_bundle(self._bundle, self._location, is_new=self._is_new)
        if pool.n_workers > study.max_pending:
            warnings.warn(
                f"the study keeps at most {study.max_pending} trials open, fewer than its {pool.n_workers} workers, of which "
                f"some will idle: set `max_pending` of TuneConfig to twice the workers or more; of Ray Tune's TuneConfig as "
                f"`rbt_ray.tune` has it, `max_concurrent_trials` to the workers or more.",
                stacklevel=4,  # `explain_os_errors` is one of them
            )
        train_bars = study.bundle.train_bars if study.bundle else 0
        ref = None if self._bundle is None else pool.share(self._bundle)
        files = pool.share_files(self._objective.files) if isinstance(self._objective, OwnData) else None
        job = Task(
            self._objective,
            study.space,
            study.metric,
            study.seed,
            ref,
            train_bars,
            fidelity="prefix" if study.fidelity == "reports" else study.fidelity,
            max_reports=study.max_reports,
            files=files,
        ).pack(sources)
        journal = Journal.create(self._folder, study.to_json()) if self._is_new else Journal(self._folder, write=True)
        self._is_new, self._has_run = False, True
        dispatcher = Dispatcher(
            pool,
            job,
            trial_timeout_s=run_config.trial_timeout_s,
            max_retries=run_config.max_retries,
            max_batch=run_config.recycle_after,
        )
        searcher = make(study, self._search_alg)
        progress = Progress(study, total=self._total())
        if study.why and run_config.verbose:
            print(study.why, file=sys.stderr)
        stop_conditions = StopConditions(self._time_budget_s, run_config.max_failures, interrupt)
        callbacks = Callbacks(run_config.callbacks, study)
        journal.when_blocked = JournalRetry(interrupt.wait, self._location.display_name)
        try:
            with self._location.mirrored(), show_progress(progress, verbose=run_config.verbose):
                ended = partial(Ended, n_workers=pool.n_workers, backend=backend_of(self._run_config))
                reviewed = None
                try:
                    reason = loop.run(
                        study, searcher, dispatcher, journal, stop_conditions, progress, callbacks.on_finished
                    )
                    wall_s = progress.wall_s
                    progress.notes = searcher.notes if isinstance(searcher, ScheduledSearch) else []
                    if reason == "done" and study.recheck and self._bundle is not None:
                        progress.stage = "running the best again in detail"
                        table = table_of(trusted(journal.read("finished", *KINDS)), study)
                        reviewed = review_best(table, self._bundle, pool, job, interrupt, run_config.trial_timeout_s)
                    if self._bundle is not None and reason != UNCHECKED and not check_prices(pool, job, interrupt):
                        reason = UNCHECKED
                except PricesChangedError as error:
                    assert self._bundle is not None
                    changed = prices_changed_error(self._bundle, str(error), journal, self._location)
                    journal.append(ended("prices changed", progress.wall_s, notes=[str(changed)]))
                    raise changed from None
                if reviewed is not None and reason == "done":
                    journal.append(reviewed)
                journal.append(ended(reason, wall_s, notes=list(progress.notes)))
        finally:
            journal.close()
        callbacks.on_study_end(ResultGrid(self._folder, study))
        return reason

    def _total(self) -> int | None:
        study = self._study
        if (study.scheduler is not None and study.lowest_fidelity < 1) or study.max_reports is not None:
            return None
        known = [n for n in (study.space.size, study.num_samples) if n is not None]
        return min(known) if known and self._search_alg is None else study.num_samples

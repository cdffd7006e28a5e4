"""The Tune-style front door: a study is set up, run or gone on with, and handed back as a ResultGrid."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rbt_ray.engine import loop
from rbt_ray.engine.dispatcher import Dispatcher
from rbt_ray.engine.journal_retry import Patience
from rbt_ray.engine.price_check import check_prices
from rbt_ray.engine.review import second_look
from rbt_ray.engine.stop_conditions import Limits
from rbt_ray.engine.watch import Watch
from rbt_ray.errors import (
    BundleError,
    BundleNotFoundError,
    PricesChangedError,
    SettingError,
    StudyExistsError,
    StudyInterrupted,
    StudyMismatchError,
)
from rbt_ray.objectives.fingerprint.address import address_of, locate
from rbt_ray.objectives.fingerprint.own_code import Source, own_sources
from rbt_ray.objectives.kind import kind_of
from rbt_ray.objectives.validate import check_objective
from rbt_ray.os_errors import explained
from rbt_ray.pool.job import Task
from rbt_ray.pool.local.start_method import prepare, require_children
from rbt_ray.pool.pool import WorkerPool
from rbt_ray.search.registry import make_searcher, object_again, object_of, recorded_kind
from rbt_ray.search.scheduled_search import ScheduledSearch
from rbt_ray.store.journal import Ended, Journal
from rbt_ray.store.location import OWN_BUNDLE, Place
from rbt_ray.store.table import table_of
from rbt_ray.store.trust import KINDS, UNCHECKED, trusted
from rbt_ray.store.uri import child, is_uri
from rbt_ray.study.space import Space
from rbt_ray.study.study import Study
from rbt_ray.tuner.callbacks import Callbacks
from rbt_ray.tuner.changed_prices import changed_under, check_bundle, distrust_after
from rbt_ray.tuner.config import RunConfig, TuneConfig, as_before
from rbt_ray.tuner.definition import bundle_of, define, open_again
from rbt_ray.tuner.interrupt import clean_interrupt
from rbt_ray.tuner.pools import backend_of, check, pool_for, shutdown
from rbt_ray.tuner.progress import show_progress
from rbt_ray.tuner.result_grid import ResultGrid
from rbt_ray.tuner.same_objective import described, keep, refuse_another, refuse_stale, stale
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

    @explained()
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
        self._search_alg = object_of(tune_config.search_alg)
        self._time_budget_s = tune_config.time_budget_s
        self._bundle = bundle_of(bundle, objective, tune_config)
        if self._bundle is not None and kind_of(objective).provider is None:
            from rbt_ray.data.holes import warn_of_holes

            warn_of_holes(self._bundle, stacklevel=3)  # `explained` is one of them
        space = Space.of(param_space)
        check_objective(objective, space, tune_config.metric, self._bundle, reports=tune_config.fidelity == "reports")
        self._study = define(objective, space, self._bundle, tune_config, self._run_config)
        storage = self._run_config.storage_path or "studies"
        path = child(str(storage), self._study.name) if is_uri(storage) else Path(storage) / self._study.name
        self._place = Place(path, self._run_config.mirror_interval_s)
        self._folder = self._place.folder
        self._is_new, self._has_run = True, False
        self._accept_changes = False
        self._refuse_existing()

    @classmethod
    @explained()
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
            path: the study's folder, or its URI: the newer of the local journal and its mirror (see `Place`).
            objective: the same as when it was begun.
            param_space: the same, where it holds options that JSON cannot.
            search_alg: a fresh searcher or sampler object, where the study was begun with one.
            callbacks: as in RunConfig.
            run_config: where and how to run it from here on; `name` and `storage_path` are the study's, and time-outs,
                retries, memory limits and resources that are left at their defaults are as they were.
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
        place = Place(path, run_config.mirror_interval_s)
        folder = place.settle()
        journal = Journal(folder)
        definition = journal.definition
        journal.close()
        study = Study.from_json(definition, None if param_space is None else Space.of(param_space))
        if study.space.fingerprint != definition["space_fingerprint"]:
            raise StudyMismatchError(f"`param_space` is not the one the study in {folder} was begun with.")
        study.space.require_options()
        if not accept_changes:
            refuse_another(study.objective, address_of(objective), folder)
        search_alg = object_again(study, search_alg)
        tuner = cls.__new__(cls)
        run_config = as_before(run_config, study.run)
        tuner._run_config = run_config if callbacks is None else replace(run_config, callbacks=callbacks)
        tuner._objective = objective
        tuner._search_alg = search_alg
        tuner._time_budget_s = None
        try:
            tuner._bundle = open_again(study.bundle, folder, objective, verify=is_uri(path))
        except BundleNotFoundError:
            raise
        except BundleError as damage:
            raise distrust_after(damage, place) from None
        tuner._study = study
        tuner._place, tuner._folder = place, folder
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

    @explained()
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
            self._place.bring_up_to_date()
            return results
        self._refuse_another_accounting()
        if self._search_alg is not None and self._has_run:
            raise SettingError(
                f"a searcher object serves one run; go on with `Tuner.restore({self._place.shown!r}, objective, "
                f"search_alg=...)` and a fresh one."
            )
        with self._place.locked():
            if self._is_new:
                self._refuse_existing()  # another Tuner of that name may have run since this one was made
            else:
                self._place.settle_locked()
            with clean_interrupt() as interrupt, self._pool() as pool:
                reason = self._run(pool, interrupt)
        if reason == "interrupted":
            done = len(ResultGrid(self._folder, self._study))
            raise StudyInterrupted(
                f"stopped with {done:,} trials recorded; go on with `rbt-ray resume {self._place.shown}` "
                f"or `Tuner.restore({self._place.shown!r}, objective)`."
            )
        return ResultGrid(self._folder, self._study)

    def _pool(self) -> AbstractContextManager[WorkerPool]:
        # An objective that brings its own prices may use numba too: its driver has usually imported it then.
        if backend_of(self._run_config) == "local" and (self._bundle is not None or "numba" in sys.modules):
            prepare()
        return pool_for(self._run_config)

    def _refuse_existing(self) -> None:
        if (holder := self._place.holder()) is not None:
            shown = self._place.shown
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
        found = locate(self._objective)
        if self._is_new:
            self._study = replace(self._study, objective=found.address)
        elif not self._accept_changes:
            refuse_another(self._study.objective, found.address, self._folder)
        if found.fingerprint is None:
            return own_sources()
        sources = own_sources(found.fingerprint.imports)
        if differing := stale(found.fingerprint, sources):
            if not self._is_new and not self._accept_changes:
                refuse_stale(differing, sources, self._folder)
            warnings.warn(described(differing, sources), stacklevel=5)  # `explained` is one of them
        keep(sources, self._folder)
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
            check_bundle(self._bundle, self._place, is_new=self._is_new)
        if pool.n_workers > study.max_pending:
            warnings.warn(
                f"the study keeps at most {study.max_pending} trials open, fewer than its {pool.n_workers} workers, of which "
                f"some will idle: set `max_pending` of TuneConfig to twice the workers or more; of Ray Tune's TuneConfig as "
                f"`rbt_ray.tune` has it, `max_concurrent_trials` to the workers or more.",
                stacklevel=4,  # `explained` is one of them
            )
        train_bars = study.bundle.train_bars if study.bundle else 0
        ref = None if self._bundle is None else pool.share(self._bundle)
        provider = kind_of(self._objective).provider
        files = None if provider is None else pool.share_files(provider.files)
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
        searcher = make_searcher(study, self._search_alg)
        watch = Watch(study, total=self._total())
        if study.why and run_config.verbose:
            print(study.why, file=sys.stderr)
        limits = Limits(self._time_budget_s, run_config.max_failures, interrupt)
        callbacks = Callbacks(run_config.callbacks, study)
        journal.when_blocked = Patience(interrupt.wait, self._place.shown)
        try:
            with self._place.mirrored(), show_progress(watch, verbose=run_config.verbose):
                ended = partial(Ended, n_workers=pool.n_workers, backend=backend_of(self._run_config))
                reviewed = None
                try:
                    reason = loop.run(study, searcher, dispatcher, journal, limits, watch, callbacks.on_finished)
                    wall_s = watch.wall_s
                    watch.notes = searcher.notes if isinstance(searcher, ScheduledSearch) else []
                    if reason == "done" and study.recheck and self._bundle is not None:
                        watch.stage = "running the best again in detail"
                        table = table_of(trusted(journal.read("finished", *KINDS)), study)
                        reviewed = second_look(table, self._bundle, pool, job, interrupt, run_config.trial_timeout_s)
                    if self._bundle is not None and reason != UNCHECKED and not check_prices(pool, job, interrupt):
                        reason = UNCHECKED
                except PricesChangedError as error:
                    assert self._bundle is not None
                    changed = changed_under(self._bundle, str(error), journal, self._place)
                    journal.append(ended("prices changed", watch.wall_s, notes=[str(changed)]))
                    raise changed from None
                if reviewed is not None and reason == "done":
                    journal.append(reviewed)
                journal.append(ended(reason, wall_s, notes=list(watch.notes)))
        finally:
            journal.close()
        callbacks.on_study_end(ResultGrid(self._folder, study))
        return reason

    def _total(self) -> int | None:
        study = self._study
        if (study.scheduler is not None and study.lowest_fidelity < 1) or study.max_reports is not None:
            return None
        known = [n for n in (study.space.size, study.num_samples) if n is not None]
        return min(known) if known and recorded_kind(study).limits_itself else study.num_samples

"""`tune.Tuner`: Ray Tune's interface to a study, run by the engine of `rbt_ray.tuner`."""

from __future__ import annotations

import hashlib
import secrets
import shutil
import time
import warnings
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from rbt_ray.compat.ray_tune import rerun
from rbt_ray.compat.ray_tune.callback import CallbackDispatcher, StudyStopped
from rbt_ray.compat.ray_tune.constraints import constrained_space
from rbt_ray.compat.ray_tune.definition import FILE, Definition
from rbt_ray.compat.ray_tune.results import ResultGrid
from rbt_ray.compat.ray_tune.schedulers import schedule_plan, to_native_scheduler
from rbt_ray.compat.ray_tune.searching import (
    ObservedScheduler,
    SearchSettings,
    TuneSampler,
    parse_search_alg,
    study_metric,
)
from rbt_ray.compat.ray_tune.settings import CheckpointConfig, FailureConfig, RunConfig, TuneConfig, to_settings
from rbt_ray.compat.ray_tune.spaces import generate_samples, require_flat
from rbt_ray.compat.ray_tune.stopper import StopCriteria
from rbt_ray.compat.ray_tune.trainable_objective import SAMPLE, TrainableObjective, metric_column
from rbt_ray.compat.ray_tune.trainable_spec import TrainableSpec
from rbt_ray.compat.ray_tune.trial import TrialNaming
from rbt_ray.compat.ray_tune.workers import to_engine_run_config
from rbt_ray.errors import NotSupportedError, SettingError, SpaceError, StudyInterrupted, StudyMismatchError, TuneError
from rbt_ray.search.fixed_sequence import GridSearch, SequenceSampler
from rbt_ray.search.scheduled_search import ScheduledSearch
from rbt_ray.search.searcher import Sampler
from rbt_ray.store.journal import Journal
from rbt_ray.store.lease import StudyLock
from rbt_ray.store.location import StudyLocation
from rbt_ray.store.storage import is_uri
from rbt_ray.study.primitives import randint
from rbt_ray.study.space import Space
from rbt_ray.tuner import config, result_grid, tuner
from rbt_ray.tuner.pools import backend_of
from rbt_ray.types import Mode

_UNLIMITED_SAMPLES = 10_000
_STOPPED = "stopped"
"""Marker file in the folder of a study that a stopper ended."""
_NO_FILESYSTEM = "`storage_filesystem` is not supported; pass `path` as a URI such as 's3://bucket/name'."


class Tuner:
    """A study to run.

    Args:
        trainable: a function of a config that returns or reports metrics, a class with `setup` and `step`, or either of
            them wrapped by `with_parameters` or `with_resources`.
        param_space: constants, domains, `grid_search` and `sample_from`, nested to any depth.
        tune_config: what to search, and how.
        run_config: where and how to run it.

    Raises:
        InputError: an argument cannot be used; the message says which and what to do.
    """

    def __init__(
        self,
        trainable: Any = None,
        *,
        param_space: Mapping[str, Any] | None = None,
        tune_config: TuneConfig | None = None,
        run_config: RunConfig | None = None,
    ) -> None:
        tune, run = to_settings(TuneConfig, tune_config), to_settings(RunConfig, run_config)
        spec = TrainableSpec.of(trainable)
        search = parse_search_alg(tune.search_alg)
        scheduler = to_native_scheduler(tune.scheduler)
        given = search.seed if tune.seed is None else tune.seed
        seed = secrets.randbits(32) if given is None else given
        n = _UNLIMITED_SAMPLES if tune.num_samples == -1 else tune.num_samples
        if tune.num_samples == -1 and tune.time_budget_s is None and run.stop is None:
            raise SettingError("`num_samples=-1` never ends: set `time_budget_s`, or a `stop` that ends the study.")
        space: Any = dict(param_space or {})
        name = run.name or f"{spec.__name__}_{time.strftime('%Y-%m-%d_%H-%M-%S')}_{secrets.token_hex(2)}"
        samples = None
        if search.searcher is not None:
            require_flat(space)
            if tune.constraints:
                space = constrained_space(space, tune.constraints)
        else:
            samples = generate_samples(
                space,
                n,
                seed,
                points_to_evaluate=search.points_to_evaluate,
                constant_grid_search=search.constant_grid_search,
                constraints=tune.constraints,
            )
        metric, mode = study_metric(tune, scheduler, search)
        naming = TrialNaming(hashlib.sha256(f"{name}{seed}".encode()).hexdigest()[:5], spec.__name__)
        definition = Definition(
            trainable_name=naming.trainable_name,
            prefix=naming.prefix,
            metric=metric,
            mode=mode,
            seed=seed,
            num_samples=n,
            samples=samples,
            names=_names(naming, samples, tune),
            points_to_evaluate=search.points_to_evaluate,
            constant_grid_search=search.constant_grid_search,
            scheduler=scheduler,
            stop=run.stop,
            checkpoints=to_settings(CheckpointConfig, run.checkpoint_config),
            failures=to_settings(FailureConfig, run.failure_config),
            reuse=tune.reuse_actors,
            n_callbacks=len(run.callbacks or ()),
            constraints=tune.constraints,
            max_concurrent_trials=tune.max_concurrent_trials or None,
        )
        self._setup(spec, definition, search, space, tune, run, name)

    def _setup(
        self,
        trainable: TrainableSpec,
        definition: Definition,
        search: SearchSettings,
        space: Any,
        tune: TuneConfig,
        run: RunConfig,
        name: str,
    ) -> None:
        """Prepares a new or restored study to run."""
        self._trainable, self._definition, self._search, self._space = trainable, definition, search, space
        self._tune = tune
        self._rerun: rerun.Rerun | None = None
        self._resume_unfinished = True
        self._engine: tuner.Tuner | None = None
        self._stop = StopCriteria(definition.stop)
        self._plan = schedule_plan(definition.scheduler, self._stop.max_iterations)
        if self._plan is not None and definition.metric is None:
            raise SettingError("a scheduler needs a `metric` and a `mode`: set them in TuneConfig.")
        # A plan ends trials at `max_t`. Without a plan, as in a rerun of failed trials, the stop criteria have to.
        self._stop_unscheduled = StopCriteria(definition.stop, getattr(definition.scheduler, "max_t", None))
        self._objective = TrainableObjective(
            trainable,
            definition.samples,
            TrialNaming(definition.prefix, definition.trainable_name, names=definition.names),
            self._stop_unscheduled if self._plan is None else self._stop,
            definition.checkpoints,
            definition.failures.max_failures,
            reuse=definition.reuse,
            resumes=self._plan is not None,
        )
        self._dispatcher = CallbackDispatcher(
            run.callbacks or (), self._objective, definition.checkpoints, scheduled=self._plan is not None
        )
        limit = search.max_concurrent or tune.max_concurrent_trials or None
        engine_config = to_engine_run_config(run, name, trainable.resources, limit, definition.failures)
        self._engine_config = replace(engine_config, callbacks=(self._dispatcher,))

    @classmethod
    def restore(
        cls,
        path: str | Path,
        trainable: Any,
        resume_unfinished: bool = True,
        resume_errored: bool = False,
        restart_errored: bool = False,
        param_space: Mapping[str, Any] | None = None,
        storage_filesystem: Any = None,
        *,
        search_alg: Any = None,
        run_config: RunConfig | None = None,
        accept_changes: bool = False,
    ) -> Tuner:
        """Restores a study from its folder, to continue where it stopped, even after a `kill -9`.

        Finished trials are kept. A trial that was running continues from its latest checkpoint, if it has one.

        Args:
            path: the study's folder, or its URI.
            trainable: the trainable that the study began with.
            resume_unfinished: False: run nothing more.
            resume_errored: run failed trials again, from their latest checkpoints.
            restart_errored: run failed trials again, from their start.
            param_space: the same as at the beginning; needed only where its configs hold objects that no file can hold.
            storage_filesystem: not supported; pass `path` as a URI.
            search_alg: a new searcher object, where the study began with one.
            run_config: where to run the study from now on, with its `stop` if that is a function or an object, and its
                `callbacks`; every other setting keeps its saved value.
            accept_changes: continue although the trainable's code or parameters differ.

        Raises:
            StudyNotFoundError: there is no study of `rbt_ray.tune` at `path`.
            StudyMismatchError: the trainable, space, stopper or searcher differs from the one the study began with.
        """
        if storage_filesystem is not None:
            raise NotSupportedError(_NO_FILESYSTEM)
        run, spec = to_settings(RunConfig, run_config), TrainableSpec.of(trainable)
        folder = StudyLocation(path if is_uri(str(path)) else Path(path).expanduser(), 10.0).fetch().absolute()
        definition = Definition.load(folder, param_space, run.stop)
        if definition.trainable_name != spec.__name__:
            raise StudyMismatchError(
                f"the study in {folder} began with the trainable {definition.trainable_name!r}; got {spec.__name__!r}."
            )
        if definition.n_callbacks and not run.callbacks:
            warnings.warn(
                "the study began with callbacks, which no file can hold: pass them again in `run_config`, or none are "
                "called.",
                stacklevel=2,
            )
        search = parse_search_alg(search_alg)
        restored = cls.__new__(cls)
        space = param_space or _space_in(folder)
        if param_space and definition.samples is None and definition.constraints:
            space = constrained_space(param_space, definition.constraints)
        tune = TuneConfig(max_concurrent_trials=definition.max_concurrent_trials)
        restored._setup(spec, definition, search, space, tune, run, folder.name)
        restored._resume_unfinished = resume_unfinished
        restored._rerun = rerun.Rerun(restart_errored, accept_changes) if resume_errored or restart_errored else None
        restored._engine = tuner.Tuner.restore(
            path if is_uri(str(path)) else folder,
            restored._objective,
            param_space=None if definition.samples is not None else param_space,
            search_alg=restored._scheduled() or search.restored,
            run_config=restored._engine_config,
            accept_changes=accept_changes,
        )
        return restored

    @classmethod
    def can_restore(cls, path: str | Path, storage_filesystem: Any = None) -> bool:
        """Returns whether there is a study of `rbt_ray.tune` in that folder or at that URI."""
        if storage_filesystem is not None:
            raise NotSupportedError(_NO_FILESYSTEM)
        location = StudyLocation(path if is_uri(str(path)) else Path(path).expanduser(), 10.0)
        return location.holder() is not None and (location.folder / FILE).exists()

    def get_results(self) -> ResultGrid:
        """Returns the results so far of a study that was restored or has run."""
        if self._engine is None:
            raise SettingError("the study has not run yet: call `fit`.")
        return self._results(self._engine.path.absolute())

    def fit(self) -> ResultGrid:
        """Runs the study to its end, from the start or from where it stopped.

        Raises:
            StudyLockedError: another process runs it.
            StudyInterrupted: Ctrl-C stopped it; finished trials are recorded.
            TuneError: a trial failed, and `fail_fast` is "raise".
        """
        if self._engine is None:
            self._engine = self._begin()
            self._definition.save(self._engine.path)
        folder = self._engine.path.absolute()
        self._objective.naming = replace(self._objective.naming, experiment_path=str(folder))
        if not self._resume_unfinished:
            return self._results(folder)
        self._trainable.parameters.store_in(folder, on_ray=backend_of(self._engine_config) == "ray")
        n_samples = None if self._definition.samples is None else len(self._definition.samples)
        self._dispatcher.setup(self._stop, n_samples)
        try:
            if not (folder / _STOPPED).exists():
                self._engine.fit()
            if self._rerun is not None:
                self._objective.stop = self._stop_unscheduled
                unnamed = replace(self._engine_config, storage_path=None)
                self._rerun.run(folder, self._objective, self._results(folder), unnamed)
        except StudyStopped:
            (folder / _STOPPED).touch(mode=0o600)
        except StudyInterrupted:
            raise StudyInterrupted(
                f"stopped with {len(self._results(folder)):,} trials recorded; continue with "
                f"`tune.Tuner.restore({str(folder)!r}, {self._trainable.__name__}).fit()`."
            ) from None
        finally:
            self._trainable.parameters.clear()
        results = self._results(folder)
        self._dispatcher.end(results.unfinished(self._dispatcher.completed))
        if results.errors and str(self._definition.failures.fail_fast).lower() == "raise":
            raise TuneError(f"a trial failed: {results.errors[0]}")
        return results

    def _scheduled(self) -> ScheduledSearch | None:
        """Returns the search object for a scheduler over samples or over a searcher of Ray Tune, which have no name in rbt_ray."""
        definition, plan = self._definition, self._plan
        if plan is None:
            return None
        if definition.samples is not None:
            space, n = self._sample_space(), len(definition.samples)
            sampler: Sampler = SequenceSampler(GridSearch(space, limit=n))
            return ScheduledSearch(space, sampler, plan.scheduler, plan.ladder, plan.eta, limit=n, continues=True)
        if not self._search.is_ray_searcher:
            return None
        space, n = Space.of(self._space), definition.num_samples
        sampler = TuneSampler(space, self._search.searcher)
        scheduler = ObservedScheduler(plan.scheduler, sampler)
        return ScheduledSearch(space, sampler, scheduler, plan.ladder, plan.eta, limit=n, continues=True)

    def _sample_space(self) -> Space:
        return Space.of({SAMPLE: randint(0, max(2, len(self._definition.samples or ())))})

    def _begin(self) -> tuner.Tuner:
        definition, plan, run = self._definition, self._plan, self._engine_config
        _move_aside(str(run.storage_path), str(run.name))
        mode: Mode = "min" if definition.metric is not None and definition.mode == "min" else "max"
        limits = self._tune.budget_seconds, self._stop.seconds
        settings: dict[str, Any] = {
            "metric": metric_column(definition.metric or "training_iteration"),
            "mode": mode,
            "seed": definition.seed,
            "time_budget_s": min((limit for limit in limits if limit is not None), default=None),
            "min_fidelity": 1.0,
        }
        if plan is not None:
            settings |= {"fidelity": "reports", "max_reports": plan.max_reports, "eta": plan.eta}
        space = self._space
        if definition.samples is not None:
            space = self._sample_space()
            settings |= {"num_samples": len(definition.samples), "search_alg": self._scheduled() or "grid"}
        else:
            settings |= {"num_samples": definition.num_samples, "search_alg": self._search.searcher}
            settings["max_pending"] = self._search.max_open_trials(self._tune.max_concurrent_trials)
            if (search := self._scheduled()) is not None:
                settings["search_alg"] = search
            elif plan is not None:
                settings |= {"scheduler": plan.scheduler, "min_fidelity": plan.ladder[0]}
        tune_config = config.TuneConfig(**settings)
        return tuner.Tuner(self._objective, param_space=space, tune_config=tune_config, run_config=run)

    def _results(self, folder: Path) -> ResultGrid:
        self._objective.naming = replace(self._objective.naming, experiment_path=str(folder))
        study = None if self._engine is None else self._engine.study
        studies = [result_grid.ResultGrid(folder, study), *rerun.studies_in(folder)]
        return ResultGrid(
            studies, self._objective, self._definition.checkpoints, self._definition.metric, self._definition.mode
        )


def _space_in(folder: Path) -> Space | None:
    """Returns the space of a study with a searcher, or None where the journal cannot hold all of its options."""
    with closing(Journal(folder)) as journal, suppress(SpaceError):
        space = Space.from_json(journal.definition["space"])
        space.require_options()
        return space
    return None


def _names(naming: TrialNaming, samples: Any, tune: TuneConfig) -> list[tuple[str | None, str | None]] | None:
    makers = tune.trial_name_creator, tune.trial_dirname_creator
    if makers == (None, None):
        return None
    if samples is None:
        raise NotSupportedError("`trial_name_creator` and `trial_dirname_creator` need a study without a `search_alg`.")
    trials = [naming.trial(number, sample) for number, sample in enumerate(samples)]
    names = [None if makers[0] is None else str(makers[0](trial)) for trial in trials]
    folders = [None if makers[1] is None else Path(str(makers[1](trial))).name for trial in trials]
    if makers[1] is not None and len(set(folders)) < len(folders):
        raise SettingError(
            "`trial_dirname_creator` gives two trials the same folder; include `trial.trial_id` in the name."
        )
    return list(zip(names, folders, strict=True))


def _move_aside(storage: str, name: str) -> None:
    """Renames the folder of an earlier study of that name, so that a script can run a second time."""
    if is_uri(storage):
        return
    folder = Path(storage) / name
    if StudyLocation(folder, 10.0).holder() is None:
        return
    StudyLock(folder).release()  # raises if a process runs the study
    aside = folder.with_name(f"{name}_before_{time.strftime('%Y-%m-%d_%H-%M-%S')}_{secrets.token_hex(2)}")
    shutil.move(folder, aside)
    warnings.warn(f"there was a study in {folder}; it was moved to {aside}.", stacklevel=4)

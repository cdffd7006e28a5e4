"""`tune.Tuner`: a study as Ray Tune's users write it, run by our engine."""

from __future__ import annotations

import hashlib
import secrets
import shutil
import time
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rbt_ray.compat.ray_tune import rerun
from rbt_ray.compat.ray_tune.callback import Bridge, StopAll
from rbt_ray.compat.ray_tune.definition import FILE, Definition
from rbt_ray.compat.ray_tune.results import ResultGrid
from rbt_ray.compat.ray_tune.samples import check_flat, samples_of
from rbt_ray.compat.ray_tune.scheduling import climb_of, ours
from rbt_ray.compat.ray_tune.searching import metric_of, searched
from rbt_ray.compat.ray_tune.settings import CheckpointConfig, FailureConfig, RunConfig, TuneConfig, taken
from rbt_ray.compat.ray_tune.stopping import Stop
from rbt_ray.compat.ray_tune.trainable_objective import SAMPLE, Runner, engine_name
from rbt_ray.compat.ray_tune.trainable_spec import Dressed
from rbt_ray.compat.ray_tune.trial import Naming
from rbt_ray.compat.ray_tune.workers import engine_run
from rbt_ray.errors import NotSupportedError, SettingError, SpaceError, StudyInterrupted, StudyMismatchError, TuneError
from rbt_ray.search.grid_search import GridSearch
from rbt_ray.search.sampler import Sampler, StreamSampler
from rbt_ray.search.scheduled_search import ScheduledSearch
from rbt_ray.store.journal import Journal
from rbt_ray.store.location import StudyLocation
from rbt_ray.store.lock import StudyLock
from rbt_ray.store.uri import is_uri
from rbt_ray.study.primitives import randint
from rbt_ray.study.space import Space
from rbt_ray.tuner.config import RunConfig as EngineRun
from rbt_ray.tuner.config import TuneConfig as EngineTune
from rbt_ray.tuner.pools import backend_of
from rbt_ray.tuner.result_grid import ResultGrid as StudyResults
from rbt_ray.tuner.tuner import Tuner as EngineTuner
from rbt_ray.types import Mode

_ENDLESS = 10_000
_STOPPED = "stopped"
"""A file in the folder of a study that a stopper ended."""


class Tuner:
    """A study about to run, in Ray Tune's words.

    Args:
        trainable: a function of a config that returns or reports metrics, a class with `setup` and `step`, or either with
            `with_parameters` and `with_resources`.
        param_space: constants, domains, `grid_search` and `sample_from`, nested as you like.
        tune_config: what is searched, and how.
        run_config: where and how it is run.

    Raises:
        InputError: something given cannot be used; the message says what, and what to do.
    """

    def __init__(
        self,
        trainable: Any = None,
        *,
        param_space: Mapping[str, Any] | None = None,
        tune_config: TuneConfig | None = None,
        run_config: RunConfig | None = None,
    ) -> None:
        self._tune, self._run = taken(TuneConfig, tune_config), taken(RunConfig, run_config)
        self._trainable = Dressed.of(trainable)
        search = searched(self._tune.search_alg)
        scheduler = ours(self._tune.scheduler)
        given = search.seed if self._tune.seed is None else self._tune.seed
        seed = secrets.randbits(32) if given is None else given
        n = _ENDLESS if self._tune.num_samples == -1 else self._tune.num_samples
        if self._tune.num_samples == -1 and self._tune.time_budget_s is None and self._run.stop is None:
            raise SettingError(
                "`num_samples=-1` goes on for ever: give `time_budget_s`, or a `stop` that ends the study."
            )
        self._space: Any = dict(param_space or {})
        name = (
            self._run.name or f"{self._trainable.__name__}_{time.strftime('%Y-%m-%d_%H-%M-%S')}_{secrets.token_hex(2)}"
        )
        samples = None
        if search.searcher is not None:
            check_flat(self._space)
        else:
            samples = samples_of(
                self._space,
                n,
                seed,
                points_to_evaluate=search.points_to_evaluate,
                constant_grid_search=search.constant_grid_search,
            )
        metric, mode = metric_of(self._tune, scheduler, search)
        naming = Naming(hashlib.sha256(f"{name}{seed}".encode()).hexdigest()[:5], self._trainable.__name__)
        self._definition = Definition(
            trainable_name=naming.trainable_name,
            prefix=naming.prefix,
            metric=metric,
            mode=mode,
            seed=seed,
            num_samples=n,
            samples=samples,
            names=_names(naming, samples, self._tune),
            points_to_evaluate=search.points_to_evaluate,
            constant_grid_search=search.constant_grid_search,
            scheduler=scheduler,
            stop=self._run.stop,
            checkpoints=taken(CheckpointConfig, self._run.checkpoint_config),
            failures=taken(FailureConfig, self._run.failure_config),
            reuse=self._tune.reuse_actors,
            n_callbacks=len(self._run.callbacks or ()),
        )
        self._search = search
        self._rerun: rerun.Rerun | None = None
        self._go_on = True
        self._engine: EngineTuner | None = None
        self._prepare(name)

    def _prepare(self, name: str) -> None:
        """What both a new study and a restored one need."""
        definition = self._definition
        self._stop = Stop(definition.stop)
        self._climb = climb_of(definition.scheduler, self._stop.max_iterations)
        if self._climb is not None and definition.metric is None:
            raise SettingError("a scheduler needs a `metric` and a `mode`: give them to TuneConfig.")
        # A climb ends trials at `max_t` by itself; where there is none, or none any more, this does.
        self._stop_unscheduled = Stop(definition.stop, getattr(definition.scheduler, "max_t", None))
        resources, most = self._trainable.resources, self._search.max_concurrent or self._tune.max_concurrent_trials
        self._engine_run = engine_run(self._run, name, resources, most or None, definition.failures)
        self._runner = Runner(
            self._trainable,
            definition.samples,
            Naming(definition.prefix, definition.trainable_name, names=definition.names),
            self._stop_unscheduled if self._climb is None else self._stop,
            definition.checkpoints,
            definition.failures.max_failures,
            reuse=definition.reuse,
            climbs=self._climb is not None,
        )

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
        """A study as its folder has it, to go on where it stopped, even by a kill -9.

        Trials that ended are as they are; one that was at work goes on from its latest checkpoint, if it left one.

        Args:
            path: the study's folder, or its URI.
            trainable: the same as when it was begun.
            resume_unfinished: False: nothing more is run.
            resume_errored: run trials that failed again, from their latest checkpoints.
            restart_errored: run them again from their start.
            param_space: the same, where its configs hold objects that no file can.
            storage_filesystem: not supported; give `path` as a URI.
            search_alg: a fresh searcher object, where the study was begun with one.
            run_config: where to run it from here on, with its `stop` where that is a function or an object, and its
                `callbacks`; the rest is as it was.
            accept_changes: go on though the trainable's code or parameters differ.

        Raises:
            StudyNotFoundError: there is no study of `rbt_ray.tune`.
            StudyMismatchError: the trainable, space, stopper or searcher is not the one the study was begun with.
        """
        if storage_filesystem is not None:
            raise NotSupportedError(
                "`storage_filesystem` is not supported; give `path` as a URI such as 's3://bucket/name'."
            )
        tuner = cls.__new__(cls)
        tuner._run = taken(RunConfig, run_config)
        tuner._tune = TuneConfig()
        tuner._trainable = Dressed.of(trainable)
        folder = StudyLocation(path if is_uri(str(path)) else Path(path).expanduser(), 10.0).fetch().absolute()
        tuner._definition = definition = Definition.load(folder, param_space, tuner._run.stop)
        if definition.trainable_name != tuner._trainable.__name__:
            raise StudyMismatchError(
                f"the study in {folder} was begun with the trainable {definition.trainable_name!r}; got "
                f"{tuner._trainable.__name__!r}."
            )
        if definition.n_callbacks and not tuner._run.callbacks:
            warnings.warn(
                "the study was begun with callbacks, which no file holds: pass them again by `run_config`, or what comes is "
                "not told to any.",
                stacklevel=2,
            )
        tuner._search = searched(search_alg)
        tuner._space = param_space or _space_in(folder)
        tuner._go_on = resume_unfinished
        tuner._prepare(folder.name)
        tuner._rerun = rerun.Rerun(restart_errored, accept_changes) if resume_errored or restart_errored else None
        tuner._engine = EngineTuner.restore(
            path if is_uri(str(path)) else folder,
            tuner._runner,
            param_space=None if definition.samples is not None else param_space,
            search_alg=tuner._scheduled() or tuner._search.restored,
            run_config=tuner._engine_run,
            accept_changes=accept_changes,
        )
        return tuner

    @classmethod
    def can_restore(cls, path: str | Path, storage_filesystem: Any = None) -> bool:
        """Whether there is a study of `rbt_ray.tune` in that folder, or at that URI."""
        if storage_filesystem is not None:
            raise NotSupportedError(
                "`storage_filesystem` is not supported; give `path` as a URI such as 's3://bucket/name'."
            )
        location = StudyLocation(path if is_uri(str(path)) else Path(path).expanduser(), 10.0)
        return location.holder() is not None and (location.folder / FILE).exists()

    def get_results(self) -> ResultGrid:
        """What is there already of a study that was restored or has run."""
        if self._engine is None:
            raise SettingError("the study has not run yet: call `fit`.")
        return self._results(self._engine.path.absolute())

    def fit(self) -> ResultGrid:
        """Runs the study to its end, from the start or from where it stopped.

        Raises:
            StudyLockedError: another process runs it.
            StudyInterrupted: Ctrl-C stopped it; what finished is recorded.
            TuneError: a trial failed, and `fail_fast` is "raise".
        """
        stopper = self._stop.for_study()
        bridge = Bridge(
            self._run.callbacks or (),
            stopper,
            self._runner,
            self._definition.checkpoints,
            scheduled=self._climb is not None,
        )
        engine_run_ = replace(self._engine_run, callbacks=(bridge,))
        if self._engine is None:
            self._engine = self._begin(engine_run_)
            self._definition.save(self._engine.path)
        else:
            self._engine._plan = replace(self._engine._plan, run_config=engine_run_)
        folder = self._engine.path.absolute()
        self._runner.naming = replace(self._runner.naming, experiment_path=str(folder))
        if not self._go_on:
            return self._results(folder)
        on_ray = backend_of(engine_run_) == "ray"
        self._trainable.parameters.place(folder, on_ray=on_ray)
        bridge.setup(self._stop, None if self._definition.samples is None else len(self._definition.samples))
        try:
            if not (folder / _STOPPED).exists():
                self._engine.fit()
            if self._rerun is not None:
                self._runner.stop = self._stop_unscheduled
                self._rerun.run(folder, self._runner, self._results(folder), replace(engine_run_, storage_path=None))
        except StopAll:
            (folder / _STOPPED).touch(mode=0o600)
        except StudyInterrupted:
            raise StudyInterrupted(
                f"stopped with {len(self._results(folder)):,} trials recorded; go on with "
                f"`tune.Tuner.restore({str(folder)!r}, {self._trainable.__name__}).fit()`."
            ) from None
        finally:
            self._trainable.parameters.clear()
        bridge.end()
        results = self._results(folder)
        if results.errors and str(self._definition.failures.fail_fast).lower() == "raise":
            raise TuneError(f"a trial failed: {results.errors[0]}")
        return results

    def _scheduled(self) -> ScheduledSearch | None:
        """The search object, where the engine has no name for it: a scheduler over samples, or over a searcher of Ray Tune's."""
        definition, climb = self._definition, self._climb
        if climb is None:
            return None
        if definition.samples is not None:
            space, n = self._sample_space(), len(definition.samples)
            sampler: Sampler = StreamSampler(GridSearch(space, limit=n))
            return ScheduledSearch(space, sampler, climb.scheduler, climb.ladder, climb.eta, limit=n, continues=True)
        if not self._search.is_rays:
            return None
        from rbt_ray.compat.ray_tune.tune_sampler import TuneSampler, Watched

        space, n = Space.of(self._space), definition.num_samples
        sampler = TuneSampler(space, self._search.searcher)
        scheduler = Watched(climb.scheduler, sampler)
        return ScheduledSearch(space, sampler, scheduler, climb.ladder, climb.eta, limit=n, continues=True)

    def _sample_space(self) -> Space:
        return Space.of({SAMPLE: randint(0, max(2, len(self._definition.samples or ())))})

    def _begin(self, run: EngineRun) -> EngineTuner:
        definition, climb = self._definition, self._climb
        _make_room(str(run.storage_path), str(run.name))
        mode: Mode = "min" if definition.metric is not None and definition.mode == "min" else "max"
        settings: dict[str, Any] = {
            "metric": engine_name(definition.metric or "training_iteration"),
            "mode": mode,
            "seed": definition.seed,
            "time_budget_s": _least(self._tune.budget_seconds, self._stop.seconds),
            "min_fidelity": 1.0,
        }
        if climb is not None:
            settings |= {"fidelity": "reports", "max_reports": climb.max_reports, "eta": climb.eta}
        if definition.samples is not None:
            settings["num_samples"] = len(definition.samples)
            settings["search_alg"] = self._scheduled() or "grid"
            return EngineTuner(
                self._runner, param_space=self._sample_space(), tune_config=EngineTune(**settings), run_config=run
            )
        settings |= {"num_samples": definition.num_samples, "search_alg": self._search.searcher}
        settings["max_pending"] = self._search.most_open(self._tune.max_concurrent_trials)
        if (search := self._scheduled()) is not None:
            settings["search_alg"] = search
        elif climb is not None:
            settings |= {"scheduler": climb.scheduler, "min_fidelity": climb.ladder[0]}
        return EngineTuner(self._runner, param_space=self._space, tune_config=EngineTune(**settings), run_config=run)

    def _results(self, folder: Path) -> ResultGrid:
        self._runner.naming = replace(self._runner.naming, experiment_path=str(folder))
        study = None if self._engine is None else self._engine.study
        studies = [StudyResults(folder, study), *rerun.studies_in(folder)]
        return ResultGrid(
            studies, self._runner, self._definition.checkpoints, self._definition.metric, self._definition.mode
        )


def _space_in(folder: Path) -> Space | None:
    """The space of a study whose configs a searcher proposes, where the journal can hold it."""
    journal = Journal(folder)
    try:
        space = Space.from_json(journal.definition["space"])
        space.require_options()
    except SpaceError:
        return None
    else:
        return space
    finally:
        journal.close()


def _names(naming: Naming, samples: Any, tune: TuneConfig) -> list[tuple[str | None, str | None]] | None:
    makers = tune.trial_name_creator, tune.trial_dirname_creator
    if makers == (None, None):
        return None
    if samples is None:
        raise NotSupportedError(
            "`trial_name_creator` and `trial_dirname_creator` are for studies without a `search_alg`."
        )
    trials = [naming.trial(number, config) for number, config in enumerate(samples)]
    names = [None if makers[0] is None else str(makers[0](trial)) for trial in trials]
    folders = [None if makers[1] is None else Path(str(makers[1](trial))).name for trial in trials]
    if makers[1] is not None and len(set(folders)) < len(folders):
        raise SettingError(
            "`trial_dirname_creator` gives two trials the same folder; put `trial.trial_id` into the name."
        )
    return list(zip(names, folders, strict=True))


def _make_room(storage: str, name: str) -> None:
    """A study of that name that ended or broke off is put aside, as a second run of a script would want it."""
    if is_uri(storage):
        return
    folder = Path(storage) / name
    if StudyLocation(folder, 10.0).holder() is None:
        return
    StudyLock(folder).release()  # nobody is at work in it
    aside = folder.with_name(f"{name}_before_{time.strftime('%Y-%m-%d_%H-%M-%S')}_{secrets.token_hex(2)}")
    shutil.move(folder, aside)
    warnings.warn(f"there was a study in {folder}; it is in {aside} now.", stacklevel=4)


def _least(*values: float | None) -> float | None:
    return min((value for value in values if value is not None), default=None)

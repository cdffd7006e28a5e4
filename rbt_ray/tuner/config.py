"""The settings of a study: what to search (TuneConfig) and how to run it (RunConfig), validated when they are created."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import date
from pathlib import Path
from typing import Any, Literal, get_args

from rbt_ray.errors import SettingError
from rbt_ray.nearest import nearest
from rbt_ray.pool import backends
from rbt_ray.search.registry import check_search_alg
from rbt_ray.search.scheduler_registry import scheduler_to_json
from rbt_ray.search.several_metrics import check_several_metrics
from rbt_ray.study.constraint_functions import text_of
from rbt_ray.study.constraint_parser import conjuncts
from rbt_ray.study.goals import Goal, goals_of
from rbt_ray.study.limits import check_stop
from rbt_ray.tuner.splits import check_validation
from rbt_ray.types import Config, FidelityKind, Mode

_MOST_RUNGS = 20
_LARGEST = 1e300
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class TuneConfig:
    """What to search, and how.

    Args:
        metric: the name of the metric to optimize; a number that the objective returns gets this name. A list of names
            optimizes several: the results have a Pareto front. See the page on several metrics.
        mode: "max" or "min"; for several metrics also a list with one for each.
        search_alg: "auto" (the whole grid if it has at most `num_samples` configs, else "bohb"); "grid", "random", "sobol";
            "bohb" or `rbt.BOHB(...)`; "tpe" (Optuna's) or any sampler of Optuna; any searcher of Ray Tune; any
            `rbt.Searcher`.
        scheduler: decides which configs are evaluated at which fidelity: "hyperband", "asha", "successive_halving",
            "median", or an object such as `rbt.ASHA(kind="stopping")`. None: all at full fidelity, except for "bohb", which
            uses Hyperband.
        num_samples: the number of new configs; None: the whole grid, or 100 for other searchers.
        seed: seeds all random numbers; None draws a seed and records it.
        points_to_evaluate: configs to evaluate first.
        warm_start: prior results for a search that learns, not counted as trials: a `ResultGrid`, a study's folder, an
            hpbandster `Result`, or rows of (config, fidelity, metric). The best of these configs is evaluated first.
        holdout: the last bars, hidden from the search: a share of all bars (0.25) or the first day (``"2010-01-01"``).
        validation: how to test the search on bars that it did not choose on, after it is done: `rbt.WalkForward(...)`,
            `rbt.CPCV(...)` or an object with a method `split(X)`, as in scikit-learn. A search that does not learn chooses
            again among its configs in each window, and a search that learns runs again in each window.
            `results.walk_forward()` returns the result.
        fidelity: what a lower fidelity reduces. "prefix": a trial uses the first bars only; "blocks": the first bars of each
            of 8 blocks; "symbols": some of the symbols; "reports": it ends after some of its `rbt.report` calls.
        min_fidelity: the lowest fidelity a scheduler may use. If the metric is one of a Backtest, it is raised by factors of
            eta until it covers 252 bars and twice the objective's `warmup`.
        eta: the reduction factor of a scheduler from rung to rung.
        max_reports: the number of reports at full fidelity, if `fidelity` is "reports".
        max_cost: the largest total cost of all trials, in evaluations at full fidelity.
        time_budget_s: seconds after which the study stops; it can be resumed.
        max_pending: the number of trials that may be open at once. None: for searchers that learn, one for every 8 results,
            at least 4 and at most 32; for others 131,072.
        constraints: conditions such as "fast < slow" or "n_trades >= 30" that the best config must satisfy: texts, or functions
            of params. Those on parameters alone cut the space. Those that name metrics are judged by a trial's result: a
            trial that breaks one is infeasible. See the page on constraints.
        deterministic: True gives the same table for the same seed, whatever the workers; False tells the searcher each
            result as it arrives.
        benchmark: what the verdict compares trials with: "hold" is equal shares in all symbols, reset daily without costs;
            the name of a symbol; simple returns per bar, as an array with one for each training bar or a pandas Series by
            date; None: no return.
        audit: how many configs to draw from the space at random and evaluate at full fidelity after a search whose results
            decide which trials follow. The verdict on such a search needs them. None: 128 after a search that cost 2,560
            evaluations at full fidelity or more, else 0.
        stop: when the search stops before its limits: ``{"no_improvement": 200}`` after so many trials at full fidelity, in
            trial order, without a better one; ``{"target": 3.0}`` when a trial's metric is as good. Trials that are open then
            still run.

    Raises:
        SettingError: a value is not allowed.
    """

    metric: str | Sequence[str] = "sharpe"
    mode: Mode | Sequence[Mode] = "max"
    search_alg: Any = "auto"
    scheduler: Any = None
    num_samples: int | None = None
    seed: int | None = None
    points_to_evaluate: Sequence[Config] | None = None
    warm_start: Any = None
    holdout: float | str | date | None = None
    validation: Any = None
    fidelity: FidelityKind = "prefix"
    min_fidelity: float = 1 / 27
    eta: float = 3
    max_reports: int | None = None
    max_cost: float | None = None
    time_budget_s: float | None = None
    max_pending: int | None = None
    deterministic: bool = True
    benchmark: Any = "hold"
    audit: int | None = None
    constraints: Sequence[Any] = ()
    stop: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        several = len(self.goals) > 1
        kind = check_search_alg(self.search_alg)
        if several:
            check_several_metrics(self.search_alg, self.scheduler)
        if kind.proposes_alone:
            for name in ("scheduler", "points_to_evaluate"):
                value = getattr(self, name)
                _check(not value, name, "None with a searcher that proposes whole trials by itself", value)
        scheduler_to_json(self.scheduler)
        if self.validation is not None:
            check_validation(self.validation)
        for name in ("validation", "warm_start", "stop") if several else ():
            if getattr(self, name) is not None:
                raise SettingError(
                    f"`{name}` compares configs by one metric, and `metric` names several: leave one of them out."
                )
        _choice("fidelity", self.fidelity, get_args(FidelityKind))
        _count("max_reports", self.max_reports, least=1)
        if (self.fidelity == "reports") != (self.max_reports is not None):
            raise SettingError(
                f"`max_reports` is the number of reports at full fidelity, and is required with `fidelity='reports'` only; got "
                f"fidelity={self.fidelity!r} and max_reports={self.max_reports!r}."
            )
        _count("num_samples", self.num_samples, least=1)
        _count("seed", self.seed, least=0)
        _count("max_pending", self.max_pending, least=1)
        _count("audit", self.audit, least=0)
        _positive("max_cost", self.max_cost)
        _positive("time_budget_s", self.time_budget_s)
        _positive("eta", self.eta, above=1)
        low = self.min_fidelity
        _check(_is_number(low) and 0 < low <= 1, "min_fidelity", "a share above 0 and at most 1", low)
        n_rungs = 1 - math.log(low) / math.log(self.eta)
        _check(
            n_rungs <= _MOST_RUNGS, "min_fidelity", f"at most {_MOST_RUNGS} factors of `eta` ({self.eta}) below 1", low
        )
        _flag("deterministic", self.deterministic)
        _check(
            self.benchmark is None
            or (self.benchmark != "" if isinstance(self.benchmark, str) else _is_series(self.benchmark)),
            "benchmark",
            "'hold', the name of a symbol, a series of returns or None",
            self.benchmark,
        )
        check_constraints(self.constraints)
        check_stop(self.stop)
        points = self.points_to_evaluate
        if points is not None and (isinstance(points, (str, Mapping)) or not isinstance(points, Sequence)):
            raise SettingError(f"`points_to_evaluate` is a list of configs, such as [{{'fast': 10}}]; got {points!r}.")

    @property
    def goals(self) -> tuple[Goal, ...]:
        """The metrics to optimize, each with its mode."""
        return goals_of(self.metric, self.mode)


def _saved(default: Any) -> Any:
    """A field of RunConfig that a study saves."""
    return field(default=default, metadata={"saved": True})


@dataclass(frozen=True)
class RunConfig:
    """Where and how a study is run.

    Where it runs changes no result. Settings marked "Saved" decide which trials are given up, and when. A study saves
    them, and `Tuner.restore` uses the saved value of each one that is left at its default.

    Args:
        name: the study's folder below `storage_path`; None derives one from the objective's name and the time.
        storage_path: where studies are kept: a folder on a local disk, or a URI that `pyarrow.fs` or an installed storage
            package opens, such as ``s3://bucket/studies``, ``gs://...`` or ``file:///mnt/shared``. The journal of a study at
            a URI is on this machine's disk (below `RBT_RAY_HOME`, else in the user's data folder) and is mirrored there.
        backend: "local" runs processes on this machine; "ray" runs Ray actors; "auto" uses the Ray cluster that this
            process is on or that `address` names, else "local"; any other name selects a backend of an installed package.
        address: the Ray cluster to join: "auto", "host:port" or "ray://host:port". None with "ray" starts a private Ray
            on this machine, which ends with the study's driver.
        num_workers: the number of workers; None starts one for every `num_cpus_per_worker` cores, on all nodes of a
            cluster. Local workers that cannot be started are refused in advance. Each needs 4 file descriptors of the driver
            (`ulimit -n`), 4 threads and processes (`ulimit -u`, cgroup, kernel), 8 MiB of free memory and, if the address
            space is limited, 8 MiB of it; without `worker_memory_limit`, its even share of the memory must be 64 MiB or
            more.
        num_cpus_per_worker: cores per worker; 0.5 is two workers per core. On a cluster they are reserved only while a study
            runs. Saved.
        resources_per_worker: other Ray resources per worker; None for "local". On a cluster, workers with such resources
            end with their study. Saved.
        trial_timeout_s: seconds a trial may take; a trial that takes longer is TIMED_OUT. None: no limit. Saved.
        max_retries: how often a trial is run again after its worker died. Saved.
        max_failures: the number of trials that may fail before the study stops; None: no limit. Saved.
        stop_on_identical_failures: whether the study stops if its first trials, 20 or 1 % of them, all fail with the same
            error at the same line, and 20 more configs drawn from the whole space do too.
        recycle_after: the number of trials after which a worker is replaced; None: never. Saved.
        worker_memory_limit: bytes above which a worker is replaced. None: 80 % of the memory divided by the number of
            workers; on a Ray cluster that was joined, the limit of Ray's memory monitor. Saved.
        callbacks: objects with `on_trial_complete(result)` or `on_study_end(results)`, or both.
        verbose: 0 prints nothing; 1 shows progress on stderr.
        recheck: how many of the best trials are re-run in detail at the end, if the objective returns a Backtest. It is
            part of the study's definition: `Tuner.restore` ignores it.
        mirror_interval_s: how often, in seconds, to sync the mirror of a study at a URI. If the driver's disk is lost, at
            most the trials of one interval are lost, and `Tuner.restore(uri, ...)` runs them again.
        exist: what to do if there is a study of that name: "refuse" raises; "resume" continues it, gives its results if it is
            done, and extends it if only `num_samples`, `max_cost` or the grid have grown; "new" uses the first free name of
            `name-2`, `name-3` and so on.
        max_workers: the largest number of workers if `num_workers` is None. On a Ray cluster with an autoscaler, a study requests
            one node when there is none, and as many workers again as there are while batches wait; it uses nodes as they
            join, and ends workers that are idle for 30 s while others run the last trials. `num_workers` requests all at once.
        worker_wait_s: how long to wait, in seconds, while no node of a Ray cluster can hold a worker, such as for the first
            node, or after the only one was lost.
        label_selector: labels that the nodes of a Ray cluster need to run workers, as in Ray, such as
            ``{"market-type": "on-demand"}``; a value may be ``"!spot"`` or ``"in(a,b)"``.
        runtime_env: what Ray prepares on each host before workers start there, as `ray.init` takes it, such as
            ``{"working_dir": ".", "py_modules": ["lib/mine"], "pip": ["scikit-learn"]}``. Folders are sent when the driver
            connects: call `rbt.shutdown()` after you have changed them.
        metrics_port: a port of 127.0.0.1 at which the driver serves the study's metrics for Prometheus while it runs, such as
            9464; needs `pip install 'rbt-ray[metrics]'`. None: no server. On Ray, Ray serves them too.

    Raises:
        SettingError: a value is not allowed.
    """

    name: str | None = None
    storage_path: str | Path | None = None
    backend: str = "auto"
    address: str | None = None
    num_workers: int | None = None
    num_cpus_per_worker: float = _saved(1)
    resources_per_worker: Mapping[str, float] | None = _saved(None)
    trial_timeout_s: float | None = _saved(None)
    max_retries: int = _saved(1)
    max_failures: int | None = _saved(None)
    stop_on_identical_failures: bool = True
    recycle_after: int | None = _saved(None)
    worker_memory_limit: int | None = _saved(None)
    callbacks: Sequence[Any] = field(default=())
    verbose: int = 1
    recheck: int = 10
    mirror_interval_s: float = 10.0
    exist: Literal["refuse", "resume", "new"] = "refuse"
    max_workers: int | None = None
    worker_wait_s: float = 900.0
    label_selector: Mapping[str, str] | None = None
    runtime_env: Mapping[str, Any] | None = None
    metrics_port: int | None = None

    def __post_init__(self) -> None:
        if self.name is not None and (not isinstance(self.name, str) or not _NAME.fullmatch(self.name)):
            raise SettingError(
                f"`name` is a folder's name: letters, digits, '.', '_' and '-', at most 100; got {self.name!r}."
            )
        if self.backend != "auto" and not (isinstance(self.backend, str) and backends.is_known(self.backend)):
            _choice("backend", self.backend, ("auto", *backends.names()))
        _choice("exist", self.exist, ("refuse", "resume", "new"))
        if self.backend == "local":
            for name in ("address", "resources_per_worker", "label_selector", "runtime_env"):
                value = getattr(self, name)
                _check(value is None, name, "None on the local backend", value)
        _check(
            self.address is None or (isinstance(self.address, str) and self.address.strip()),
            "address", "of a Ray cluster, such as 'auto' or 'host:6379'", self.address,
        )  # fmt: skip
        _amounts("resources_per_worker", self.resources_per_worker)
        _count("num_workers", self.num_workers, least=1, most=20_000)
        _positive("num_cpus_per_worker", self.num_cpus_per_worker)
        _count("max_workers", self.max_workers, least=1)
        _check(
            self.max_workers is None or self.num_workers is None,
            "max_workers",
            "None if `num_workers` is given",
            self.max_workers,
        )
        _positive("worker_wait_s", self.worker_wait_s)
        _labels("label_selector", self.label_selector)
        _environment("runtime_env", self.runtime_env)
        _count("metrics_port", self.metrics_port, least=1, most=65_535)
        _positive("trial_timeout_s", self.trial_timeout_s)
        every = self.mirror_interval_s
        _check(_is_number(every) and every > 0, "mirror_interval_s", "a number above 0", every)
        _count("max_retries", self.max_retries, least=0)
        _count("max_failures", self.max_failures, least=0)
        stops = self.stop_on_identical_failures
        _check(isinstance(stops, bool), "stop_on_identical_failures", "True or False", stops)
        _count("recycle_after", self.recycle_after, least=1)
        _count("worker_memory_limit", self.worker_memory_limit, least=2**20)
        _count("verbose", self.verbose, least=0)
        _count("recheck", self.recheck, least=0)
        path = self.storage_path
        _check(path is None or isinstance(path, (str, Path)), "storage_path", "a folder or a URI", path)
        _check(isinstance(self.callbacks, Sequence), "callbacks", "a list", self.callbacks)


SAVED_SETTINGS = tuple(one.name for one in fields(RunConfig) if one.metadata.get("saved"))
"""Settings of a run that results can depend on."""


def non_default_settings(run_config: RunConfig) -> dict[str, Any]:
    """Returns the saved settings that are not the defaults, as JSON can hold them."""
    changed = {
        name: value for name in SAVED_SETTINGS if (value := getattr(run_config, name)) != getattr(RunConfig, name)
    }
    return {name: dict(value) if isinstance(value, Mapping) else value for name, value in changed.items()}


def with_saved_settings(run_config: RunConfig, saved: Mapping[str, Any]) -> RunConfig:
    """Returns the settings of a resumed run: those left at their defaults get the values that the study saved."""
    used = {name: value for name, value in saved.items() if getattr(run_config, name) == getattr(RunConfig, name)}
    if run_config.backend == "local":
        used.pop("resources_per_worker", None)
    return replace(run_config, **used)


def check_constraints(constraints: Any) -> tuple[str, ...]:
    """Returns the texts of a user's `constraints`.

    Raises:
        SettingError: it is no list, or one of them is neither an expression nor a function that can be read as one.
    """
    if isinstance(constraints, str) or not isinstance(constraints, Sequence):
        raise SettingError(f"`constraints` is a list such as ['fast < slow']; got {constraints!r}.")
    texts = tuple(text_of(constraint) for constraint in constraints)
    for text in texts:
        conjuncts(text)
    return texts


def _check(right: Any, name: str, wanted: str, got: Any) -> None:
    if not right:
        raise SettingError(f"`{name}` is {wanted}; got {got!r}.")


def _is_series(value: Any) -> bool:
    return isinstance(value, (list, tuple)) or getattr(value, "ndim", 0) == 1


def _choice(name: str, got: Any, known: tuple[str, ...]) -> None:
    if got not in known:
        raise SettingError(f"`{name}` is one of {', '.join(known)}; got {got!r}: {nearest(str(got), known)}")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < _LARGEST


def _count(name: str, got: Any, *, least: int, most: int | None = None) -> None:
    if got is None:
        return
    whole = isinstance(got, int) and not isinstance(got, bool)
    upper = "" if most is None else f" and at most {most}"
    right = whole and got >= least and (most is None or got <= most)
    _check(right, name, f"a whole number of at least {least}{upper}", got)


def _positive(name: str, got: Any, above: float = 0) -> None:
    _check(got is None or (_is_number(got) and got > above), name, f"a number above {above}", got)


def _amounts(name: str, got: Any) -> None:
    right = got is None or (
        isinstance(got, Mapping)
        and all(isinstance(key, str) and _is_number(value) and value > 0 for key, value in got.items())
    )
    _check(right, name, "amounts above 0 by the names of Ray's resources, such as {'GPU': 1}", got)


def _labels(name: str, got: Any) -> None:
    right = got is None or (
        isinstance(got, Mapping) and all(isinstance(part, str) and part for pair in got.items() for part in pair)
    )
    _check(right, name, "strings by the names of Ray's labels, such as {'market-type': 'on-demand'}", got)


def _environment(name: str, got: Any) -> None:
    right = got is None or (isinstance(got, Mapping) and all(isinstance(key, str) for key in got))
    _check(right, name, "what `ray.init` takes as `runtime_env`, such as {'working_dir': '.'}", got)


def _flag(name: str, got: Any) -> None:
    _check(isinstance(got, bool), name, "True or False", got)

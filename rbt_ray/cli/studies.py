"""The commands that run, estimate, resume, show and report studies."""

from __future__ import annotations

import contextlib
import secrets
import sys
import time
import warnings
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rbt_ray.cli import tables, watch
from rbt_ray.cli.streams import visible
from rbt_ray.errors import FailedTrialsWarning, ObjectiveError, SettingError, StudyInterrupted

if TYPE_CHECKING:
    from rbt_ray.cli.study_file import StudyFile
    from rbt_ray.tuner.result_grid import ResultGrid
    from rbt_ray.tuner.tuner import Tuner

_STORAGE = Path("studies")


def demo(*, as_json: bool, search: Mapping[str, Any], run: Mapping[str, Any]) -> int:
    """Optimizes a moving-average crossover on the embedded stocks: all pairs of windows, with a hold-out of a quarter."""
    run_config = _run_config({"name": f"demo-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}", **run})
    _warm_up(run_config)
    from rbt_ray import objectives
    from rbt_ray.study.space import randint
    from rbt_ray.tuner.config import TuneConfig
    from rbt_ray.tuner.tuner import Tuner

    tuner = Tuner(
        objectives.sma_cross(turnover_bps=5),
        param_space={"fast": randint(5, 50), "slow": randint(50, 300)},
        bundle="sample",
        tune_config=TuneConfig(metric="sharpe", holdout=0.25, **{"seed": 7, **search}),
        run_config=run_config,
    )
    return _fit(tuner, as_json=as_json)


def run(
    path: Path,
    *,
    as_json: bool,
    search: Mapping[str, Any],
    run_over: Mapping[str, Any],
    estimate: bool = False,
    watched: bool = False,
) -> int:
    """Runs a study file, or estimates what it will take."""
    from rbt_ray.cli.study_file import read_study_file

    study = read_study_file(path, search, run_over)
    _warm_up(study.run_config)
    if estimate:
        return _print_estimate(study, as_json=as_json)
    from rbt_ray.tuner.tuner import Tuner

    tuner = Tuner(
        study.objective,
        param_space=study.param_space,
        bundle=study.bundle,
        tune_config=study.tune_config,
        run_config=study.run_config,
    )
    return _fit(tuner, as_json=as_json, watched=watched)


def resume(
    path: str,
    *,
    as_json: bool,
    accept_changes: bool,
    samples: int | None,
    run_over: Mapping[str, Any],
    watched: bool = False,
) -> int:
    """Resumes a study whose objective can be imported by its address; extends it to `samples` configs if given."""
    from rbt_ray.cli.study_file import load_objective
    from rbt_ray.search.registry import recorded_kind
    from rbt_ray.store.continuation import study_of
    from rbt_ray.store.journal import Journal
    from rbt_ray.store.location import StudyLocation
    from rbt_ray.tuner.config import with_saved_settings
    from rbt_ray.tuner.tuner import Tuner

    location = StudyLocation(path)
    with contextlib.closing(Journal(location.fetch())) as journal:
        study = study_of(journal)
    run_config = with_saved_settings(_run_config(run_over), study.run)
    _warm_up(run_config)
    if recorded_kind(study).is_object or not study.objective.is_importable:
        raise ObjectiveError(
            f"the study in {location.display_name} was started in Python with {study.objective.name} (search_alg {study.search_alg}), which "
            f"the command line cannot import. Resume it in Python with `Tuner.restore({location.display_name!r}, objective)`."
        )
    address = study.objective
    objective = load_objective(address.name, address.options, Path(address.folder))
    tuner = Tuner.restore(path, objective, run_config=run_config, num_samples=samples, accept_changes=accept_changes)
    return _fit(tuner, as_json=as_json, watched=watched)


def show(path: str, *, as_json: bool) -> int:
    """Prints the results of a study so far."""
    from rbt_ray.store.location import StudyLocation
    from rbt_ray.tuner.result_grid import ResultGrid

    folder = StudyLocation(path).fetch()
    results = ResultGrid(folder)
    tables.print_results(results, as_json=as_json, report=_report_of(folder))
    printed = {*results.constraint_notes, *results.stopped_notes}  # by `print_results`
    for note in () if as_json else results.notes:
        if note not in printed:
            print(visible(note))
    return 0 if results.num_terminated else 1


def report(path: str, out: Path | None) -> int:
    """Writes the report and prints its path."""
    from rbt_ray.store.location import StudyLocation
    from rbt_ray.tuner.result_grid import ResultGrid

    folder = StudyLocation(path).fetch()
    target = out or folder
    if target.is_dir():
        target /= "report.html"
    if target.parent != folder and not target.parent.is_dir():
        raise SettingError(f"`--out` {target}: the folder {target.parent} does not exist.")
    print(visible(str(ResultGrid(folder).report(target))))
    return 0


def _fit(tuner: Tuner, *, as_json: bool, watched: bool = False) -> int:
    if watched:
        watch.start(tuner.path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FailedTrialsWarning)  # `print_results` prints it
            results = tuner.fit()
    except StudyInterrupted as stop:
        print(visible(f"rbt-ray: {stop}"), file=sys.stderr)
        return 130
    report_path = results.report(tuner.path / "report.html")
    tables.print_results(results, as_json=as_json, report=report_path)
    return _exit_code(results)


def _exit_code(results: ResultGrid) -> int:
    reason = results.runs[-1].reason
    if reason == "max_failures":
        print("rbt-ray: the study stopped because more trials failed than `max_failures` allows.", file=sys.stderr)
        return 1
    if not len(results.table.ranking(1)):
        print(visible(f"rbt-ray: {results.failure_note}"), file=sys.stderr)
        return 1
    return 0


def _run_config(given: Mapping[str, Any]) -> Any:
    from rbt_ray.tuner.config import RunConfig

    return RunConfig(**{"storage_path": _STORAGE, **given})


def _warm_up(run_config: Any) -> None:
    """Starts the workers before other modules are imported, so that they start in parallel with this process."""
    from rbt_ray.tuner.pools import start_idle

    start_idle(run_config)


def _report_of(path: Path) -> Path | None:
    page = path / "report.html"
    return page if page.exists() else None


def _print_estimate(study: StudyFile, *, as_json: bool) -> int:
    """Measures a few configs of a study, prints the estimate, and returns the exit code."""
    from rbt_ray.reporting.text import duration
    from rbt_ray.tuner.estimate import estimate

    found = estimate(study.objective, study.param_space, study.bundle, study.tune_config, study.run_config)
    if as_json:
        tables.print_json(asdict(found))
        return 0
    lines = {
        "trials": [f"{n:,}" for n in found.trials],
        "cost": [f"{cost:,.1f} evaluations at full fidelity" for cost in found.cost],
        "time": [duration(seconds) for seconds in found.seconds],
        "journal": [_size(n) for n in found.journal_bytes],
    }
    each = (
        f"{found.seconds_per_config * 1000:,.3g} ms"
        if found.seconds_per_config < 1
        else duration(found.seconds_per_config)
    )
    print(f"An estimate from {found.n_configs:,} configs, of {each} each, on {found.n_workers} workers:")
    for name, (least, most) in lines.items():
        print(f"  {name:<8}{least if least == most else f'{least} to {most}'}")
    return 0


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:,.1f} MB" if n_bytes >= 1e6 else f"{n_bytes / 1e3:,.1f} kB"

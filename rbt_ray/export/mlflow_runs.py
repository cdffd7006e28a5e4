"""Export of a study to MLflow: one run for the study, with one child run per trial."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from rbt_ray.errors import SettingError
from rbt_ray.store.study_record import times_of
from rbt_ray.types import Metrics, Result

if TYPE_CHECKING:
    from rbt_ray.store.study_record import StudyRecord

try:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param, RunTag
except ImportError as error:
    raise SettingError("`to_mlflow` needs MLflow: pip install 'rbt-ray[mlflow]'.") from error

_LONGEST = 5000
"""Length of a param's or tag's value that every MLflow version accepts."""
_PER_CALL = 1000, 100, 100
"""Limits of metrics, params and tags in one call of MLflow."""
_PARENT = "mlflow.parentRunId"


def to_mlflow(record: StudyRecord, *, experiment: str = "rbt_ray", tracking_uri: str | None = None) -> str:
    """Writes the study to MLflow and returns the id of its run.

    The run's params are the study's settings, its metrics those of the best trial and the study's cost, its tags the table's
    hash and the notes. A child run has a trial's config as params, and its metrics, fidelity and duration as metrics; string
    metrics, the status and the error are tags. The run of a trial that did not complete is failed; the run of a study that
    is not done is killed.

    A trial takes three calls of MLflow, about 0.1 s with a local database.

    Args:
        record: the study.
        experiment: see `ResultGrid.to_mlflow`.
        tracking_uri: see `ResultGrid.to_mlflow`.
    """
    client = MlflowClient(tracking_uri=tracking_uri)
    found = client.get_experiment_by_name(experiment)
    where = client.create_experiment(experiment) if found is None else found.experiment_id
    times = times_of(record)
    started = min((one["started"] for one in times.values()), default=None)
    ended = max((one["finished"] for one in times.values()), default=None)
    study = record.study
    parent = client.create_run(where, start_time=_ms(started), run_name=study.name).info.run_id
    best = record.best_row
    figures: Metrics = {"cost": record.table.cost, "n_trials": len(record), "n_errors": record.num_errors}
    if study.further_goals:
        figures["n_front"] = len(record.table.front)
    elif len(best):
        figures |= record.table.results()[int(best[0])].metrics
    tags = {"table_hash": record.table.hash(), "notes": "\n".join(record.notes)}
    _log(client, parent, _settings(record), figures, tags, _ms(ended))
    configs = study.space.columns(record.table.points)
    for row, result in enumerate(record.table.results()):
        config = {name: values[row] for name, values in configs.items() if values[row] is not None}
        _child(client, where, parent, config | study.space.constants, result, times[result.trial_id])
    client.set_terminated(parent, "FINISHED" if record.is_done else "KILLED", end_time=_ms(ended))
    return str(parent)


def _child(
    client: MlflowClient, where: str, parent: str, config: dict[str, Any], result: Result, at: dict[str, float]
) -> None:
    run = client.create_run(
        where, start_time=_ms(at["started"]), tags={_PARENT: parent}, run_name=f"trial {result.trial_id}"
    ).info.run_id
    tags = {"status": result.status, "worker": result.worker} | ({"error": result.error} if result.error else {})
    figures = {"fidelity": result.fidelity, "duration_s": result.duration_s, **result.metrics}
    _log(client, run, config, figures, tags, _ms(at["finished"]))
    client.set_terminated(run, "FINISHED" if result.error is None else "FAILED", end_time=_ms(at["finished"]))


def _log(
    client: MlflowClient, run: str, params: dict[str, Any], figures: Metrics, tags: dict[str, Any], at: int | None
) -> None:
    """Logs everything of a run in as few calls as possible."""
    numbers = {name: value for name, value in figures.items() if isinstance(value, (bool, int, float))}
    texts = {name: value for name, value in figures.items() if isinstance(value, str)}
    metrics = [Metric(_key(name), float(value), at or 0, 0) for name, value in numbers.items()]
    given = [Param(_key(name), str(value)[:_LONGEST]) for name, value in params.items()]
    said = [RunTag(_key(name), str(value)[:_LONGEST]) for name, value in (tags | texts).items()]
    while metrics or given or said:
        parts = [items[:most] for items, most in zip((metrics, given, said), _PER_CALL, strict=True)]
        client.log_batch(run, *parts)
        metrics, given, said = (items[most:] for items, most in zip((metrics, given, said), _PER_CALL, strict=True))


def _settings(record: StudyRecord) -> dict[str, Any]:
    study = record.study
    bundle = None if study.bundle is None else study.bundle.name or study.bundle.version
    names = (
        "search_alg",
        "num_samples",
        "seed",
        "max_cost",
        "scheduler",
        "fidelity",
        "lowest_fidelity",
    )
    goals = {
        "metric": ", ".join(goal.metric for goal in study.goals),
        "mode": ", ".join(goal.mode for goal in study.goals),
    }
    return (
        goals | {name: getattr(study, name) for name in names} | {"objective": study.objective.name, "bundle": bundle}
    )


def _key(name: str) -> str:
    """Returns a name that MLflow accepts, of letters, digits and some punctuation."""
    return re.sub(r"[^\w/. :-]", "_", name)[:250]


def _ms(seconds: float | None) -> int | None:
    return None if seconds is None else int(seconds * 1000)

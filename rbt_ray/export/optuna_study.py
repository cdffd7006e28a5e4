"""Export of a study's trials to an Optuna study, for its plots, parameter importances and dashboard."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rbt_ray.data.fidelity import share_of
from rbt_ray.errors import SettingError
from rbt_ray.store.study_record import times_of
from rbt_ray.study.domains import Choice, Domain
from rbt_ray.study.numeric_domains import Float, Normal, Stepped
from rbt_ray.study.study import Study
from rbt_ray.types import FloatArray, Result

if TYPE_CHECKING:
    from rbt_ray.store.study_record import StudyRecord

try:
    import optuna
    from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
    from optuna.trial import FrozenTrial, TrialState
except ImportError as error:
    raise SettingError("`to_optuna` needs Optuna: pip install 'rbt-ray[optuna]'.") from error

_TAILS = 4.0
"""Smallest range of a normal parameter in Optuna, which needs one, in standard deviations on each side of the mean."""


def to_optuna(record: StudyRecord, *, storage: Any = None, study_name: str | None = None) -> optuna.Study:
    """Creates an Optuna study in which a config and its trials at all fidelities are one trial.

    Its value is the study's metric at full fidelity, with the study's direction. Lower fidelities are steps of the
    intermediate values: bars for shares of the history, reports for shares of the reports, else thousandths. A config that
    did not reach full fidelity is pruned, or has failed if the study has several metrics, for which Optuna has no pruned trials; one whose last trial did not complete has failed. Errors, the other metrics and the
    trials' numbers are user attributes. Optuna gets the violation of constraints on metrics as its own constraint. Parameters that a condition excludes are left out. Options that Optuna cannot hold or
    distinguish become their `repr`.

    Args:
        record: the study.
        storage: see `ResultGrid.to_optuna`.
        study_name: see `ResultGrid.to_optuna`.

    Raises:
        SettingError: the storage has a study of that name.
    """
    study = record.study
    name = study_name or study.name
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # no message about the created study
    try:
        theirs = optuna.create_study(
            storage=storage,
            study_name=name,
            directions=["maximize" if goal.mode == "max" else "minimize" for goal in study.goals],
        )
    except optuna.exceptions.DuplicatedStudyError:
        raise SettingError(
            f"`storage` has a study called {name!r} already; pass another `study_name`, or delete that study by "
            "optuna.delete_study."
        ) from None
    finally:
        optuna.logging.set_verbosity(level)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        theirs.set_metric_names([goal.metric for goal in study.goals])
    theirs.set_user_attr("objective", study.objective.name)
    theirs.set_user_attr("bundle", None if study.bundle is None else study.bundle.name or study.bundle.version)
    theirs.add_trials(_trials(record))
    return theirs


def _trials(record: StudyRecord) -> Iterator[FrozenTrial]:
    table, study = record.table, record.study
    columns = [_variable(domain, table.points[:, column]) for column, domain in enumerate(study.space.domains)]
    every, times = table.results(), times_of(record)
    has_rungs = bool((table.fidelity < 1).any())
    for rows in _by_config(table.points, table.fidelity):
        group = [every[row] for row in rows]
        point = table.points[rows[0]]
        active = [k for k, value in enumerate(point.tolist()) if value == value]
        trial = optuna.trial.create_trial(
            **_outcome(group, study, has_rungs),
            system_attrs={"constraints": [group[-1].violation]} if study.constraints else {},
            params={study.space.names[k]: columns[k][1](float(point[k])) for k in active},
            distributions={study.space.names[k]: columns[k][0] for k in active},
        )
        trial.datetime_start = datetime.fromtimestamp(min(times[one.trial_id]["started"] for one in group))
        trial.datetime_complete = datetime.fromtimestamp(max(times[one.trial_id]["finished"] for one in group))
        yield trial


def _by_config(points: FloatArray, fidelity: FloatArray) -> list[list[int]]:
    """Groups rows of the same config with rising fidelity, in order of their first; a repeat of one starts another group."""
    groups: list[list[int]] = []
    latest: dict[bytes, list[int]] = {}
    for row, (point, share) in enumerate(zip(points, fidelity.tolist(), strict=True)):
        group = latest.get(point.tobytes())
        if group is None or fidelity[group[-1]] >= share:
            group = latest[point.tobytes()] = []
            groups.append(group)
        group.append(row)
    return groups


def _outcome(group: list[Result], study: Study, has_rungs: bool) -> dict[str, Any]:
    """Returns state, value, intermediate values and user attributes of a config's trials."""
    last = group[-1]
    values = {_step(one.fidelity, study): float(one.metrics[study.metric]) for one in group if one.loss is not None}
    done = last.loss is not None and last.fidelity == 1.0
    names = [goal.metric for goal in study.goals]
    attributes: dict[str, Any] = {"trial_ids": [one.trial_id for one in group], "fidelity": last.fidelity}
    attributes |= {name: value for name, value in last.metrics.items() if name not in names}
    if last.error is not None:
        attributes |= {"status": last.status, "error": last.error}
    several = len(names) > 1
    return {
        "state": TrialState.COMPLETE
        if done
        else TrialState.FAIL
        if several or last.loss is None
        else TrialState.PRUNED,
        "values": [float(last.metrics[name]) for name in names] if done else None,
        "intermediate_values": values if has_rungs and not several else {},
        "user_attrs": attributes,
    }


def _step(fidelity: float, study: Study) -> int:
    if study.max_reports is not None:
        return share_of(fidelity, study.max_reports)
    if study.bundle is not None and study.fidelity in ("prefix", "blocks"):
        return share_of(fidelity, study.bundle.train_bars)
    return round(1000 * fidelity)


def _variable(domain: Domain, column: FloatArray) -> tuple[BaseDistribution, Callable[[float], Any]]:
    """Returns a parameter's distribution, and a function from a column's value to the distribution's."""
    if isinstance(domain, Choice):
        plain = all(option is None or isinstance(option, (bool, int, float, str)) for option in domain.options)
        alike = not plain or len(set(domain.options)) < len(domain.options)  # 1 == True == 1.0
        options = tuple(map(repr, domain.options)) if alike else domain.options
        return CategoricalDistribution(options), lambda code: options[int(code)]
    if isinstance(domain, Stepped):
        first, last = domain.to_python(domain.nth(_ends(domain)))
        # Optuna has no step on a logarithmic scale: the bounds and the scale matter more than the step.
        step = None if domain.log else domain.q
        if domain.integer:
            return IntDistribution(first, last, log=domain.log, step=int(step or 1)), int
        return FloatDistribution(first, last, log=domain.log, step=step), float
    if isinstance(domain, Float):
        return FloatDistribution(domain.lower, domain.upper, log=domain.log), float
    assert isinstance(domain, Normal)
    seen = column[column == column]
    low, high = domain.mean - _TAILS * domain.sd, domain.mean + _TAILS * domain.sd
    return FloatDistribution(min([low, *seen.tolist()]), max([high, *seen.tolist()])), float


def _ends(domain: Stepped) -> FloatArray:
    import numpy as np

    return np.array([0.0, domain.n - 1.0])

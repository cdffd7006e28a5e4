"""What a study found, as Ray Tune's users read it: a Result a trial."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from rbt_ray.compat.ray_tune.callback import reports_of
from rbt_ray.compat.ray_tune.checkpoint import Checkpoint
from rbt_ray.compat.ray_tune.settings import CheckpointConfig
from rbt_ray.compat.ray_tune.trial import Report, TrialFolder, flatten
from rbt_ray.errors import NoResultError, SettingError, TuneError
from rbt_ray.types import Mode

if TYPE_CHECKING:
    import pandas as pd

    from rbt_ray.compat.ray_tune.trainable_objective import TrainableObjective
    from rbt_ray.tuner.result_grid import ResultGrid as StudyResults

_SCOPES = ("last", "all", "avg", "last-5-avg", "last-10-avg")


@dataclass
class Result:
    """What became of a trial.

    Args:
        metrics: the last report, with `config` and what is added to every report; None: it made none.
        checkpoint: the latest.
        error: why it failed; None where it did not.
        path: its folder.
        reports: all of them.
        best_checkpoints: those that are kept, each with its report.
    """

    metrics: dict[str, Any] | None
    checkpoint: Checkpoint | None
    error: Exception | None
    path: str
    reports: list[Report] = field(default_factory=list, repr=False)
    best_checkpoints: list[tuple[Checkpoint, dict[str, Any]]] = field(default_factory=list, repr=False)
    trial_config: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def config(self) -> dict[str, Any]:
        """The trial's."""
        return self.trial_config

    @cached_property
    def metrics_dataframe(self) -> pd.DataFrame | None:
        """A row a report, nested metrics by names such as "eval/loss"; None where there is none."""
        import pandas as pd

        return pd.DataFrame([flatten(report) for report in self.reports]) if self.reports else None

    @property
    def filesystem(self) -> Any:
        """The local one, of pyarrow's."""
        import pyarrow.fs

        return pyarrow.fs.LocalFileSystem()

    def get_best_checkpoint(self, metric: str, mode: str) -> Checkpoint:
        """The checkpoint that came with the best value of a metric.

        Raises:
            NoResultError: there is no checkpoint, or none with that metric.
            SettingError: `mode` is neither "max" nor "min".
        """
        _check_mode(mode)
        having = [
            (checkpoint, flatten(report)[metric])
            for checkpoint, report in self.best_checkpoints
            if metric in flatten(report)
        ]
        if not having:
            raise NoResultError(f"the trial in {self.path} has no checkpoint that came with a {metric!r}.")
        return (max if mode == "max" else min)(having, key=lambda pair: pair[1])[0]


class ResultGrid(Sequence[Result]):
    """All trials that ended, in the order of samples.

    Args:
        studies: our own results: of the study, and of what was run again.
        objective: knows whose result one is.
        checkpoints: what the trials' folders keep.
        metric: the study's; None: it has none.
        mode: "min" or "max".
    """

    def __init__(
        self,
        studies: Sequence[StudyResults],
        objective: TrainableObjective,
        checkpoints: CheckpointConfig,
        metric: str | None,
        mode: str | None,
    ) -> None:
        self._studies, self._objective, self._checkpoints = studies, objective, checkpoints
        self._metric, self._mode = metric, mode

    @property
    def study_results(self) -> StudyResults:
        """The same as our own `rbt.ResultGrid`: reports, table, hash."""
        return self._studies[0]

    @property
    def experiment_path(self) -> str:
        """The study's folder; `Tuner.restore` takes it."""
        return str(self._studies[0].path)

    @property
    def filesystem(self) -> Any:
        """The local one, of pyarrow's."""
        import pyarrow.fs

        return pyarrow.fs.LocalFileSystem()

    @cached_property
    def _results(self) -> list[Result]:
        found: dict[str, tuple[int, int, Result]] = {}
        for round_, study in enumerate(self._studies):
            for row in study:
                trial = self._objective.trial_for(row.config, row.trial_id)
                trial_folder = TrialFolder(trial.path, self._checkpoints)
                reports = reports_of(row, trial_folder)
                before = found.get(trial.trial_id)
                if before is not None and round_ == before[0] and len(reports) < before[1] and row.error is None:
                    continue
                having = [(checkpoint, report) for report in reports if (checkpoint := trial_folder.checkpoint(report))]
                found[trial.trial_id] = (
                    round_,
                    len(reports),
                    Result(
                        metrics={**reports[-1], "config": trial.config} if reports else None,
                        checkpoint=having[-1][0] if having else None,
                        error=None if row.error is None else TuneError(row.error),
                        path=trial.path,
                        reports=reports,
                        best_checkpoints=having,
                        trial_config=trial.config,
                    ),
                )
        by_number = self._objective.has_samples
        in_order = sorted(found, key=lambda name: (len(name), name)) if by_number else list(found)
        return [found[trial_id][2] for trial_id in in_order]

    def __len__(self) -> int:
        return len(self._results)

    def __getitem__(self, index: Any) -> Any:
        return self._results[index]

    def __iter__(self) -> Iterator[Result]:
        return iter(self._results)

    @property
    def errors(self) -> list[Exception]:
        """Of the trials that failed."""
        return [result.error for result in self if result.error is not None]

    @property
    def num_errors(self) -> int:
        """Trials that failed."""
        return len(self.errors)

    @property
    def num_terminated(self) -> int:
        """Trials that did not."""
        return len(self) - self.num_errors

    def get_best_result(
        self,
        metric: str | None = None,
        mode: Mode | None = None,
        scope: str = "last",
        filter_nan_and_inf: bool = True,
    ) -> Result:
        """The trial with the best value of a metric; of equals the first.

        Args:
            metric: a flat name such as "eval/loss"; None: the study's.
            mode: "max" or "min"; None: the study's.
            scope: which of a trial's reports count: "last", "all" (its best), "avg", "last-5-avg", "last-10-avg".
            filter_nan_and_inf: whether values that are no finite numbers are left out.

        Raises:
            SettingError: there is no metric or mode, or it is none of those there are.
            NoResultError: no trial has reported that metric.
        """
        if len(self) == 1:
            return self._results[0]
        metric, wanted = metric or self._metric, mode or self._mode
        if metric is None:
            raise SettingError("`metric` is missing: give it here, or to TuneConfig.")
        if wanted is None:
            raise SettingError("`mode` is missing: give it here, or to TuneConfig.")
        _check_mode(wanted)
        if scope not in _SCOPES:
            raise SettingError(f"`scope` is one of {', '.join(_SCOPES)}; got {scope!r}.")
        best, best_value = None, math.inf
        for result in self:
            values = [float(v) for report in result.reports if (v := flatten(report).get(metric)) is not None]
            if filter_nan_and_inf:
                values = [value for value in values if math.isfinite(value)] if scope != "last" else values[-1:]
                values = [value for value in values if math.isfinite(value)]
            if not values:
                continue
            value = _summary(values, wanted, scope)
            loss = -value if wanted == "max" else value
            if best is None or loss < best_value:
                best, best_value = result, loss
        if best is None:
            first = next((str(error) for error in self.errors), "")
            raise NoResultError(
                f"no trial has reported a finite {metric!r}: {self.num_errors} of {len(self)} failed. {first}".rstrip()
            )
        return best

    def get_dataframe(self, filter_metric: str | None = None, filter_mode: str | None = None) -> pd.DataFrame:
        """A row a trial: its last report, or the one with the best value of a metric; configs as "config/<name>".

        Args:
            filter_metric: the metric; None: the last report.
            filter_mode: "max" or "min".

        Raises:
            SettingError: there is a metric and no mode.
        """
        import pandas as pd

        if filter_metric is not None:
            _check_mode(filter_mode)
        rows = []
        for result in self:
            if not result.reports:
                continue
            report = result.reports[-1]
            having = [r for r in result.reports if filter_metric is not None and _has(r, filter_metric)]
            if having:
                pick = max if filter_mode == "max" else min
                report = pick(having, key=lambda r: flatten(r)[filter_metric or ""])
            config = {f"config/{name}": value for name, value in flatten(result.config).items()}
            rows.append({**flatten(report), **config, "logdir": result.path})
        return pd.DataFrame(rows)

    def __repr__(self) -> str:
        return f"ResultGrid<{len(self)} trials, {self.num_errors} errors, in {self.experiment_path}>"


def _has(report: Report, metric: str) -> bool:
    """Whether it has a value of the metric; NaN compares with nothing."""
    value = flatten(report).get(metric, math.nan)
    return not (isinstance(value, float) and math.isnan(value))


def _summary(values: Sequence[float], mode: str, scope: str) -> float:
    if scope == "last":
        return values[-1]
    if scope == "all":
        return max(values) if mode == "max" else min(values)
    last = {"avg": len(values), "last-5-avg": 5, "last-10-avg": 10}[scope]
    return sum(values[-last:]) / len(values[-last:])


def _check_mode(mode: Any) -> None:
    if mode not in ("max", "min"):
        raise SettingError(f"`mode` is 'max' or 'min'; got {mode!r}.")

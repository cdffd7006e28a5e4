"""Results of a study with Ray Tune's interface: a `ResultGrid` of one `Result` per trial."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from rbt_ray.compat.ray_tune.callback import reports_of
from rbt_ray.compat.ray_tune.checkpoint import Checkpoint
from rbt_ray.compat.ray_tune.settings import CheckpointConfig
from rbt_ray.compat.ray_tune.trial import Report, Trial, TrialFolder, flatten
from rbt_ray.compat.ray_tune.unfinished import unfinished_trials
from rbt_ray.errors import NoResultError, SettingError, TuneError
from rbt_ray.types import Mode

if TYPE_CHECKING:
    import pandas as pd

    from rbt_ray.compat.ray_tune.trainable_objective import TrainableObjective
    from rbt_ray.tuner import result_grid

_SCOPES = ("last", "all", "avg", "last-5-avg", "last-10-avg")


@dataclass
class Result:
    """Result of a trial.

    Args:
        metrics: the last report, with `config` and the metrics added to every report; without a report, `trial_id` and `config`.
        checkpoint: the latest checkpoint.
        error: why the trial failed; None if it did not.
        path: the trial's folder.
        reports: all reports.
        best_checkpoints: the kept checkpoints, each with its report.
    """

    metrics: dict[str, Any]
    checkpoint: Checkpoint | None
    error: Exception | None
    path: str
    reports: list[Report] = field(default_factory=list, repr=False)
    best_checkpoints: list[tuple[Checkpoint, dict[str, Any]]] = field(default_factory=list, repr=False)
    trial_config: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def config(self) -> dict[str, Any]:
        """The trial's config."""
        return self.trial_config

    @cached_property
    def metrics_dataframe(self) -> pd.DataFrame | None:
        """Returns one row per report, with nested metrics as columns such as "eval/loss"; None without reports."""
        import pandas as pd

        return pd.DataFrame([flatten(report) for report in self.reports]) if self.reports else None

    filesystem = Checkpoint.filesystem

    def get_best_checkpoint(self, metric: str, mode: str) -> Checkpoint:
        """Returns the checkpoint whose report has the best value of a metric.

        Raises:
            NoResultError: no checkpoint's report has that metric.
            SettingError: `mode` is neither "max" nor "min".
        """
        _check_mode(mode)
        having = [
            (checkpoint, flatten(report)[metric])
            for checkpoint, report in self.best_checkpoints
            if metric in flatten(report)
        ]
        if not having:
            raise NoResultError(f"the trial in {self.path} has no checkpoint with a report of {metric!r}.")
        return (max if mode == "max" else min)(having, key=lambda pair: pair[1])[0]


class ResultGrid(Sequence[Result]):
    """All trials with a result or a report, in the order of their samples.

    Args:
        studies: the engine's results of the study and of its reruns.
        runner: maps a result to its trial.
        checkpoints: which checkpoints trials keep.
        metric: the study's metric; None: it has none.
        mode: "min" or "max".
    """

    def __init__(
        self,
        studies: Sequence[result_grid.ResultGrid],
        runner: TrainableObjective,
        checkpoints: CheckpointConfig,
        metric: str | None,
        mode: str | None,
    ) -> None:
        self._studies, self._objective, self._checkpoints = studies, runner, checkpoints
        self._metric, self._mode = metric, mode

    @property
    def study_results(self) -> result_grid.ResultGrid:
        """The results as an `rbt.ResultGrid`, with reports, table and hash."""
        return self._studies[0]

    @property
    def experiment_path(self) -> str:
        """The study's folder, for `Tuner.restore`."""
        return str(self._studies[0].path)

    filesystem = Checkpoint.filesystem

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
                error = None if row.error is None else TuneError(row.error)
                found[trial.trial_id] = round_, len(reports), self._result(trial, reports, error)
        # A trial that a scheduler continues may have both a result and later reports.
        for trial, reports in self.unfinished(() if self._objective.resumes else found):
            if trial.trial_id not in found or len(reports) > found[trial.trial_id][1]:
                found[trial.trial_id] = 0, len(reports), self._result(trial, reports)
        by_number = self._objective.has_samples
        in_order = sorted(found, key=lambda name: (len(name), name)) if by_number else list(found)
        return [found[trial_id][2] for trial_id in in_order]

    def unfinished(self, known: Collection[str]) -> Iterator[tuple[Trial, list[Report]]]:
        """Yields the trials that were running when the study stopped and are not `known`, with their reports."""
        if not self._studies[0].is_done:
            yield from unfinished_trials(self._objective, self._studies[0].path.absolute(), known, self._checkpoints)

    def _result(self, trial: Trial, reports: list[Report], error: TuneError | None = None) -> Result:
        trial_folder = TrialFolder(trial.path, self._checkpoints)
        having = [(checkpoint, report) for report in reports if (checkpoint := trial_folder.checkpoint(report))]
        return Result(
            metrics={"trial_id": trial.trial_id, **(reports[-1] if reports else {}), "config": trial.config},
            checkpoint=having[-1][0] if having else None,
            error=error,
            path=trial.path,
            reports=reports,
            best_checkpoints=having,
            trial_config=trial.config,
        )

    def __len__(self) -> int:
        return len(self._results)

    def __getitem__(self, index: Any) -> Any:
        return self._results[index]

    @property
    def errors(self) -> list[Exception]:
        """The errors of the failed trials."""
        return [result.error for result in self if result.error is not None]

    @property
    def num_errors(self) -> int:
        """Number of failed trials."""
        return len(self.errors)

    @property
    def num_terminated(self) -> int:
        """Number of trials without an error."""
        return len(self) - self.num_errors

    def get_best_result(
        self,
        metric: str | None = None,
        mode: Mode | None = None,
        scope: str = "last",
        filter_nan_and_inf: bool = True,
    ) -> Result:
        """Returns the trial with the best value of a metric; the first if several are equal.

        Args:
            metric: a flat name such as "eval/loss"; None: the study's metric.
            mode: "max" or "min"; None: the study's mode.
            scope: which of a trial's reports count: "last", "all" (its best), "avg", "last-5-avg", "last-10-avg".
            filter_nan_and_inf: whether to skip values that are not finite.

        Raises:
            SettingError: `metric`, `mode` or `scope` is missing or unknown.
            NoResultError: no trial reported that metric.
        """
        if len(self) == 1:
            return self._results[0]
        metric, wanted = metric or self._metric, mode or self._mode
        if metric is None:
            raise SettingError("`metric` is missing: pass it here or set it in TuneConfig.")
        if wanted is None:
            raise SettingError("`mode` is missing: pass it here or set it in TuneConfig.")
        _check_mode(wanted)
        if scope not in _SCOPES:
            raise SettingError(f"`scope` must be one of {', '.join(_SCOPES)}; got {scope!r}.")
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
                f"no trial reported a finite {metric!r}: {self.num_errors} of {len(self)} failed. {first}".rstrip()
            )
        return best

    def get_dataframe(self, filter_metric: str | None = None, filter_mode: str | None = None) -> pd.DataFrame:
        """Returns one row per trial: its last report, or the one with the best value of a metric; configs as "config/<name>".

        Args:
            filter_metric: the metric that selects the report; None: take the last.
            filter_mode: "max" or "min".

        Raises:
            SettingError: `filter_metric` is given without `filter_mode`.
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
    """Returns whether a report has a value of the metric other than NaN, which cannot be compared."""
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
        raise SettingError(f"`mode` must be 'max' or 'min'; got {mode!r}.")

"""Reports of an objective while it runs: intermediate metrics, progress, and checkpoints to continue from."""

from __future__ import annotations

import math
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rbt_ray.errors import ObjectiveResultError
from rbt_ray.objectives import pickling
from rbt_ray.types import Checkpoint, is_integer


@dataclass(frozen=True, slots=True, eq=False)
class ReportRange:
    """The range of iterations that the trials of a batch run.

    Args:
        stop: number of reports after which a trial ends; None: it ends by itself.
        starts: checkpoints of earlier trials of the same configs, by row of the batch.
        trials: numbers of the trials in the study; empty outside a study.
    """

    stop: int | None = None
    starts: Mapping[int, Checkpoint] = field(default_factory=dict)
    trials: Sequence[int] = ()


WHOLE = ReportRange()


class ReportLimitReached(BaseException):
    """Ends an objective after its last report; not an `Exception`, so that the objective does not catch it by accident."""


class Reports:
    """Context that collects the reports of the objective called in it.

    Args:
        limit: number of reports after which the objective ends; None: it ends by itself.
        start: checkpoint of an earlier trial of the config, whose reports count; None: begin at the start.
        trial: number of the trial in the study; None outside a study.
        n_bars: the number of bars of the trial's data; None without data.
    """

    __slots__ = ("_limit", "_n", "_n_bars", "_share", "checkpoint", "latest", "start", "trial")

    def __init__(
        self, limit: int | None, start: Checkpoint | None, trial: int | None = None, n_bars: int | None = None
    ) -> None:
        self.trial, self._n_bars = trial, n_bars
        useful = start is not None and (limit is None or start.n_reports < limit)
        self.start = start if useful else None
        self.latest: float | Mapping[str, Any] | None = None
        self.checkpoint: Checkpoint | None = None
        self._limit = limit
        self._share: float | None = None
        self._n = 0 if self.start is None else self.start.n_reports

    @property
    def limit(self) -> int | None:
        """Number of reports after which the objective ends."""
        return self._limit

    @property
    def share(self) -> float:
        """The share of the run that the latest report covers; 1.0 unless the objective stopped by itself.

        With a limit, it is the share of the reports, or 1.0 if the latest report has ``share=1.0``: then the run was complete
        with fewer reports. Without a limit, it is the latest `share`, or 1.0 if there is none.
        """
        if self._limit is None:
            return 1.0 if self._share is None else self._share
        return 1.0 if self._share == 1.0 else min(self._n / self._limit, 1.0)

    @property
    def any(self) -> bool:
        """Whether there was a report, in this trial or in the one it continues."""
        return self._n > 0

    def __enter__(self) -> Reports:
        global _current
        _current = self
        return self

    def __exit__(self, *_: object) -> None:
        global _current
        _current = None

    def take(self, metrics: float | Mapping[str, Any], checkpoint: Any, share: float | None, bars: int | None) -> None:
        """Adds a report.

        Raises:
            ReportLimitReached: it is the last report within the limit, or a later one.
            ObjectiveResultError: `share` is not above 0 and at most 1, or `bars` is no number of bars of the data.
        """
        if bars is not None:
            share = self._share_of(bars, share)
        self._share = None if share is None else _checked(share)
        if self._n == self._limit:
            raise ReportLimitReached
        self._n += 1
        self.latest = dict(metrics) if isinstance(metrics, Mapping) else metrics
        if self._n == self._limit:
            if checkpoint is not None:
                self.checkpoint = Checkpoint(self._n, pickling.dumps(checkpoint))
            raise ReportLimitReached

    def _share_of(self, bars: int, share: float | None) -> float:
        if share is not None:
            raise ObjectiveResultError("`rbt.report` takes `share` or `bars`, and got both: leave one of them out.")
        if self._n_bars is None:
            raise ObjectiveResultError(
                "`bars` of `rbt.report` counts bars of the study's `bundle`, and there is none: pass `share`."
            )
        if not is_integer(bars) or not 1 <= bars <= self._n_bars:
            raise ObjectiveResultError(
                f"`bars` of `rbt.report` is how many of the {self._n_bars:,} bars the run has used, 1 or more; got {bars!r}."
            )
        return bars / self._n_bars


_current: Reports | None = None
"""The reports of the current trial: a worker evaluates one trial at a time."""


def _checked(share: float) -> float:
    number = float(share) if isinstance(share, (int, float, np.number)) else math.nan
    if not 0 < number <= 1:
        raise ObjectiveResultError(
            f"`share` of `rbt.report` is the share of its data or work that the run has done, above 0 and at most 1; got "
            f"{share!r}. On the bar with index `bar` it is (bar + 1) / data.n_bars."
        )
    return number


def report(
    metrics: float | Mapping[str, Any], *, checkpoint: Any = None, share: float | None = None, bars: int | None = None
) -> None:
    """Reports the metrics of an iteration; does nothing outside a study.

    In a study with ``fidelity="reports"``, the objective ends with the last report of its fidelity, which is report
    `max_reports` at full fidelity. That report is the result of the trial, and code after it does not run. The best configs continue to
    more reports: from the `checkpoint` of their last report if there is one (see `get_checkpoint`), else from the start. If
    an objective ends earlier by itself and returns nothing, its last report is its result.

    A trial that ends earlier is COMPLETED at the fidelity that it reached, and so cannot be the best. In a study with
    ``fidelity="reports"``, that is the share of the requested reports. In other studies it is the `share` of the last
    report; without one, the run counts as complete.

    Args:
        metrics: a number or a dict of metrics, as an objective returns them.
        checkpoint: any object that can be pickled and suffices to continue from here.
        share: the share of its data or work that the run has done: above 0 and at most 1, such as
            ``(bar + 1) / data.n_bars`` on the bar with index `bar`. 1.0 means that the run is complete, even with fewer
            reports than requested.
        bars: the same as a number of bars: how many of the `data.n_bars` bars the run has used.

    Raises:
        ObjectiveResultError: `share` is not above 0 and at most 1, or `bars` is no number of bars of the data.
    """
    if _current is not None:
        _current.take(metrics, checkpoint, share, bars)


def get_checkpoint() -> Any:
    """Returns the `checkpoint` of the last report of this config; None: begin at the start."""
    if _current is None or _current.start is None:
        return None
    return pickle.loads(_current.start.payload)


def report_limit() -> int | None:
    """Returns the number of reports after which the running objective ends; None: it ends by itself."""
    return None if _current is None else _current.limit


def current_trial() -> int | None:
    """Returns the number of the running trial in its study; None outside a study."""
    return None if _current is None else _current.trial

"""What an objective tells while it works: how far it is, how good it is, and from where it could go on."""

from __future__ import annotations

import math
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import cloudpickle
import numpy as np

from rbt_ray.errors import ObjectiveResultError
from rbt_ray.types import Checkpoint


@dataclass(frozen=True, slots=True, eq=False)
class ReportRange:
    """Which of their iterations the trials of a batch are to do.

    Args:
        stop: after how many reports a trial is done; None: it ends by itself.
        starts: where earlier trials of the same configs stopped, by row of the batch.
        trials: their numbers in the study; empty outside one.
    """

    stop: int | None = None
    starts: Mapping[int, Checkpoint] = field(default_factory=dict)
    trials: Sequence[int] = ()


WHOLE = ReportRange()


class ReportLimitReached(BaseException):
    """Ends an objective that has reported as often as its fidelity asks; no `except Exception` of its own stops it."""


class Reports:
    """Takes in what the objective that is called within it reports.

    Args:
        limit: after how many reports it is done; None: it ends by itself.
        start: where an earlier trial of the config stopped; its reports count.
        trial: its number in the study; None: it is of none.
    """

    __slots__ = ("_limit", "_n", "_share", "checkpoint", "latest", "start", "trial")

    def __init__(self, limit: int | None, start: Checkpoint | None, trial: int | None = None) -> None:
        self.trial = trial
        useful = start is not None and (limit is None or start.n_reports < limit)
        self.start = start if useful else None
        self.latest: float | Mapping[str, Any] | None = None
        self.checkpoint: Checkpoint | None = None
        self._limit = limit
        self._share: float | None = None
        self._n = 0 if self.start is None else self.start.n_reports

    @property
    def limit(self) -> int | None:
        """After how many reports it is done."""
        return self._limit

    @property
    def share(self) -> float:
        """How much of what was asked for the latest report is of; 1.0 unless the objective stopped by itself.

        Where fidelity is counted in reports, their number says it, unless the latest has ``share=1.0``: then the run came
        to its end with fewer. Elsewhere the latest `share` says it; without one nobody knows, and the run counts as whole.
        """
        if self._limit is None:
            return 1.0 if self._share is None else self._share
        return 1.0 if self._share == 1.0 else min(self._n / self._limit, 1.0)

    @property
    def any(self) -> bool:
        """Whether there was one, in this trial or in the one it goes on from."""
        return self._n > 0

    def __enter__(self) -> Reports:
        global _listening
        _listening = self
        return self

    def __exit__(self, *_: object) -> None:
        global _listening
        _listening = None

    def take(self, metrics: float | Mapping[str, Any], checkpoint: Any, share: float | None) -> None:
        """One report more.

        Raises:
            ReportLimitReached: it is the last that was asked for, or comes after that.
            ObjectiveResultError: `share` is no share.
        """
        self._share = None if share is None else _checked(share)
        if self._n == self._limit:
            raise ReportLimitReached
        self._n += 1
        self.latest = dict(metrics) if isinstance(metrics, Mapping) else metrics
        if self._n == self._limit:
            if checkpoint is not None:
                self.checkpoint = Checkpoint(self._n, cloudpickle.dumps(checkpoint))
            raise ReportLimitReached


_listening: Reports | None = None
"""Those of the trial at work: a worker evaluates one at a time."""


def _checked(share: float) -> float:
    number = float(share) if isinstance(share, (int, float, np.number)) else math.nan
    if not 0 < number <= 1:
        raise ObjectiveResultError(
            f"`share` of `rbt.report` is how much of its data or work the run has done, above 0 and at most 1; got "
            f"{share!r}. On the bar with index `bar` it is (bar + 1) / data.n_bars."
        )
    return number


def report(metrics: float | Mapping[str, Any], *, checkpoint: Any = None, share: float | None = None) -> None:
    """Tells what the objective has reached, once an iteration; outside a study it does nothing.

    In a study with ``fidelity="reports"`` the objective ends with the last report its fidelity asks for, at full fidelity
    with the `max_reports`-th: that report is the trial's result, and what would come after it does not run. The best
    go on to more reports: from the `checkpoint` of the last one where there is one (see `get_checkpoint`), else from the
    start. An objective that ends earlier by itself, and returns nothing, has the metrics of its last report.

    Such a trial is COMPLETED at the fidelity that it reached, whatever it returns, and so cannot be the best. In a study
    with ``fidelity="reports"`` that is the share of the reports that were asked for. In other studies the `share` of the last
    report says it, and a run that gives none counts as whole.

    Args:
        metrics: a number or a dict of metrics, as an objective returns them.
        checkpoint: anything that can be pickled and is enough to go on from here.
        share: how much of the data that it was given, or of its work, the run has done: above 0 and at most 1, such as
            ``(bar + 1) / data.n_bars`` on the bar with index `bar`. 1.0 says that the run came to its end, also with fewer
            reports than were asked for.

    Raises:
        ObjectiveResultError: `share` is no share.
    """
    if _listening is not None:
        _listening.take(metrics, checkpoint, share)


def get_checkpoint() -> Any:
    """What the objective passed as `checkpoint` with the last report of this config; None: begin at the start."""
    if _listening is None or _listening.start is None:
        return None
    return pickle.loads(_listening.start.payload)


def report_limit() -> int | None:
    """After how many reports, from its start, the objective at work is done; None: it ends by itself."""
    return None if _listening is None else _listening.limit


def current_trial() -> int | None:
    """The number of the trial at work in its study; None: there is none."""
    return None if _listening is None else _listening.trial

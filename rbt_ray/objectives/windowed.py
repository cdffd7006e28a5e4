"""Scores configs on the training bars of the windows of a validation.

A config runs from the first bar of the bundle to the last training bar of a window, and only the training bars count. So
indicators are warm and positions carry over, and no later price has an effect. An objective that returns no returns per bar
runs on the training bars alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from rbt_ray.errors import ObjectiveResultError, SettingError
from rbt_ray.objectives.builtin.strategy import SweptObjective
from rbt_ray.objectives.kind import SweepObjective, kind_of
from rbt_ray.objectives.reports import Reports
from rbt_ray.objectives.returned_metrics import metrics_of, returns_of
from rbt_ray.simulate.metrics import METRICS
from rbt_ray.study.windows import Ranges, Window, bars_of
from rbt_ray.types import Config, FloatArray, IntArray, Metrics

if TYPE_CHECKING:
    from rbt_ray.data.view import BundleView

N_SCORED = "n_windows"
"""The metric that counts the windows in which a config has a value."""
_TRADES = "n_trades"
_OF_RETURNS = frozenset(metric.name for metric in METRICS if not metric.needs_trades)

Run: TypeAlias = Callable[["BundleView"], Any]
"""Runs a config on a view, and returns the objective's answer."""


def score_name(number: int) -> str:
    """Returns the name of the metric that holds a config's value in a window."""
    return f"window {number}"


def on_windows(objective: Any, metric: str, windows: Sequence[Window], min_trades: int) -> Any:
    """Returns an objective of the same kind, whose metrics are the values of `metric` in each window, and `N_SCORED`."""
    takes = kind_of(objective).takes
    kinds: dict[str, type[OnWindows]] = {
        "config": ConfigOnWindows,
        "configs": BatchOnWindows,
        "columns": ColumnsOnWindows,
    }
    return kinds[takes](objective, metric, tuple(windows), min_trades)


@dataclass(frozen=True)
class OnWindows:
    """Scores configs on windows.

    Args:
        objective: the user's.
        metric: the metric to compute on the training bars of each window.
        windows: their training bars; those after the end of a view are left out.
        min_trades: round trips below which a config has no value in a window.
    """

    objective: Any
    metric: str
    windows: tuple[Window, ...]
    min_trades: int

    @property
    def made_of(self) -> list[Any]:
        """Its identity for fingerprints."""
        return [self.objective]

    def by_stop(self, n_bars: int) -> dict[int, list[tuple[int, IntArray]]]:
        """Returns numbers and training bars of the windows, by the bar after the last one."""
        groups: dict[int, list[tuple[int, IntArray]]] = {}
        for number, window in enumerate(self.windows):
            bars = bars_of(window.train_within(n_bars))
            groups.setdefault(int(bars[-1]) + 1, []).append((number, bars))
        return groups

    def value(self, metrics: Metrics) -> float:
        """Returns the metric, NaN if it is not finite or if there are too few trades.

        Raises:
            ObjectiveResultError: there is no such metric.
        """
        for name in (self.metric, *([_TRADES] if self.min_trades else [])):
            if type(metrics.get(name)) not in (float, int):
                raise ObjectiveResultError(
                    f"`validation` needs the metric {name!r} as a number in each window; the objective returned "
                    f"{', '.join(metrics) or 'nothing'}."
                )
        value = float(metrics[self.metric])
        return value if np.isfinite(value) and metrics.get(_TRADES, 0) >= self.min_trades else np.nan

    def scores(self, run: Run, view: BundleView, answers: Mapping[int, Any] | None = None) -> Metrics:
        """Returns the metrics of one config: its value in each window, and texts of the errors.

        Args:
            run: runs the config.
            view: all training bars.
            answers: the answers of `run` up to the last training bar of each window, by the bar after it; None: run it.

        Raises:
            Exception: the first error, if there was one in every window.
        """
        values: dict[int, float] = {}
        errors: dict[int, Exception] = {}
        for stop, group in self.by_stop(view.n_bars).items():
            part = view.window(0, stop)
            try:
                answer = run(part) if answers is None else answers[stop]
            except Exception as error:  # the other windows still count
                errors.update(dict.fromkeys([number for number, _ in group], error))
                continue
            for number, bars in group:
                try:
                    values[number] = self.value(metrics_on(answer, run, part, bars, self.metric))
                except Exception as error:
                    errors[number] = error
        if len(errors) == len(self.windows):
            raise errors[0]
        found: Metrics = {N_SCORED: float(sum(np.isfinite(list(values.values()))))}
        found.update((score_name(number), values.get(number, np.nan)) for number in range(len(self.windows)))
        return found | {f"error {number}": f"{type(error).__name__}: {error}" for number, error in errors.items()}


class ConfigOnWindows(OnWindows):
    """For an objective of one config."""

    def __call__(self, params: Config, data: BundleView) -> Metrics:
        """Returns the values of a config in each window."""
        return self.scores(lambda part: answer_of(self.objective, params, part), data)


class BatchOnWindows(OnWindows):
    """For an objective marked with `rbt.batched`."""

    __rbt_batched__ = True

    def __call__(self, params: list[Config], data: BundleView) -> list[Metrics]:
        """Returns the values of each config in each window."""
        stops = self.by_stop(data.n_bars)
        answers = {stop: self.objective(params, data.window(0, stop)) for stop in stops}
        return [
            self.scores(
                lambda part, config=config: self.objective([config], part)[0],  # type: ignore[misc]
                data,
                {stop: answers[stop][row] for stop in stops},
            )
            for row, config in enumerate(params)
        ]


class ColumnsOnWindows(OnWindows):
    """For an objective that takes columns of parameters, such as the built-in ones."""

    @property
    def params(self) -> tuple[str, ...]:
        """The names of its parameters."""
        objective: SweepObjective = self.objective
        return tuple(objective.params)

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of its metrics."""
        return (N_SCORED, *(score_name(number) for number in range(len(self.windows))))

    def evaluate(
        self, data: BundleView, columns: Mapping[str, FloatArray], _metrics: tuple[str, ...] = ()
    ) -> dict[str, FloatArray]:
        """Returns the values ``(n_configs,)`` in each window, by name."""
        windows = [window.train_within(data.n_bars) for window in self.windows]
        names = (self.metric, _TRADES) if self.min_trades else (self.metric,)
        if isinstance(self.objective, SweptObjective):
            found = self.objective.evaluate_on_windows(data, columns, names, windows)
        else:
            alone = [self._alone(data, columns, names, ranges) for ranges in windows]
            found = {name: np.array([one[name] for one in alone], np.float64) for name in names}
        values = found[self.metric]
        usable = np.isfinite(values)
        if self.min_trades:
            usable &= found[_TRADES] >= self.min_trades
        values = np.where(usable, values, np.nan)
        scored = np.count_nonzero(usable, axis=0).astype(np.float64)
        return dict(zip(self.metrics, [scored, *values], strict=True))

    def _alone(
        self, data: BundleView, columns: Mapping[str, FloatArray], names: tuple[str, ...], ranges: Ranges
    ) -> Mapping[str, FloatArray]:
        """Returns metrics ``(n_configs,)`` by name on the training bars of a window alone."""
        if len(ranges) > 1:
            raise _needs_returns(bars_of(ranges))
        objective: SweepObjective = self.objective
        return objective.evaluate(data.window(*ranges[0]), columns, names)


@dataclass(frozen=True)
class AloneIn:
    """Runs an objective that reports on the bars from `start` on, without those before."""

    objective: Any
    start: int

    @property
    def made_of(self) -> list[Any]:
        """Its identity for fingerprints."""
        return [self.objective]

    def __call__(self, params: Config, data: BundleView) -> Any:
        """Returns the objective's answer."""
        return self.objective(params, data.window(self.start, data.n_bars))


def alone_in(objective: Any, window: Window) -> Any:
    """Returns an objective that runs on the training bars of a window, and may report.

    Raises:
        SettingError: the training bars do not follow one another.
    """
    if len(window.train) > 1:
        raise SettingError(
            "`validation` chooses on bars with gaps between them, and an objective that reports has no value there: use "
            "rbt.WalkForward."
        )
    return AloneIn(objective, window.train[0][0])


def answer_of(objective: Any, config: Config, view: BundleView) -> Any:
    """Returns an objective's answer for one config; if it only reports, its last report."""
    if kind_of(objective).takes == "configs":
        return objective([config], view)[0]
    with Reports(None, None, n_bars=view.n_bars) as reports:
        answer = objective(config, view)
    return reports.latest if answer is None else answer


def metrics_on(answer: Any, run: Run, view: BundleView, bars: IntArray, metric: str) -> Metrics:
    """Returns the metrics of a run on some of its bars.

    Args:
        answer: the objective's answer on `view`: a Backtest, a dict with "returns", or other metrics.
        run: runs the config on another view, if the answer has no returns per bar.
        view: from the first bar.
        bars: ascending.
        metric: the name of a number.

    Raises:
        ObjectiveResultError: the answer has no returns per bar, and the bars do not follow one another.
    """
    path = path_of(answer, view, metric)
    if path is not None:
        return path.metrics(bars)
    start, stop = int(bars[0]), int(bars[-1]) + 1
    if len(bars) != stop - start:
        raise _needs_returns(bars)
    return metrics_of(answer if (start, stop) == (0, view.n_bars) else run(view.window(start, stop)), metric)


@dataclass(frozen=True, slots=True)
class Path:
    """The returns of a run per bar, and its metrics on any bars."""

    returns: FloatArray
    metrics: Callable[[IntArray], Metrics]


def path_of(answer: Any, view: BundleView, metric: str) -> Path | None:
    """Returns the returns per bar of an objective's answer on a view; None if it has none, or if `metric` needs more.

    Raises:
        ObjectiveResultError: the answer has returns that cannot be used.
    """
    from rbt_ray.simulate.backtest import Backtest  # here: it loads numba
    from rbt_ray.simulate.metric_kernel import metrics_of as metrics_of_returns

    returns = returns_of(answer, view.n_bars)
    if returns is None:
        return None
    if isinstance(answer, Backtest):
        return Path(returns, answer.on)
    if metric not in _OF_RETURNS:
        return None

    def metrics(bars: IntArray) -> Metrics:
        none, no_count = np.zeros(len(bars)), np.zeros(len(bars), np.int64)
        found = metrics_of_returns(returns[bars], none, none, no_count, no_count, view.periods_per_year)
        return {name: value for name, value in found.items() if name in _OF_RETURNS}

    return Path(returns, metrics)


def _needs_returns(bars: IntArray) -> ObjectiveResultError:
    return ObjectiveResultError(
        f"the training bars of a window have gaps (the first after bar {int(bars[np.argmax(np.diff(bars) > 1)])}), so `validation` "
        f"needs the returns per bar: return a Backtest, or a dict with the array 'returns'."
    )
